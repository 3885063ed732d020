"""
Folding the rows of a batch before its attention, and showing the kernel only the blocks that are left.

For each row whose request has a budget: if a buffer has filled since the last step, every layer is folded.
Then the row's block table is closed up over the gap of folded blocks, and its length is that of what is held.
Slots for new tokens stay where vLLM put them, and so do positions, so nothing else in vLLM has to know.

vLLM's metadata of a batch has no request in it. `RunningRequests` knows the ids of the rows from the worker's
model runner, and their budgets from the scheduler's output. Without it a row could not be told from another
one with the same first block, so a worker without it must not be given a spec that folds.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from loadline_vllm.retention.folds import Fold, Layout
from loadline_vllm.retention.held_tokens import Origins, Reductions, first_origins
from loadline_vllm.retention.request_budgets import EngineRetention, RequestRetention, given


class RunningRequests:
    """The budgets of the requests that run in this worker, and which row is whose."""

    def __init__(self, engine: EngineRetention | None) -> None:
        self.engine = engine
        self.row_ids: Callable[[], Sequence[str]] | None = None
        self._bounded: dict[str, RequestRetention] = {}
        self.row_folds: list[RowFolds] = []

    @property
    def folds(self) -> int:
        """Folds of a request's buffer, in all of the rank's layers, since the worker was made."""
        return min((one.folds for one in self.row_folds), default=0)

    def update(self, scheduler_output: Any) -> None:
        """Take the budgets of new requests from a step's output, before the step is executed."""
        if self.engine is None:
            return
        for request_id in scheduler_output.finished_req_ids:
            self._bounded.pop(request_id, None)
        for new in scheduler_output.scheduled_new_reqs:
            extra_args = new.sampling_params.extra_args if new.sampling_params is not None else None
            retention = given(extra_args, self.engine)
            if retention is not None:
                self._bounded[new.req_id] = retention

    def rows(self, count: int) -> list[tuple[str, RequestRetention | None]]:
        """The request of each of the first `count` rows, with its budget; padding has neither."""
        if self.row_ids is None or not self._bounded:
            return []
        return [(one, self._bounded.get(one)) for one in self.row_ids()[:count]]

    def is_known(self, request_id: str) -> bool:
        return request_id in self._bounded


class _Latest:
    """The requests of the worker that was made last; its layers take them while they are built."""

    running: RunningRequests | None = None


def begin(engine: EngineRetention | None) -> RunningRequests:
    """A worker is being made: the requests that its layers will go by."""
    _Latest.running = RunningRequests(engine)
    return _Latest.running


def of_latest_worker() -> RunningRequests | None:
    """Those of the worker whose layers are being built; None if it isn't a RetentionWorker."""
    return _Latest.running


@dataclass(slots=True)
class _Folded:
    """What has been done to one request: folds, the computed tokens at the last step, and, by layer, the
    origins of the tokens in its first blocks."""

    folds: int = 0
    computed_tokens: int = 0
    origins: dict[str, Origins] = field(default_factory=dict)


class RowFolds:
    """Folds the rows of the layers that share a metadata builder. `memory_of` gives a layer's KV memory."""

    def __init__(
        self,
        engine: EngineRetention,
        layers: Sequence[str],
        memory_of: Callable[[str], torch.Tensor],
        *,
        layout: Layout,
        reductions: Reductions,
        running: RunningRequests,
    ) -> None:
        self._engine, self._layers, self._memory_of = engine, layers, memory_of
        self._layout, self._reductions, self._running = layout, reductions, running
        self._folded: dict[str, _Folded] = {}
        self.folds = 0
        running.row_folds.append(self)

    def shown(self, batch: Any) -> Any:
        """The batch's metadata as the kernel should see it, after the folds that are due."""
        self._forget()
        rows = self._running.rows(batch.num_reqs)
        if not rows:
            return batch
        starts = batch.query_start_loc_cpu[: batch.num_reqs + 1].tolist()
        lengths = batch.seq_lens[: batch.num_reqs].tolist()
        held = {}
        for row, (request_id, retention) in enumerate(rows):
            scheduled = starts[row + 1] - starts[row]
            if retention is None or scheduled <= 0:
                continue
            computed = lengths[row] - scheduled
            self._fold(request_id, retention, computed=computed, table=batch.block_table_tensor[row])
            if retention.budget.folds(computed):
                held[row] = (retention, computed, lengths[row])
        return self._closed_up(batch, held) if held else batch

    def _fold(
        self, request_id: str, retention: RequestRetention, *, computed: int, table: torch.Tensor
    ) -> None:
        """Fold the buffers of one request that have filled since its last step."""
        state = self._folded.get(request_id)
        if state is None or computed < state.computed_tokens or computed == 0:
            state = self._folded[request_id] = _Folded()  # new, or preempted and computed again
        budget = retention.budget
        due = budget.folds(computed)
        if due > state.folds:
            block = budget.block_tokens
            first = budget.kept_tokens + state.folds * budget.buffer_tokens
            last = budget.kept_tokens + due * budget.buffer_tokens
            fold = Fold(
                kept_blocks=table[: budget.kept_tokens // block].long(),
                folded_blocks=table[first // block : last // block].long(),
                folded_positions=torch.arange(first, last, dtype=torch.int32, device=table.device),
                kept_tokens=budget.kept_tokens,
                computed_tokens=computed,
                sink_tokens=self._engine.sink_tokens,
                recent_tokens=self._engine.recent_tokens,
                spans=retention.spans,
            )
            for layer in self._layers:
                self._fold_layer(layer, fold, state)
            self.folds += 1
        state.folds, state.computed_tokens = due, computed

    def _fold_layer(self, layer: str, fold: Fold, state: _Folded) -> None:
        memory = self._memory_of(layer)
        origins = state.origins.get(layer)
        if origins is None:
            origins = first_origins(fold.kept_tokens, heads=memory.shape[1], device=memory.device)
        reduction = self._reductions(layer, fold.computed_tokens)
        state.origins[layer] = fold.apply(memory, origins, layout=self._layout, reduction=reduction)

    def _closed_up(self, batch: Any, held: Mapping[int, tuple[RequestRetention, int, int]]) -> Any:
        """The metadata with the blocks of the rows in `held` moved up over those that were folded."""
        table, lengths = batch.block_table_tensor.clone(), batch.seq_lens.clone()
        for row, (retention, computed, length) in held.items():
            gap = retention.budget.folded_blocks(computed)
            used = -(-length // retention.budget.block_tokens)
            left = batch.block_table_tensor[row, gap.stop : used]
            table[row, gap.start : gap.start + len(left)] = left
            table[row, gap.start + len(left) :] = 0
            lengths[row] = length - len(gap) * retention.budget.block_tokens
        longest = int(lengths[: batch.num_reqs].max())
        return dataclasses.replace(batch, block_table_tensor=table, seq_lens=lengths, max_seq_len=longest)

    def _forget(self) -> None:
        """Drop what was remembered of requests that have ended."""
        gone = [one for one in self._folded if not self._running.is_known(one)]
        for one in gone:
            del self._folded[one]
