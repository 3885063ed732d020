"""
Capacity-aware routing in loops, written from the paper: slow, obvious, and the committed oracle.

A batch is lists of Python floats that hold float32 values, and an answer is a set of pairs (token,
expert). Only priorities are rounded to float32, as they are on a device. Equal priorities go to the
earlier token.

Source: Capacity-Aware Inference (arXiv 2503.05066): Algorithm 1 (token drop), Algorithm 2 and the
section on expanded drop, Table 3 (device level); the rounds of its first version are deferred acceptance
(Gale and Shapley) with capacities.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

Pair = tuple[int, int]
"""A token and an expert."""

NEVER = -math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What a router answered for a batch, and how its pairs are ranked.

    `chosen` has each token's K experts, negative in a row of padding. `scores` and `selection` have a
    number for each token and expert, `classes` one for each token. `metric` is score, order,
    reverse_order or random.
    """

    chosen: Sequence[Sequence[int]]
    scores: Sequence[Sequence[float]]
    selection: Sequence[Sequence[float]]
    real: Sequence[bool]
    classes: Sequence[float]
    metric: str = "score"
    seed: int = 0

    @property
    def tokens(self) -> list[int]:
        """The tokens that are no padding."""
        return [token for token, real in enumerate(self.real) if real and self.chosen[token][0] >= 0]

    @property
    def pairs(self) -> list[Pair]:
        """All pairs that the router offers."""
        return [(token, expert) for token in self.tokens for expert in self.chosen[token]]

    @property
    def experts(self) -> int:
        """How many experts the layer has."""
        return len(self.scores[0])

    def priority(self, pair: Pair) -> float:
        """The metric and the term of the token's class."""
        token, expert = pair
        rows = len(self.chosen)
        base = {
            "score": lambda: np.float32(self.scores[token][expert]),
            "order": lambda: np.float32(rows - 1 - token) / np.float32(rows),
            "reverse_order": lambda: np.float32(token) / np.float32(rows),
            "random": lambda: np.float32(hashed(token, expert, self.seed) / 2**24),
        }[self.metric]()
        return float(base + np.float32(self.classes[token]))

    def preferences(self, token: int) -> list[int]:
        """The experts that a token may have, best first: the router's own, then by its selection."""
        own = list(self.chosen[token])
        others = [
            expert
            for expert in range(self.experts)
            if expert not in own and self.selection[token][expert] > NEVER
        ]
        return own + sorted(others, key=lambda expert: -self.selection[token][expert])


def hashed(token: int, expert: int, seed: int) -> int:
    """24 random bits of a pair."""
    bits = (token * 0x9E3779B1 + expert * 0x85EBCA77 + seed * 0xC2B2AE3D) % 2**32
    for _ in range(2):
        bits = (bits ^ bits >> 16) * 0x45D9F3B % 2**32
    return (bits ^ bits >> 16) >> 8


def capacities(
    slots: Sequence[int], *, gamma: Fraction, tokens: int, top_k: int, most_per_token: int = 1
) -> list[int]:
    """γ times the mean load of a slot, for each bucket's slots, rounded up; 1 at least, all pairs at most."""
    mean = Fraction(tokens * top_k, sum(slots))
    return [min(max(math.ceil(gamma * mean * count), 1), tokens * most_per_token) for count in slots]


def best(batch: Batch, pairs: Iterable[Pair], capacity: int) -> list[Pair]:
    """The pairs of the highest priority; of equal ones the earlier token, then the router's earlier slot."""
    return sorted(pairs, key=lambda pair: (-batch.priority(pair), pair[0]))[:capacity]


def token_drop(batch: Batch, bounds: Sequence[int]) -> set[Pair]:
    """Algorithm 1: each expert keeps its best pairs."""
    return _kept_by_experts(batch, batch.pairs, bounds)


def device_drop(batch: Batch, devices: Sequence[int], bounds: Sequence[int]) -> set[Pair]:
    """Each device keeps the best pairs of all its experts."""
    kept: set[Pair] = set()
    for device, bound in enumerate(bounds):
        kept.update(best(batch, [pair for pair in batch.pairs if devices[pair[1]] == device], bound))
    return kept


def threshold_drop(batch: Batch, thresholds: Sequence[float]) -> set[Pair]:
    """Each pair is judged by itself."""
    return {pair for pair in batch.pairs if batch.priority(pair) >= thresholds[pair[1]]}


def reroute(batch: Batch, bounds: Sequence[int], *, rounds: int) -> set[Pair]:
    """Rounds of deferred acceptance: propose to the best experts left, reject what doesn't fit."""
    rejected: set[Pair] = set()
    kept: set[Pair] = set()
    for _ in range(rounds):
        proposals: list[Pair] = []
        for token in batch.tokens:
            left = [expert for expert in batch.preferences(token) if (token, expert) not in rejected]
            proposals += [(token, expert) for expert in left[: len(batch.chosen[token])]]
        kept = _kept_by_experts(batch, proposals, bounds)
        rejected |= set(proposals) - kept
    return kept


def expanded_candidates(batch: Batch, bounds: Sequence[int], local: Sequence[int]) -> set[Pair]:
    """The candidates that experts keep, without a limit for a token: its own experts, and all local ones."""
    candidates = list(batch.pairs)
    for token in batch.tokens:
        allowed = batch.preferences(token)
        candidates += [
            (token, expert) for expert in local if expert in allowed and expert not in batch.chosen[token]
        ]
    return _kept_by_experts(batch, candidates, bounds)


def expanded_drop(batch: Batch, bounds: Sequence[int], local: Sequence[int]) -> set[Pair]:
    """Of the candidates that experts keep, each token's best, as many as its router chose."""
    kept = expanded_candidates(batch, bounds, local)
    ours: set[Pair] = set()
    for token in batch.tokens:
        own = [expert for expert in batch.chosen[token] if (token, expert) in kept]
        others = [expert for expert in local if expert not in own and (token, expert) in kept]
        ranked = sorted(own + others, key=lambda expert: -batch.selection[token][expert])
        ours |= {(token, expert) for expert in ranked[: len(batch.chosen[token])]}
    return ours


def loads(pairs: Iterable[Pair], experts: int) -> list[int]:
    """How many pairs each expert has."""
    counts = [0] * experts
    for _, expert in pairs:
        counts[expert] += 1
    return counts


def _kept_by_experts(batch: Batch, pairs: Iterable[Pair], bounds: Sequence[int]) -> set[Pair]:
    pairs = list(pairs)
    kept: set[Pair] = set()
    for expert, bound in enumerate(bounds):
        kept.update(best(batch, [pair for pair in pairs if pair[1] == expert], bound))
    return kept
