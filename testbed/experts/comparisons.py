"""
One random batch, answered by the product and by an oracle: do both keep the same pairs?

The oracles are the reference, for batches of any kind, and the official code, which knows neither bias
nor groups, padding, classes or replicas. Where no two scores of an expert are equal, weights must be
equal bit by bit. Among equal scores the official code keeps any, so there each expert's, or device's,
kept scores are compared as a multiset.

The official code for devices has a fault: where a device has fewer pairs than its capacity, it keeps as
many pairs of other devices instead, above the capacity of those. Such an answer is no oracle. Needs torch.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from loadline_vllm.experts import counters, drops
from loadline_vllm.experts.capacities import capacities
from loadline_vllm.experts.expansions import expanded_drop, kept_candidates
from loadline_vllm.experts.priorities import Metric
from loadline_vllm.experts.reroutes import reroute
from testbed.experts import cases, official, reference
from testbed.experts.cases import Case
from testbed.experts.reference import Pair

OFFICIAL: Mapping[str, Metric] = MappingProxyType(
    {
        "score": Metric.SCORE,
        "first": Metric.ORDER,
        "last": Metric.REVERSE_ORDER,
        "overselect": Metric.SCORE,
        "device": Metric.SCORE,
    }
)
"""The official code's names: what it keeps of an expert's pairs, or where it looks for more."""

STRATEGIES: Mapping[str, Metric] = MappingProxyType(
    {**OFFICIAL, "random": Metric.RANDOM, "reroute": Metric.SCORE, "expanded": Metric.SCORE}
)
"""What the reference has; overselect is expanded drop without a limit for a token."""

GAMMAS_THOUSANDTHS = (100, 500, 1_000, 1_250, 1_500, 2_000, 3_000)
ROUNDS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What came of one batch. `within` says that no load of the product's is above its capacity.

    `equal` is None where the oracle itself exceeds a capacity.
    """

    strategy: str
    seed: int
    tied: bool
    equal: bool | None
    within: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The product's: the experts [T, M] of the pairs that it judged, which are kept, and the bounds."""

    experts: Tensor
    kept: Tensor
    buckets: list[int]
    """For each expert the expert or device to which `bounds` belong."""

    bounds: list[int]

    @property
    def pairs(self) -> set[Pair]:
        """The pairs that are kept."""
        return cases.pairs(self.experts, self.kept)

    @property
    def within(self) -> bool:
        """Whether no bucket has more pairs than its capacity."""
        buckets = torch.tensor(self.buckets)[self.experts]
        loads = counters.loads(buckets, self.kept, count=len(self.bounds)).tolist()
        return all(load <= bound for load, bound in zip(loads, self.bounds, strict=True))


def with_reference(strategy: str, seed: int, *, tied: bool) -> Comparison:
    """The batch of a seed, of any kind, against the reference.

    Rerouting chooses among equal selections as torch does, so it is given none.
    """
    tied = tied and strategy != "reroute"
    case = cases.draw(seed, cases.some_shape(seed, metric=STRATEGIES[strategy], tied=tied))
    answer = _answer(strategy, case, seed, replicas=_replicas(case, seed))
    expected = _expected(strategy, case, answer)
    equal = answer.pairs == expected
    return Comparison(strategy=strategy, seed=seed, tied=tied, equal=equal, within=answer.within)


def with_official(strategy: str, seed: int, *, tied: bool) -> Comparison:
    """The batch of a seed, as the official code knows them, against that code; NotThere without it."""
    shape = cases.some_shape(seed, metric=OFFICIAL[strategy], tied=tied)
    shape = replace(shape, biased=False, groups=1, padding=0, classes=False)
    case = cases.draw(seed, shape)
    answer = _answer(strategy, case, seed, replicas=None)
    capacity = answer.bounds[0]
    if strategy == "device":
        devices = len(answer.bounds)
        theirs = official.dropped_by_device(
            case.scores, top_k=shape.top_k, capacity=capacity, devices=devices
        )
    else:
        theirs = official.adjusted(
            case.scores, top_k=shape.top_k, capacity=capacity, strategy=strategy, local=_local(case)
        )
    equal = _same(case, answer, theirs)
    return Comparison(strategy=strategy, seed=seed, tied=tied, equal=equal, within=answer.within)


