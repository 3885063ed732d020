"""
Thresholds of experts, from the scores that their pairs had in earlier batches.

A threshold must not follow from the batch that it judges, or a token would depend on the others of its
batch. So scores are counted first, for each expert in bins, eight to an octave; a histogram of all of them
then gives, for each expert, the score that as many of its pairs reached as its capacity is.

What holds exactly: of the pairs that were counted, each expert keeps its capacity or more, or all, and what
it keeps beyond is in one bin. A bin's scores differ by an eighth at most. Nothing holds for later batches,
except that a pair is judged by its own score alone.

A score is between 0 and 1, and the bits of a float rise with it: the upper twelve of them number its bin.
"""

import math

import torch
from torch import Tensor

from loadline_vllm.experts.routings import Chosen

OCTAVES = 20
"""Scores below 2⁻²⁰ are all in the lowest bin. Chosen: no router gives so low a score to an expert that it
chooses."""

_SHIFT = 20
"""Of a float's 23 bits of fraction, three are left, so that an octave has eight bins."""

_HIGHEST = 0x3F800000 >> _SHIFT
"""The bits of 1.0, which no score exceeds."""

BINS = 8 * OCTAVES + 1

KEEPS_ALL = -math.inf
"""The threshold of an expert that drops nothing."""


def counted(own: Chosen, scores: Tensor, *, experts: int) -> Tensor:
    """How many pairs each expert had in each bin [E, BINS], by the `scores` [T, K] of the offered pairs."""
    places = own.experts * BINS + _bins(scores)
    empty = torch.zeros(experts * BINS, dtype=torch.int64, device=scores.device)
    return empty.scatter_add_(0, places.reshape(-1), own.offered.reshape(-1).to(torch.int64)).view(-1, BINS)


def thresholds(histogram: Tensor, capacities: Tensor) -> Tensor:
    """The thresholds [E] by which each expert keeps `capacities` [E] of a `histogram` [E, BINS]."""
    reaching = histogram.flip(1).cumsum(1).flip(1)  # pairs in a bin and in those above it
    enough = (reaching >= capacities.unsqueeze(1)).sum(1) - 1  # the highest bin that leaves as many
    edges = _edges(enough.clamp(min=0))
    return torch.where((enough > 0) & (reaching[:, 0] > capacities), edges, KEEPS_ALL)


def _bins(scores: Tensor) -> Tensor:
    bits = scores.to(torch.float32).view(torch.int32)
    return ((bits >> _SHIFT) - (_HIGHEST - BINS + 1)).clamp(0, BINS - 1).to(torch.int64)


def _edges(bins: Tensor) -> Tensor:
    """The lowest score of each bin."""
    return ((bins + (_HIGHEST - BINS + 1)) << _SHIFT).to(torch.int32).view(torch.float32)
