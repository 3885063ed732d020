"""
Which pairs an expert keeps when it can't keep all: those of the highest priority.

A priority is a metric between 0 and 1, plus a term of the token's class. A term of -1 puts a class
behind all others, whatever their metric: the paper drops image tokens first that way, and the priority
of a request is the same kind of term. A smaller term is only a preference.

The metric is a tensor, so that it changes at run time without a new trace; therefore all metrics are
computed and one is selected. Random priorities come from a hash of token, expert and seed, not from a
generator: all ranks of a tensor-parallel group must drop the same pairs.

Source: the paper's section on token drop, whose figures favour the score. `ORDER` and `REVERSE_ORDER`
are its words; its code calls them «first» and «last», and by «last» meant either at different times.
"""

from enum import IntEnum
from typing import NamedTuple

import torch
from torch import Tensor

RANDOM_BITS = 24
"""Of a random priority: as many as a float32 holds exactly."""


class Metric(IntEnum):
    """What a pair's priority follows from."""

    SCORE = 0
    """The router's score, without the bias that it may add for its own selection."""

    ORDER = 1
    """The token's place in the batch: later tokens are dropped first."""

    REVERSE_ORDER = 2
    """Earlier tokens are dropped first."""

    RANDOM = 3


class Ranking(NamedTuple):
    """How pairs are ranked. `metric` is a `Metric`; another `seed` gives other random priorities."""

    metric: Tensor
    seed: Tensor
    classes: Tensor | None = None
    """The term of each token's class [T]; None: all are of one class."""


def priorities(scores: Tensor, experts: Tensor, ranking: Ranking) -> Tensor:
    """The priority of each pair [T, M], for the `scores` [T, M] that tokens have at `experts` [T, M]."""
    tokens = scores.shape[0]
    rows = torch.arange(tokens, device=scores.device).unsqueeze(1)
    metric = ranking.metric  # compared with values: Dynamo takes a tensor and an enum for different
    base = torch.where(metric == Metric.RANDOM.value, _random(rows, experts, ranking.seed), 0.0)
    base = torch.where(metric == Metric.REVERSE_ORDER.value, rows.to(torch.float32) / tokens, base)
    base = torch.where(metric == Metric.ORDER.value, (tokens - 1 - rows).to(torch.float32) / tokens, base)
    base = torch.where(metric == Metric.SCORE.value, scores.to(torch.float32), base)
    return base if ranking.classes is None else base + ranking.classes.to(torch.float32).unsqueeze(1)


def _random(rows: Tensor, experts: Tensor, seed: Tensor) -> Tensor:
    """Numbers from 0 up to 1, by two rounds of a multiplicative hash on 32 bits."""
    hashed = (rows * 0x9E3779B1 + experts * 0x85EBCA77 + seed * 0xC2B2AE3D) & 0xFFFFFFFF
    for _ in range(2):
        hashed = ((hashed ^ (hashed >> 16)) * 0x45D9F3B) & 0xFFFFFFFF
    return ((hashed ^ (hashed >> 16)) >> (32 - RANDOM_BITS)).to(torch.float32) / (1 << RANDOM_BITS)