def _answer(strategy: str, case: Case, seed: int, *, replicas: list[int] | None) -> Answer:
    """What the product keeps, under a γ that follows from the seed."""
    gamma = random.Random(seed).choice(GAMMAS_THOUSANDTHS)
    if strategy == "device":
        return _by_device(case, gamma, devices=4 if case.shape.experts % 4 == 0 else 3)
    bounds = case.bounds(gamma, replicas)
    experts, kept = _by_expert(strategy, case, bounds)
    return Answer(experts=experts, kept=kept, buckets=list(range(case.shape.experts)), bounds=bounds.tolist())


def _by_expert(strategy: str, case: Case, bounds: Tensor) -> tuple[Tensor, Tensor]:
    own, local = case.own, torch.tensor(_local(case))
    ranked: dict[str, Any] = {
        "scores": case.scores,
        "selection": case.selection,
        "ranking": case.ranking,
        "capacities": bounds,
    }
    if strategy == "overselect":
        return kept_candidates(own, **ranked, local=local)
    if strategy == "expanded":
        left = expanded_drop(own, **ranked, local=local)
    elif strategy == "reroute":
        left = reroute(own, **ranked, rounds=torch.tensor(ROUNDS), most_rounds=ROUNDS)
    else:
        left = drops.token_drop(own, case.priorities, capacities=bounds)
    return left.experts, left.kept


def _by_device(case: Case, gamma: int, *, devices: int) -> Answer:
    experts, top_k = case.shape.experts, case.shape.top_k
    buckets = [expert * devices // experts for expert in range(experts)]
    bounds = capacities(
        torch.tensor([buckets.count(device) for device in range(devices)]),
        gamma_thousandths=torch.tensor(gamma),
        tokens=torch.tensor(len(case.batch.tokens)),
        top_k=top_k,
        most_per_token=top_k,
    )
    left = drops.device_drop(case.own, case.priorities, devices=torch.tensor(buckets), capacities=bounds)
    return Answer(experts=left.experts, kept=left.kept, buckets=buckets, bounds=bounds.tolist())


def _expected(strategy: str, case: Case, answer: Answer) -> set[Pair]:
    batch, bounds = case.batch, answer.bounds
    if strategy == "device":
        return reference.device_drop(batch, answer.buckets, bounds)
    if strategy == "overselect":
        return reference.expanded_candidates(batch, bounds, _local(case))
    if strategy == "expanded":
        return reference.expanded_drop(batch, bounds, _local(case))
    if strategy == "reroute":
        return reference.reroute(batch, bounds, rounds=ROUNDS)
    return reference.token_drop(batch, bounds)


def _replicas(case: Case, seed: int) -> list[int]:
    """One for each expert, or for a third of the seeds up to three."""
    draw = random.Random(seed)
    most = draw.choice((1, 1, 3))
    return [draw.randint(1, most) for _ in range(case.shape.experts)]


def _local(case: Case) -> list[int]:
    """The experts of the device: an eighth of all, from the first on."""
    return list(range(max(1, case.shape.experts // 8)))


def _same(case: Case, answer: Answer, theirs: Tensor) -> bool | None:
    """Whether both have the same weights [T, E]; None if theirs are of more pairs than the bounds allow."""
    loads = [sum(map(bool, column)) for column in _columns(theirs, answer.buckets)]
    if any(load > bound for load, bound in zip(loads, answer.bounds, strict=True)):
        return None
    ours = torch.zeros_like(theirs)
    for token, expert in answer.pairs:
        ours[token, expert] = case.scores[token, expert]
    return torch.equal(ours, theirs) or (
        _has_ties(case.scores, answer.buckets)
        and _sorted(ours, answer.buckets) == _sorted(theirs, answer.buckets)
    )


def _has_ties(scores: Tensor, buckets: list[int]) -> bool:
    return any(len(set(column)) < len(column) for column in _columns(scores, buckets))


def _sorted(weights: Tensor, buckets: list[int]) -> list[list[float]]:
    return [sorted(column) for column in _columns(weights, buckets)]


def _columns(values: Tensor, buckets: list[int]) -> list[list[float]]:
    """The values of each bucket."""
    bucket_of = torch.tensor(buckets)
    return [values[:, bucket_of == bucket].flatten().tolist() for bucket in sorted(set(buckets))]
