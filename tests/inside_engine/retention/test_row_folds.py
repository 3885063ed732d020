"""Rows are folded when their buffers fill, and the kernel sees their memory without the gap."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from loadline_policies.kv.spans import Span, Spans
from loadline_vllm.retention.folds import CpuVectors
from loadline_vllm.retention.reductions import REDUCTIONS, same_everywhere
from loadline_vllm.retention.request_budgets import EngineRetention, RequestRetention, written
from loadline_vllm.retention.row_folds import RowFolds, RunningRequests

BLOCK = 4
ENGINE = EngineRetention(
    policy="streaming", buffer_tokens=8, block_tokens=BLOCK, sink_tokens=2, engine_name="mine"
)
LAYERS = ("first", "second")


@dataclass
class Batch:
    """What is read of vLLM's metadata."""

    num_reqs: int
    query_start_loc_cpu: torch.Tensor
    seq_lens: torch.Tensor
    block_table_tensor: torch.Tensor
    max_seq_len: int


def arguments_of(kept: int | None, spans: Spans | None = None) -> dict[str, Any] | None:
    """What the scheduler writes for a request."""
    if kept is None:
        return None
    return written(None, RequestRetention(ENGINE.budget(kept), spans or Spans()), engine_name="mine")


class Rows:
    """Requests in the rows of a batch, with memory of two layers in which a token's key is its position."""

    def __init__(self, budgets: dict[str, int | None], *, policy: str = "streaming") -> None:
        self.memory = {layer: torch.zeros(40, 1, BLOCK, 2) for layer in LAYERS}
        self.tables = {name: torch.arange(1 + 10 * row, 11 + 10 * row) for row, name in enumerate(budgets)}
        self.running = RunningRequests(ENGINE)
        self.running.row_ids = lambda: list(self.tables)
        self.folds = RowFolds(
            ENGINE,
            LAYERS,
            self.memory.__getitem__,
            layout=CpuVectors(),
            reductions=same_everywhere(policy),
            running=self.running,
        )
        self.arrive(budgets)

    def arrive(self, budgets: dict[str, int | None], *, finished: tuple[str, ...] = ()) -> None:
        new = [
            SimpleNamespace(
                req_id=name,
                sampling_params=SimpleNamespace(extra_args=arguments_of(kept)),
            )
            for name, kept in budgets.items()
        ]
        self.running.update(SimpleNamespace(finished_req_ids=set(finished), scheduled_new_reqs=new))

    def step(self, **computed_and_new: tuple[int, int]) -> Batch:
        """The metadata that the kernel sees of a step, after which the new tokens are in memory."""
        steps = [computed_and_new[name] for name in self.tables]
        lengths = [computed + new for computed, new in steps]
        starts = torch.tensor([0, *[new for _, new in steps]]).cumsum(0)
        table = torch.stack(list(self.tables.values()))
        batch = Batch(len(steps), starts, torch.tensor(lengths), table, max(lengths))
        shown: Batch = self.folds.shown(batch)
        for name, (computed, new) in computed_and_new.items():
            for position in range(computed, computed + new):
                block, at = self.tables[name][position // BLOCK], position % BLOCK
                for memory in self.memory.values():
                    memory.view(-1, 1, 2 * BLOCK)[block, 0, at] = position
        return shown

    def held(self, shown: Batch, row: int) -> list[float]:
        """Keys of the tokens that the kernel reads for a row, from both layers: their positions, or the means
        of several."""
        length = int(shown.seq_lens[row])
        blocks = shown.block_table_tensor[row, : -(-length // BLOCK)]
        first, second = (
            CpuVectors().read(memory, blocks).keys[0, :length, 0] for memory in self.memory.values()
        )
        assert first.equal(second)
        return [float(position) for position in first]


def test_a_request_without_a_budget_is_shown_as_it_is() -> None:
    rows = Rows({"a": None})
    assert rows.held(rows.step(a=(0, 30)), 0) == list(range(30))


def test_a_request_is_folded_when_its_buffer_is_full_and_not_before() -> None:
    rows = Rows({"a": 8})
    rows.step(a=(0, 15))
    before = rows.step(a=(15, 1))
    assert rows.held(before, 0) == list(range(16))
    after = rows.step(a=(16, 1))
    assert rows.held(after, 0) == [0, 1, *range(10, 17)]
    assert rows.running.folds == 1


def test_a_long_chunk_fills_several_buffers_at_once() -> None:
    rows = Rows({"a": 8})
    rows.step(a=(0, 33))
    assert rows.held(rows.step(a=(33, 1)), 0) == [0, 1, *range(26, 34)]


def test_a_protected_span_of_a_request_stays() -> None:
    rows = Rows({})
    rows.tables["a"] = torch.arange(1, 11)
    params = SimpleNamespace(extra_args=arguments_of(8, Spans(protected=(Span(4, 7),))))
    new = SimpleNamespace(req_id="a", sampling_params=params)
    rows.running.update(SimpleNamespace(finished_req_ids=set(), scheduled_new_reqs=[new]))
    rows.step(a=(0, 16))
    assert rows.held(rows.step(a=(16, 8)), 0) == [0, 1, 4, 5, 6, *range(13, 24)]
    assert rows.held(rows.step(a=(24, 1)), 0) == [0, 1, 4, 5, 6, *range(21, 25)]


def test_what_was_done_to_the_last_request_is_forgotten_too() -> None:
    rows = Rows({"a": 8})
    rows.step(a=(0, 20))
    rows.step(a=(20, 1))
    rows.arrive({}, finished=("a",))
    rows.tables = {"b": torch.arange(1, 11)}
    rows.step(b=(0, 4))
    assert not rows.folds._folded


def test_folds_follow_each_other() -> None:
    rows = Rows({"a": 8})
    rows.step(a=(0, 16))
    for computed in range(16, 36):
        shown = rows.step(a=(computed, 1))
    assert rows.held(shown, 0) == [0, 1, *range(26, 36)]
    assert rows.running.folds == 3


def test_rows_have_budgets_of_their_own() -> None:
    rows = Rows({"a": 8, "b": None, "c": 16})
    rows.step(a=(0, 24), b=(0, 24), c=(0, 24))
    shown = rows.step(a=(24, 1), b=(24, 1), c=(24, 1))
    assert rows.held(shown, 0) == [0, 1, *range(18, 25)]
    assert rows.held(shown, 1) == list(range(25))
    assert rows.held(shown, 2) == [0, 1, *range(10, 25)]
    assert shown.max_seq_len == 25


@pytest.mark.parametrize("policy", sorted(REDUCTIONS))
def test_a_preempted_request_is_folded_again_from_its_beginning(policy: str) -> None:
    """Also by a policy that goes by what earlier folds have left, and how many tokens it stands for."""
    rows = Rows({"a": 8}, policy=policy)
    rows.step(a=(0, 20))
    for computed in range(20, 36):
        first = rows.held(rows.step(a=(computed, 1)), 0)
    assert rows.folds.folds == 3
    rows.tables["a"] = torch.arange(25, 35)
    rows.step(a=(0, 20))
    for computed in range(20, 36):
        again = rows.held(rows.step(a=(computed, 1)), 0)
    assert again == first


def test_centroids_stand_for_all_tokens_that_went_into_them() -> None:
    """However often they were merged: their weighted sum is that of all tokens' keys."""
    rows = Rows({"a": 8}, policy="chelsea")
    rows.step(a=(0, 16))
    for computed in range(16, 33):
        shown = rows.step(a=(computed, 1))
    assert rows.folds.folds == 3
    for origins in rows.folds._folded["a"].origins.values():
        counts = origins.counts[0].tolist()
        assert sum(counts) == 32
        total = sum(key * count for key, count in zip(rows.held(shown, 0)[:8], counts, strict=True))
        assert total == pytest.approx(sum(range(32)))


def test_a_request_that_ends_is_forgotten() -> None:
    rows = Rows({"a": 8, "b": 8})
    rows.step(a=(0, 20), b=(0, 20))
    rows.step(a=(20, 1), b=(20, 1))
    rows.arrive({}, finished=("a",))
    rows.tables.pop("a")
    assert rows.held(rows.step(b=(21, 1)), 0) == [0, 1, *range(10, 22)]
    assert list(rows.folds._folded) == ["b"]
