"""
Random batches as a router would answer them: skewed, biased, limited to groups, padded, with ties.

A case is drawn from its seed alone. Scores are a softmax or sigmoids with a skew by expert; `tied` ones
have few different values. Needs torch.
"""

import random
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from loadline_vllm.experts.capacities import capacities
from loadline_vllm.experts.priorities import Metric, Ranking, priorities
from loadline_vllm.experts.routings import NEVER, Chosen, chosen
from testbed.experts import reference
from testbed.experts.reference import Batch, Pair


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What kind of batch is drawn."""

    tokens: int
    experts: int
    top_k: int
    metric: Metric = Metric.SCORE
    skew: float = 1.5
    """Standard deviation of the experts' logits over the layer."""

    tied: bool = False
    biased: bool = False
    """Whether the router adds a bias of each expert for its selection only."""

    groups: int = 1
    """Of these, a token may have experts of half; 1: there are none."""

    padding: int = 0
    """Rows of padding at the end of the batch: half with negative ids, half masked."""

    classes: bool = False
    """Whether a third of the tokens comes behind all others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A batch as tensors; `batch` is the same for the reference."""

    shape: Shape
    ids: Tensor
    weights: Tensor
    scores: Tensor
    selection: Tensor
    real: Tensor
    ranking: Ranking

    @property
    def own(self) -> Chosen:
        """What the router chose."""
        return chosen(self.ids, self.weights, experts=self.shape.experts, real=self.real)

    @property
    def priorities(self) -> Tensor:
        """Of the router's own pairs."""
        own = self.own
        return priorities(self.scores.gather(1, own.experts), own.experts, self.ranking)

    @property
    def batch(self) -> Batch:
        """For the reference."""
        classes = self.ranking.classes
        return Batch(
            chosen=self.ids.tolist(),
            scores=self.scores.tolist(),
            selection=self.selection.tolist(),
            real=self.real.tolist(),
            classes=[0.0] * len(self.ids) if classes is None else classes.tolist(),
            metric=self.shape.metric.name.lower(),
            seed=int(self.ranking.seed),
        )

    def bounds(self, gamma_thousandths: int, replicas: list[int] | None = None) -> Tensor:
        """The capacities of the experts; one replica each, unless said otherwise."""
        return capacities(
            torch.tensor([1] * self.shape.experts if replicas is None else replicas),
            gamma_thousandths=torch.tensor(gamma_thousandths),
            tokens=torch.tensor(len(self.batch.tokens)),
            top_k=self.shape.top_k,
        )


def draw(seed: int, shape: Shape) -> Case:
    """The case of a seed."""
    generator = torch.Generator().manual_seed(seed)
    rows, experts = shape.tokens + shape.padding, shape.experts
    logits = torch.randn(rows, experts, generator=generator)
    logits += shape.skew * torch.randn(experts, generator=generator)
    scores = torch.sigmoid(logits) if shape.biased else torch.softmax(logits, -1)
    if shape.tied:
        scores = (scores * 8).ceil() / 8
    selection = scores.clone()
    if shape.biased:
        selection += 0.1 * torch.randn(experts, generator=generator)
    if shape.groups > 1:
        selection = _within_groups(selection, shape.groups)
    ids = selection.topk(shape.top_k, dim=1, sorted=False).indices.to(torch.int32)
    weights = scores.gather(1, ids.long())
    weights = 2.5 * weights / weights.sum(1, keepdim=True) if shape.biased else weights
    real = torch.arange(rows) < shape.tokens + shape.padding // 2
    ids[shape.tokens : shape.tokens + shape.padding // 2] = -1
    classes = -(torch.rand(rows, generator=generator) < 1 / 3).float() if shape.classes else None
    ranking = Ranking(metric=torch.tensor(int(shape.metric)), seed=torch.tensor(seed % 97), classes=classes)
    return Case(
        shape=shape,
        ids=ids,
        weights=weights,
        scores=scores,
        selection=selection,
        real=real,
        ranking=ranking,
    )


def some_shape(
    seed: int, *, metric: Metric = Metric.SCORE, tied: bool = False, most_tokens: int = 96
) -> Shape:
    """A shape of a seed, as routers have them: from 4 to 64 experts, 1 to 8 for each token."""
    draw = random.Random(seed)
    experts = draw.choice((4, 8, 16, 60, 64))
    groups = draw.choice((1, 1, 4)) if experts % 4 == 0 else 1
    return Shape(
        tokens=draw.randint(1, most_tokens),
        experts=experts,
        top_k=draw.randint(1, min(8, experts // min(groups, 2))),
        metric=metric,
        skew=draw.choice((0.0, 0.5, 1.5, 3.0)),
        tied=tied,
        biased=draw.random() < 1 / 3,
        groups=groups,
        padding=draw.choice((0, 0, 2, 7)),
        classes=draw.random() < 1 / 4,
    )


def pairs(experts: Tensor, kept: Tensor) -> set[Pair]:
    """The pairs that are kept, as the reference has them."""
    rows, columns = kept.nonzero(as_tuple=True)
    return set(zip(rows.tolist(), experts[rows, columns].tolist(), strict=True))


def reference_bounds(case: Case, gamma_thousandths: int, replicas: list[int] | None = None) -> list[int]:
    """The capacities by the reference."""
    return reference.capacities(
        [1] * case.shape.experts if replicas is None else replicas,
        gamma=Fraction(gamma_thousandths, 1000),
        tokens=len(case.batch.tokens),
        top_k=case.shape.top_k,
    )


def _within_groups(selection: Tensor, groups: int) -> Tensor:
    """The selection, NEVER outside of the half of the groups that has the best experts."""
    rows, experts = selection.shape
    best = selection.view(rows, groups, -1).amax(2).topk(groups // 2, dim=1).indices
    allowed = torch.zeros(rows, groups, dtype=torch.bool).scatter(1, best, True)
    mask = allowed.unsqueeze(2).expand(rows, groups, experts // groups).reshape(rows, experts)
    return selection.masked_fill(~mask, NEVER)
