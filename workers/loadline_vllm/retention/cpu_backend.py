"""
vLLM's attention on CPUs, with folds before it.

vLLM has no flag for the backend on CPUs, but honours an override of CPU_ATTN. Which spec the layers get is
decided before the KV memory exists: a spec that folds is given only where the worker, the kernel's layout and
the kind of attention allow it. All others keep vLLM's.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from vllm.config import get_current_vllm_config
from vllm.distributed.parallel_state import get_tensor_model_parallel_rank
from vllm.v1.attention.backends.cpu_attn import (
    CPUAttentionBackend,
    CPUAttentionBackendImpl,
    CPUAttentionMetadataBuilder,
    _get_attn_isa,
)
from vllm.v1.kv_cache_interface import AttentionSpec, FullAttentionSpec

from loadline_policies.errors import InvalidInput
from loadline_vllm.retention import gates
from loadline_vllm.retention.folds import CpuVectors
from loadline_vllm.retention.held_tokens import Reductions
from loadline_vllm.retention.reductions import by_scores, same_everywhere
from loadline_vllm.retention.registrations import model_fingerprint
from loadline_vllm.retention.row_folds import RowFolds, of_latest_worker
from loadline_vllm.retention.specs import RetentionSpec

KERNELS = {"vec", "vec16"}
"""Kernels whose layout is CpuVectors; `amx` packs bfloat16 otherwise."""


class RetentionBackend(CPUAttentionBackend):
    """vLLM's backend on CPUs whose layers may fold. Quantized keys and values are left alone."""

    supported_dtypes: ClassVar[list[torch.dtype]] = CPUAttentionBackend.supported_dtypes
    has_places: ClassVar[bool] = False
    """Whether attention goes by the place of a token (ALiBi), which a fold changes."""

    chunk_tokens: ClassVar[int] = 0
    """The most tokens of a step. Set when the layers are built, since no configuration is current later."""

    @staticmethod
    def get_impl_cls() -> type[CPUAttentionBackendImpl]:
        return RetentionImpl

    @staticmethod
    def get_builder_cls() -> type[CPUAttentionMetadataBuilder]:
        return RetentionBuilder

    @classmethod
    def customize_spec(cls, spec: AttentionSpec) -> AttentionSpec:
        """The spec with retention, where these layers can be folded."""
        spec = super().customize_spec(spec)
        running = of_latest_worker()
        engine = running.engine if running is not None else None
        if engine is None or cls.has_places or not _is_plain(spec) or spec.block_size != engine.block_tokens:
            return spec
        if _get_attn_isa(spec.dtype, spec.block_size, spec.head_size) not in KERNELS:
            return spec
        return RetentionSpec.of(spec, engine, chunk_tokens=cls.chunk_tokens)


def _is_plain(spec: AttentionSpec) -> bool:
    """Whether each token attends to all tokens before it, and nothing else is stored or packed."""
    return (
        type(spec) is FullAttentionSpec
        and spec.sliding_window is None
        and spec.attention_chunk_size is None
        and not spec.non_causal
        and spec.head_size == spec.head_size_v
        and spec.dtype in RetentionBackend.supported_dtypes
    )


def _reductions(spec: RetentionSpec, layers: Sequence[str], vllm_config: Any) -> Reductions:
    """What the policy does, to the heads that are on this rank; InvalidInput if gates are another model's."""
    retention = spec.retention
    if retention.gates is None:
        return same_everywhere(retention.policy)
    found = gates.load(Path(retention.gates), fingerprint=model_fingerprint(vllm_config))
    ranks, all_heads = vllm_config.parallel_config.tensor_parallel_size, len(found[0].outward_bias)
    first = get_tensor_model_parallel_rank() * all_heads // ranks  # ranks may have the same head
    own = [gate.heads(first, spec.num_kv_heads) for gate in found]
    shapes = {tuple(gate.inward.shape[::2]) for gate in own}
    if shapes != {(spec.num_kv_heads, spec.head_size)} or max(map(gates.layer_number, layers)) >= len(own):
        raise InvalidInput(
            "retention.gates", retention.gates, fix="train gates for this model: shapes differ"
        )
    return by_scores(gates.GateScores(own))


class RetentionImpl(CPUAttentionBackendImpl):
    """vLLM's own, which is built while a configuration is current."""

    def __init__(self, *more: Any, **named: Any) -> None:
        super().__init__(*more, **named)
        scheduler = get_current_vllm_config().scheduler_config
        RetentionBackend.chunk_tokens = scheduler.max_num_batched_tokens
        RetentionBackend.has_places |= self.alibi_slopes is not None


class RetentionBuilder(CPUAttentionMetadataBuilder):
    """Builds the metadata of a batch after the folds that are due."""

    def __init__(
        self, kv_cache_spec: AttentionSpec, layer_names: list[str], vllm_config: Any, *more: Any
    ) -> None:
        super().__init__(kv_cache_spec, layer_names, vllm_config, *more)
        self._folds: RowFolds | None = None
        if isinstance(kv_cache_spec, RetentionSpec):
            running = of_latest_worker()
            if running is None:  # without it the scheduler would free blocks that were not folded
                raise RuntimeError("a spec that folds was made without a RetentionWorker")
            layers = vllm_config.compilation_config.static_forward_context
            own = [name for name in layer_names if layers[name].kv_sharing_target_layer_name is None]
            self._folds = RowFolds(
                kv_cache_spec.retention,
                own,
                lambda name: layers[name].kv_cache,
                layout=CpuVectors(),
                reductions=_reductions(kv_cache_spec, own, vllm_config),
                running=running,
            )

    def build(self, common_prefix_len: int, common_attn_metadata: Any, fast_build: bool = False) -> Any:
        if self._folds is not None:
            common_attn_metadata = self._folds.shown(common_attn_metadata)
        return super().build(common_prefix_len, common_attn_metadata, fast_build)
