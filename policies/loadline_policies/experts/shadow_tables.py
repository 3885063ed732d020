"""
What each γ would drop and gain, computed from the loads of experts, before any output is changed.

The counts of a layer are sums over batches. A table's row divides such sums: the share of pairs that
token drop would drop, and how much less the fullest rank would have to compute. Layers run one after the
other, so the counts of several may be added and make one table of the whole model.

A row's gain is a bound for the time of the experts alone. What else a step takes doesn't shrink;
`speedup` counts it where it is known. Rerouting drops fewer pairs than the row says,
and leaves ranks fuller.

Source: the paper's equation 11, with its γ·N̄ rounded up to a capacity, as token drop does.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from loadline_policies.experts.capacities import GRID_THOUSANDTHS, capacities
from loadline_policies.experts.placements import Placement


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Sums over batches. `dropped` and `capped_rank_most` have an entry for each γ of the grid."""

    pairs: int
    expert_mean: float
    """Offered pairs of an expert, if all had the same; the others are of the fullest one."""

    expert_most: float
    rank_mean: float
    rank_most: float
    dropped: tuple[int, ...]
    capped_rank_most: tuple[float, ...]

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            pairs=self.pairs + other.pairs,
            expert_mean=self.expert_mean + other.expert_mean,
            expert_most=self.expert_most + other.expert_most,
            rank_mean=self.rank_mean + other.rank_mean,
            rank_most=self.rank_most + other.rank_most,
            dropped=tuple(map(sum, zip(self.dropped, other.dropped, strict=True))),
            capped_rank_most=tuple(map(sum, zip(self.capped_rank_most, other.capped_rank_most, strict=True))),
        )

    @property
    def expert_imbalance(self) -> float | None:
        """The fullest expert's load as a multiple of the mean; None without a pair."""
        return self.expert_most / self.expert_mean if self.pairs else None

    @property
    def rank_imbalance(self) -> float | None:
        """The fullest rank's load as a multiple of the mean; None without a pair."""
        return self.rank_most / self.rank_mean if self.pairs else None


def summed(counts: Iterable[Counts]) -> Counts | None:
    """The counts of several layers or batches together; None without one."""
    found = list(counts)
    return sum(found[1:], found[0]) if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowRow:
    """What one γ would do. `rank_most` and `capped_rank_most` are multiples of a rank's mean load."""

    gamma_thousandths: int
    dropped_fraction: float
    rank_most: float
    capped_rank_most: float

    def speedup(self, *, fixed: float = 0.0) -> float:
        """How many times as fast a layer would be.

        `fixed` is what a layer takes besides its experts, as a multiple of the time of a rank with the
        mean load; at 0 the result is the most that this γ can gain.
        """
        return (fixed + self.rank_most) / (fixed + self.capped_rank_most)


def count(
    loads: Sequence[int],
    *,
    tokens: int,
    top_k: int,
    placement: Placement,
    grid_thousandths: Sequence[int] = GRID_THOUSANDTHS,
) -> Counts:
    """The counts of one batch of one layer, from the offered pairs of each expert."""
    dropped, capped_rank_most = [], []
    for gamma in grid_thousandths:
        bounds = capacities(placement.replicas, gamma_thousandths=gamma, tokens=tokens, top_k=top_k)
        within = list(map(min, loads, bounds))
        dropped.append(sum(loads) - sum(within))
        capped_rank_most.append(max(placement.rank_loads(within)))
    return Counts(
        pairs=sum(loads),
        expert_mean=sum(loads) / len(loads),
        expert_most=max(loads),
        rank_mean=sum(loads) / len(placement.ranks),
        rank_most=max(placement.rank_loads(loads)),
        dropped=tuple(dropped),
        capped_rank_most=tuple(capped_rank_most),
    )


def shadow_table(
    counts: Counts, *, grid_thousandths: Sequence[int] = GRID_THOUSANDTHS
) -> tuple[ShadowRow, ...]:
    """A row for each γ; no rows without a pair, since nothing is known then."""
    if not counts.pairs:
        return ()
    rows = zip(grid_thousandths, counts.dropped, counts.capped_rank_most, strict=True)
    return tuple(
        ShadowRow(
            gamma_thousandths=gamma,
            dropped_fraction=dropped / counts.pairs,
            rank_most=counts.rank_most / counts.rank_mean,
            capped_rank_most=capped / counts.rank_mean,
        )
        for gamma, dropped, capped in rows
    )
