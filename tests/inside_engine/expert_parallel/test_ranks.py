"""Ranks that exchange rows over gloo compute what one process computes, under each arm."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import silu

from benchmarks.expert_parallel import ranks
from benchmarks.expert_parallel.arms import Arm
from benchmarks.expert_parallel.dispatches import Dispatch, dispatched
from benchmarks.expert_parallel.recorded import Batch
from loadline_policies.experts.capacities import capacities
from loadline_policies.experts.placements import Placement, contiguous

EXPERTS, TOP_K, TOKENS, HIDDEN = 6, 2, 40, 8
REPLICATED = Placement(((0, 1, 2, 0), (3, 4, 5, 0)))


@pytest.fixture(scope="module")
def batch() -> Batch:
    """Expert 0 is chosen by each token."""
    generator = np.random.default_rng(0)
    others = generator.integers(1, EXPERTS, (TOKENS, 1))
    return Batch(
        experts=EXPERTS,
        ids=np.concatenate((np.zeros_like(others), others), axis=1),
        scores=generator.random((TOKENS, TOP_K)),
    )


def arms() -> list[Arm]:
    return [
        Arm(name="none", placement=contiguous(EXPERTS, 2)),
        Arm(name="placement", placement=REPLICATED),
        Arm(name="capacity", placement=contiguous(EXPERTS, 2), gamma_thousandths=1_000),
        Arm(name="both", placement=REPLICATED, gamma_thousandths=1_000),
    ]


def test_ranks_answer_as_one_process_would(batch: Batch) -> None:
    dispatches = [dispatched(batch, arm) for arm in arms()]
    weights = ranks.bank(experts=EXPERTS, hidden=HIDDEN, intermediate=HIDDEN)
    for dispatch, found in zip(dispatches, ranks.answers(dispatches, weights), strict=True):
        for rank, answer in enumerate(found):
            torch.testing.assert_close(answer, _alone(dispatch, rank, weights))


def test_nothing_is_dropped_without_a_capacity(batch: Batch) -> None:
    none, placed, capped, both = (dispatched(batch, arm) for arm in arms())
    assert (none.dropped, placed.dropped) == (0, 0)
    assert 0 < both.dropped < capped.dropped


def test_each_rank_drops_what_its_own_tokens_have_above_the_capacities(batch: Batch) -> None:
    dispatch = dispatched(batch, arms()[3])
    expected = 0
    for part in np.split(batch.ids, 2):
        loads = np.bincount(part.ravel(), minlength=EXPERTS)
        bounds = capacities(REPLICATED.replicas, gamma_thousandths=1_000, tokens=TOKENS // 2, top_k=TOP_K)
        expected += int(np.maximum(loads - np.array(bounds), 0).sum())
    assert dispatch.dropped == expected


def test_replicas_share_the_pairs_of_their_expert(batch: Batch) -> None:
    dispatch = dispatched(batch, arms()[1])
    of_first = [sum(count for expert, count in work.experts if expert == 0) for work in dispatch.works]
    assert sum(of_first) == TOKENS
    assert min(of_first) >= TOKENS // 4


def test_every_step_has_its_times(batch: Batch) -> None:
    weights = ranks.bank(experts=EXPERTS, hidden=HIDDEN, intermediate=HIDDEN)
    (times,) = ranks.timed([dispatched(batch, arms()[0])], weights, runs=1)
    assert times.clean + times.refused > 0
    assert times.exchange_s is None or times.exchange_s > 0


def _alone(dispatch: Dispatch, rank: int, weights: ranks.Bank) -> Tensor:
    """The answers of a rank's tokens, pair by pair; the ranks' tokens are drawn as theirs are."""
    work = dispatch.works[rank]
    up, down = weights
    generator = torch.Generator().manual_seed(rank)
    tokens = torch.randn(work.tokens, HIDDEN, generator=generator)
    answers = torch.zeros_like(tokens)
    for token, weight, expert in zip(work.rows, work.weights, _experts_of(dispatch, rank), strict=True):
        gate, value = (tokens[token] @ up[expert]).chunk(2)
        answers[token] += weight * ((silu(gate) * value) @ down[expert])
    return answers


def _experts_of(dispatch: Dispatch, rank: int) -> list[int]:
    """The expert of each row that a rank sends, as the ranks that get them know it."""
    found: list[int] = []
    for work in dispatch.works:
        by_order = [expert for expert, count in work.experts for _ in range(count)]
        arrived = torch.empty(work.pairs, dtype=torch.int64)
        arrived[work.order] = torch.tensor(by_order)
        begin = sum(work.received[:rank])
        found += arrived[begin : begin + work.received[rank]].tolist()
    return found
