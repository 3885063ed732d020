"""
Which experts are on which rank of an expert-parallel group, and how many replicas each has.

A physical expert is one copy of the weights of a logical one. The router chooses logical experts; which
replica computes a pair is decided by a hash of the token, so the replicas of an expert share its load
about evenly, and here exactly evenly.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from loadline_policies.errors import InvalidInput


@dataclass(frozen=True)
class Placement:
    """`ranks` has, for each rank, the logical experts of its physical ones; one may occur repeatedly.

    Raises InvalidInput when an expert below the highest is on no rank.
    """

    ranks: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        placed = {expert for rank in self.ranks for expert in rank}
        if not placed or placed != set(range(max(placed) + 1)):
            raise InvalidInput(
                "experts.placement", self.ranks, fix="place each expert from 0 upwards on at least one rank"
            )

    @cached_property
    def replicas(self) -> tuple[int, ...]:
        """The number of physical experts of each logical one."""
        counts = [0] * (1 + max(expert for rank in self.ranks for expert in rank))
        for rank in self.ranks:
            for expert in rank:
                counts[expert] += 1
        return tuple(counts)

    @cached_property
    def shares(self) -> tuple[tuple[tuple[int, float], ...], ...]:
        """For each rank, its logical experts and the share of each one's load that falls to the rank."""
        return tuple(
            tuple((expert, rank.count(expert) / self.replicas[expert]) for expert in sorted(set(rank)))
            for rank in self.ranks
        )

    def rank_loads(self, loads: Sequence[float]) -> list[float]:
        """The load of each rank, given that of each logical expert."""
        return [sum([loads[expert] * share for expert, share in rank]) for rank in self.shares]


def contiguous(experts: int, ranks: int) -> Placement:
    """Experts in order without replicas, as vLLM places them without EPLB; the first ranks get one more."""
    each, more = divmod(experts, ranks)
    firsts = [rank * each + min(rank, more) for rank in range(ranks + 1)]
    return Placement(tuple(tuple(range(first, end)) for first, end in pairwise(firsts)))
