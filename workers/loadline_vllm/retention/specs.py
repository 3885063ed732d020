"""
The scheduler's side: blocks of folded tokens are given back to the pool.

A request's place in the block table never moves: folded blocks are replaced by vLLM's null block, and the
worker closes up its own copy. They are freed one step late. The worker folds when it builds the step that
starts with the computed tokens, and a block that is freed while that step is scheduled may be taken, and
zeroed, before.
"""

from dataclasses import dataclass, fields
from typing import Any, Self

from vllm.v1.core.single_type_kv_cache_manager import FullAttentionManager
from vllm.v1.kv_cache_interface import FullAttentionSpec

from loadline_vllm.retention.request_budgets import EngineRetention, RequestRetention


@dataclass(frozen=True, kw_only=True)
class RetentionSpec(FullAttentionSpec):
    """The KV memory of layers that fold; a step computes at most `chunk_tokens` of a request."""

    retention: EngineRetention
    chunk_tokens: int

    @classmethod
    def of(cls, spec: FullAttentionSpec, retention: EngineRetention, *, chunk_tokens: int) -> Self:
        return cls(**_fields_of(spec), retention=retention, chunk_tokens=chunk_tokens)

    def max_memory_usage_bytes(self, vllm_config: Any) -> int:
        """What one request may hold, by which vLLM decides whether the pool is large enough to start."""
        whole: int = super().max_memory_usage_bytes(vllm_config)
        if self.retention.most_tokens is None:
            return whole
        most_blocks = self.retention.budget(self.retention.most_tokens).most_blocks(self.chunk_tokens)
        most: int = most_blocks * self.page_size_bytes
        return min(whole, most)

    @classmethod
    def merge(cls, specs: list[Self]) -> Self:
        assert all(isinstance(spec, RetentionSpec) for spec in specs), "layers that fold and others"
        assert len({(spec.retention, spec.chunk_tokens) for spec in specs}) == 1, "layers of other settings"
        plain = FullAttentionSpec.merge([spec.plain() for spec in specs])
        return cls.of(plain, specs[0].retention, chunk_tokens=specs[0].chunk_tokens)

    def plain(self) -> FullAttentionSpec:
        """The same layers as vLLM has them."""
        return FullAttentionSpec(**_fields_of(self))


def _fields_of(spec: FullAttentionSpec) -> dict[str, Any]:
    return {one.name: getattr(spec, one.name) for one in fields(FullAttentionSpec) if one.init}


class RetentionManager(FullAttentionManager):
    """Blocks of such layers. Of requests without a budget they are held and shared as vLLM's own."""

    def __init__(self, kv_cache_spec: RetentionSpec, **more: Any) -> None:
        super().__init__(kv_cache_spec, **more)
        self.chunk_tokens = kv_cache_spec.chunk_tokens
        self.bounded: dict[str, RequestRetention] = {}
        self.freed_blocks = 0
        self._given_back: dict[str, int] = {}
        self._computed: dict[str, int] = {}
        self._before: dict[str, int] = {}

    def get_num_blocks_to_allocate(self, request_id: str, *more: Any, **named: Any) -> int:
        """As vLLM's; a request with a budget holds no more than that allows, however long its prompt is."""
        retention = self.bounded.get(request_id)
        self.max_admission_blocks_per_request = (
            retention.budget.most_blocks(self.chunk_tokens) if retention is not None else None
        )
        needed: int = super().get_num_blocks_to_allocate(request_id, *more, **named)
        return needed

    def remove_skipped_blocks(
        self, request_id: str, processed_computed_tokens: int, num_prompt_tokens: int | None = None
    ) -> None:
        """Free the blocks that the worker has folded by now."""
        retention = self.bounded.get(request_id)
        if retention is None:
            super().remove_skipped_blocks(request_id, processed_computed_tokens, num_prompt_tokens)
            return
        before = min(self._before.get(request_id, 0), processed_computed_tokens)
        self._computed[request_id] = processed_computed_tokens
        folded = retention.budget.folded_blocks(before)
        self._remove_blocks_in_range(request_id, folded.start, folded.stop)
        self.freed_blocks += max(0, len(folded) - self._given_back.get(request_id, 0))
        self._given_back[request_id] = len(folded)

    @property
    def saved_blocks(self) -> int:
        """Blocks that requests would hold now beside those that they do hold, if they had kept all tokens."""
        return sum(self._given_back.values())

    def new_step_starts(self) -> None:
        """What was computed when the last step was scheduled has been folded when this one is built."""
        super().new_step_starts()
        self._before = dict(self._computed)

    def pop_blocks_for_free(self, request_id: str) -> Any:
        self._computed.pop(request_id, None)
        self._before.pop(request_id, None)
        self._given_back.pop(request_id, None)
        return super().pop_blocks_for_free(request_id)

    def cache_blocks(self, request: Any, *more: Any, **named: Any) -> None:
        """Publish nothing of a request with a budget: a folded block isn't what its hash says."""
        if request.request_id not in self.bounded:
            super().cache_blocks(request, *more, **named)
