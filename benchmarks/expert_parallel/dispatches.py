"""
What each rank of an expert-parallel group sends, receives and computes for a batch.

Each rank has an equal part of the tokens, in the order of the requests, as data-parallel engines have. It
bounds its own pairs by the plugin's token drop, as the plugin does in vLLM, whose router gets a rank's own
tokens. The replica of a pair follows vLLM's rule, a hash of the token's place in the part; it is written
here again, since vLLM's own runs on GPUs only.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.expert_parallel.arms import Arm
from benchmarks.expert_parallel.recorded import Batch
from loadline_policies.experts.placements import Placement
from loadline_vllm.experts import capacities, drops, routings
from loadline_vllm.experts.priorities import Metric, Ranking, priorities

KNUTH = 2_654_435_769
"""The multiplier of vLLM 0.32's hash (`eplb_map_to_physical_and_record`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RankWork:
    """One rank's part of a batch. Rows are sent by rank, and within a rank by expert."""

    tokens: int
    rows: Tensor
    """For each row that is sent, which of the rank's own tokens it is."""

    weights: Tensor
    """Of each row that is sent; its answer counts with it."""

    sent: list[int]
    received: list[int]
    """How many rows go to, and come from, each rank."""

    order: Tensor
    """The received rows, by the rank's own experts."""

    experts: list[tuple[int, int]]
    """The logical expert of each physical one that has rows, and how many."""

    @property
    def pairs(self) -> int:
        """What the rank computes."""
        return sum(self.received)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatch:
    """A whole batch, rank by rank."""

    works: list[RankWork]
    offered: int

    @property
    def computed(self) -> int:
        return sum(work.pairs for work in self.works)

    @property
    def dropped(self) -> int:
        return self.offered - self.computed

    @property
    def rank_most(self) -> int:
        """The pairs of the fullest rank."""
        return max(work.pairs for work in self.works)

    @property
    def crossing_most(self) -> int:
        """The rows that the busiest rank exchanges with others, there and back."""
        return max(
            2 * (work.pairs + sum(work.sent) - work.received[rank] - work.sent[rank])
            for rank, work in enumerate(self.works)
        )


def dispatched(batch: Batch, arm: Arm) -> Dispatch:
    """The work of each rank."""
    parts = [_Part(batch, arm, rank) for rank in range(len(arm.placement.ranks))]
    return Dispatch(
        works=[_work(parts, arm.placement, rank) for rank in range(len(parts))], offered=batch.ids.size
    )


class _Part:
    """A rank's own tokens: what it sends, by physical expert."""

    def __init__(self, batch: Batch, arm: Arm, rank: int) -> None:
        ranks = len(arm.placement.ranks)
        part = slice(batch.tokens * rank // ranks, batch.tokens * (rank + 1) // ranks)
        ids = torch.from_numpy(batch.ids[part])
        scores = torch.from_numpy(batch.scores[part]).to(torch.float32)
        left = _kept(ids, scores, arm)
        self.tokens = len(ids)
        token, slot = left.kept.nonzero(as_tuple=True)
        physical = _physical(left.experts[token, slot], token, arm.placement)
        self.physical, order = physical.sort(stable=True)
        self.rows, self.weights = token[order], left.weights[token, slot][order]
        self.sent = torch.bincount(_rank_of(self.physical, arm.placement), minlength=ranks).tolist()


def _kept(ids: Tensor, scores: Tensor, arm: Arm) -> routings.Capped:
    """What the plugin's token drop leaves, with a capacity by replica."""
    replicas = torch.tensor(arm.placement.replicas)
    own = routings.chosen(ids, scores, experts=len(replicas))
    bounds = capacities.capacities(
        replicas,
        gamma_thousandths=torch.tensor(arm.gamma_thousandths),
        tokens=capacities.real_tokens(own.offered),
        top_k=ids.shape[1],
    )
    ranking = Ranking(torch.tensor(Metric.SCORE.value), torch.tensor(0))
    return drops.token_drop(own, priorities(scores, own.experts, ranking), capacities=bounds)


def _physical(logical: Tensor, tokens: Tensor, placement: Placement) -> Tensor:
    """The physical expert of each pair, by its logical one and its token."""
    placed = torch.tensor([expert for rank in placement.ranks for expert in rank])
    replicas = torch.tensor(placement.replicas)
    firsts = replicas.cumsum(0) - replicas
    replica = ((tokens * KNUTH) & 0xFFFFFFFF) % replicas[logical]
    return placed.argsort(stable=True)[firsts[logical] + replica]


def _rank_of(physical: Tensor, placement: Placement) -> Tensor:
    ends = torch.tensor([len(rank) for rank in placement.ranks]).cumsum(0)
    return torch.searchsorted(ends, physical, right=True)


def _work(parts: Sequence[_Part], placement: Placement, rank: int) -> RankWork:
    arrived = torch.cat([_sent_to(part, rank) for part in parts])
    sorted_, order = arrived.sort(stable=True)
    found, counts = sorted_.unique_consecutive(return_counts=True)
    placed = [expert for each in placement.ranks for expert in each]
    return RankWork(
        tokens=parts[rank].tokens,
        rows=parts[rank].rows,
        weights=parts[rank].weights,
        sent=parts[rank].sent,
        received=[part.sent[rank] for part in parts],
        order=order,
        experts=[
            (placed[expert], count) for expert, count in zip(found.tolist(), counts.tolist(), strict=True)
        ],
    )


def _sent_to(part: _Part, rank: int) -> Tensor:
    """The physical experts of the rows that a part sends to a rank."""
    begin = sum(part.sent[:rank])
    return part.physical[begin : begin + part.sent[rank]]
