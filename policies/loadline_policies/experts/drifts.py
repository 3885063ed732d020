"""
How far a placement that was planned from earlier loads fits the loads of now.

A placement follows the loads of a past window. Where the traffic has changed since, its fullest rank has
more load than a plan for the present loads would leave it; the quotient of both is the drift. It lies
between 1, where no better plan is known, and the number of ranks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from loadline_policies.experts.placements import Placement


@dataclass(frozen=True, slots=True)
class Drift:
    """How many times as full the fullest rank is as it need be, by layer; None without a pair."""

    layers: tuple[float | None, ...]
    total: float | None
    """Of all layers, which run one after the other."""


def drift(
    loads: Sequence[Sequence[float]], *, earlier: Sequence[Placement], now: Sequence[Placement]
) -> Drift:
    """The drift of the placements `earlier`, given each layer's loads and placements planned for them.

    A plan isn't always better than an earlier one; where it is worse, the earlier one is the measure.
    """
    layers = [
        (max(before.rank_loads(each)), max(planned.rank_loads(each)))
        for each, before, planned in zip(loads, earlier, now, strict=True)
    ]
    needed = [min(both) for both in layers]
    return Drift(
        layers=tuple(
            most / least if least else None for (most, _), least in zip(layers, needed, strict=True)
        ),
        total=sum(most for most, _ in layers) / sum(needed) if any(needed) else None,
    )
