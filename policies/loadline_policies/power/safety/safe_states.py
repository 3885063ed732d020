"""
Where the nodes fall without us, computed before anybody leans on it.

S1: the sum of all safe limits, hosts at their maximum, is within the budget. A
safe limit lies at the same share of every GPU's settable range, so that a mixed
row gives alike. A node whose limits can't be set counts at its nameplate, a GPU
that doesn't obey at what it holds, and the rest of the row gives for them.

S2 needs two figures more: how many silent nodes the breaker bears while all the
others are safe, and whether it bears the row at its maximum for twice the time
that a reaction takes. All figures count GPU watts × sensor gain.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from loadline_policies.errors import UnsafeDomain
from loadline_policies.power.safety.breakers import WARM, Curve

SafeLimits = Mapping[str, float]
"""Safe watts by GPU UUID."""


BUDGET_TOO_SMALL = "BudgetTooSmall"
"""The reason where not even the lowest settable limits fit the budget."""

SENSOR_GAIN = 1.05
"""What a GPU may draw per watt that its sensor shows.

Source: "Part-time Power Measurements" (arXiv 2312.02741): ±5 % gain per board.
"""


@dataclass(frozen=True, slots=True)
class GpuRating:
    """A GPU's settable range in watts. `fixed_watts` is what one that doesn't obey counts at; else None."""

    uuid: str
    min_watts: float
    max_watts: float
    fixed_watts: float | None = None

    @property
    def least_watts(self) -> float:
        """The lowest limit that can be counted on."""
        return self.min_watts if self.fixed_watts is None else self.fixed_watts

    def watts_at(self, limits: SafeLimits) -> float:
        """The limit that counts under `limits`; the maximum where they have none."""
        if self.fixed_watts is not None:
            return self.fixed_watts
        return min(limits.get(self.uuid, self.max_watts), self.max_watts)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRating:
    """What a node's hardware can draw at most, and how far it can be lowered."""

    node: str
    host_max_watts: float
    gpus: tuple[GpuRating, ...]
    settable: bool = True

    @property
    def nameplate_watts(self) -> float:
        """The most that the node can draw, sensor gain included."""
        return self.host_max_watts + SENSOR_GAIN * sum(gpu.max_watts for gpu in self.gpus)

    @property
    def floor_watts(self) -> float:
        """The least that the node can be limited to, sensor gain included."""
        if not self.settable:
            return self.nameplate_watts
        return self.host_max_watts + SENSOR_GAIN * sum(gpu.least_watts for gpu in self.gpus)

    @property
    def span_watts(self) -> float:
        """How far the node's safe limits can be moved, sensor gain included."""
        if not self.settable:
            return 0.0
        return SENSOR_GAIN * sum(
            gpu.max_watts - gpu.min_watts for gpu in self.gpus if gpu.fixed_watts is None
        )

    def watts_at(self, limits: SafeLimits) -> float:
        """The most that the node draws under `limits`; a GPU without one counts at its maximum."""
        return self.host_max_watts + SENSOR_GAIN * sum(gpu.watts_at(limits) for gpu in self.gpus)


def safe_limits(ratings: Iterable[NodeRating], budget_watts: float) -> SafeLimits:
    """Safe watts of every settable GPU, whole watts rounded down.

    Raises UnsafeDomain (`BudgetTooSmall`) when not even the lowest settable limits fit.
    """
    rows = tuple(ratings)
    floor = sum(rating.floor_watts for rating in rows)
    if floor > budget_watts:
        raise UnsafeDomain(
            BUDGET_TOO_SMALL,
            f"budgetWatts is {budget_watts:.0f}: hosts at their maximum and GPUs at their lowest settable"
            f" limits draw {math.ceil(floor)} W on {len(rows)} nodes; raise it or take nodes out of the"
            " domain",
        )
    span = sum(rating.span_watts for rating in rows)
    share = 1.0 if span == 0 else min(1.0, (budget_watts - floor) / span)
    return {gpu.uuid: _at_share(gpu, share) for rating in rows if rating.settable for gpu in rating.gpus}


def _at_share(gpu: GpuRating, share: float) -> float:
    if gpu.fixed_watts is not None:
        return gpu.fixed_watts
    return max(gpu.min_watts, math.floor(gpu.min_watts + share * (gpu.max_watts - gpu.min_watts)))


def tolerated_silent_nodes(ratings: Iterable[NodeRating], limits: SafeLimits, *, ceiling_watts: float) -> int:
    """The largest k for which the k worst nodes at nameplate and all others at safe stay within the ceiling.

    `ceiling_watts` is the load that the breaker bears for ever. -1 when not even k = 0 does.
    """
    rows = tuple(ratings)
    total = sum(rating.watts_at(limits) for rating in rows)
    if total > ceiling_watts:
        return -1
    rises = sorted((r.nameplate_watts - r.watts_at(limits) for r in rows), reverse=True)
    for count, rise in enumerate(rises):
        total += rise
        if total > ceiling_watts:
            return count
    return len(rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """How long each part of a reaction may take, in seconds.

    A power lease is 4 s and a Kubernetes Lease 15 s by default. `raise_within_s` is how
    long after its last renewal a coordinator may still raise; a node is silent when its
    last report is older than `silent_after_s`.
    """

    sensor_s: float = 0.35
    report_s: float = 1.0
    decision_s: float = 1.0
    lease_s: float = 4.0
    actuation_s: float = 0.5
    raise_within_s: float = 10.0
    silent_after_s: float = 2.0
    slack_s: float = 1.0

    @property
    def reaction_s(self) -> float:
        """The longest that a row can stay above its limits before every node is safe."""
        return self.sensor_s + self.report_s + self.decision_s + self.lease_s + self.actuation_s

    @property
    def settle_s(self) -> float:
        """How long a GPU that was let go may stay unseen on the meter."""
        return self.sensor_s + self.report_s + self.actuation_s + self.slack_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Safety:
    """What S1 and S2 say of a domain that may be enforced.

    `ceiling_heat` is the heat up to which limits may lie above safe: from there one
    whole reaction at `max_load`, and a fifth, still doesn't trip.
    """

    limits: SafeLimits
    safe_watts: float
    tolerates_silent_nodes: int
    max_load: float
    warm_trip_s: float
    ceiling_heat: float


def assess(ratings: Iterable[NodeRating], *, budget_watts: float, curve: Curve, timings: Timings) -> Safety:
    """S1 and S2 of these nodes under this budget; UnsafeDomain says which fails and what would fix it."""
    rows = tuple(ratings)
    limits = safe_limits(rows, budget_watts)
    max_load = sum(rating.nameplate_watts for rating in rows) / budget_watts
    trip_s = curve.trip_s(max_load)
    warm_trip_s = (1.0 - WARM) * trip_s
    if warm_trip_s < 2 * timings.reaction_s:
        raise UnsafeDomain(
            "ReactionTooSlow",
            f"breaker.curve bears {max_load:.2f} of the budget, all nodes at their maximum, for "
            f"{warm_trip_s:.1f} s when warm; twice the reaction takes {2 * timings.reaction_s:.1f} s: "
            "lower leaseSeconds, raise budgetWatts, or take nodes out of the domain",
        )
    return Safety(
        limits=limits,
        safe_watts=sum(rating.watts_at(limits) for rating in rows),
        tolerates_silent_nodes=tolerated_silent_nodes(
            rows, limits, ceiling_watts=curve.borne_load * budget_watts
        ),
        max_load=max_load,
        warm_trip_s=warm_trip_s,
        ceiling_heat=1.0 - 1.2 * timings.reaction_s / trip_s,
    )
