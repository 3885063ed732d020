"""
What a policy of the experts' loop observes of one engine, and what it may ask for.

A policy gets forecasts for a few capacity factors (γ), how the service stands against its objectives, what
its spec allows, and the readings of the guard. It knows no engine, rank or token: an agent composes the
observation from what the engine's plugin reports, and sends the answer under a lease. So a policy is small
enough to be read, replayed and compared.

An unknown reading is None. A policy may not take it for a good one.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Generic, TypeVar

from loadline_policies.decisions import Decision


class PlacementState(StrEnum):
    """Whether experts are placed for the present load. Placing them drops no pair, so it comes first."""

    PLANNED = "Planned"
    PENDING = "Pending"
    UNAVAILABLE = "Unavailable"
    """The engine can't place experts by their load, so there is nothing to wait for."""

    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class GammaForecast:
    """What a γ would cost and gain, computed from the loads of experts alone.

    `dropped_fraction` is the share of pairs above the capacity. `step_ratio` is the predicted time of a step
    as a fraction of the time without a capacity; None while nothing is known of it.
    """

    gamma_thousandths: int
    dropped_fraction: float
    step_ratio: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pressure:
    """The objective that is missed most, as its percentile divided by its target: above 1 it is missed.

    A percentile is known as far as the bucket of the histogram that it lies in: between `least` and `most`.
    """

    least: float
    estimate: float
    most: float

    @property
    def missed(self) -> bool:
        """Whether the objective is missed, wherever the percentile lies."""
        return self.least >= 1.0

    @property
    def met(self) -> bool:
        """Whether it is met, wherever the percentile lies."""
        return self.most <= 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardReadings:
    """What is measured under the γ in force, since it is in force.

    `dropped_fraction` is the share of pairs that were dropped, `without_expert_fraction` the share of tokens
    that lost all experts of a layer. `canary_drift_nats` is by how much the mean log-probability of the
    canary prompts is below that of the same prompts without a capacity.
    """

    dropped_fraction: float | None = None
    without_expert_fraction: float | None = None
    canary_drift_nats: float | None = None

    @property
    def complete(self) -> bool:
        """Whether all of it was read."""
        return None not in (self.dropped_fraction, self.without_expert_fraction, self.canary_drift_nats)


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What the service's spec allows; a policy's own settings may only allow less.

    `able` says whether the engine can carry it out, None while it hasn't reported that.
    """

    enforce: bool = False
    able: bool | None = True
    min_gamma_percent: int = 100
    max_gamma_percent: int = 10_000
    max_dropped_percent: int = 100
    max_without_expert_permille: int = 1_000
    max_canary_drift_millinats: int = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceLoad:
    """One engine of a service as its agent observes it.

    `forecasts` are in ascending order of γ. `pressure` is None where it is unknown or the service has no
    objective. `baseline_known` says whether the canaries' log-probability without a capacity was measured,
    without which a drift can't be. `age_s` is the age of the oldest of these readings.
    """

    forecasts: tuple[GammaForecast, ...] = ()
    pressure: Pressure | None = None
    placement: PlacementState = PlacementState.UNKNOWN
    guard: GuardReadings = field(default_factory=GuardReadings)
    baseline_known: bool = False
    allowance: Allowance = field(default_factory=Allowance)
    age_s: float = 0.0


class Reason(StrEnum):
    """Why a policy bounds the experts or doesn't, in the words of the API."""

    NOT_ALLOWED = "NotAllowed"
    CANNOT_BOUND = "CannotBound"
    READINGS_UNKNOWN = "ReadingsUnknown"
    PLACEMENT_FIRST = "PlacementFirst"
    OBJECTIVE_MET = "ObjectiveMet"
    OBJECTIVE_MISSED = "ObjectiveMissed"
    COOLING_DOWN = "CoolingDown"
    NO_SUITABLE_GAMMA = "NoSuitableGamma"
    GUARD_BREACHED = "GuardBreached"
    POLICY_OBSERVES = "PolicyObserves"
    """The policy in force never bounds the experts."""


GRAVEST_FIRST: Final = (
    Reason.GUARD_BREACHED,
    Reason.OBJECTIVE_MISSED,
    Reason.READINGS_UNKNOWN,
    Reason.CANNOT_BOUND,
    Reason.NO_SUITABLE_GAMMA,
    Reason.COOLING_DOWN,
    Reason.PLACEMENT_FIRST,
    Reason.NOT_ALLOWED,
    Reason.POLICY_OBSERVES,
    Reason.OBJECTIVE_MET,
)
"""Which reason stands for several engines that differ: first a breach, then that some are bounded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What a policy asks for: the γ to enforce, None to observe only; and why."""

    gamma_thousandths: int | None = None
    reason: Reason = Reason.POLICY_OBSERVES


C = TypeVar("C")
S = TypeVar("S")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertsPolicy(Generic[C, S]):
    """A name, the settings it reads, the state it starts in, and how it decides."""

    name: str
    config: type[C]
    start: S
    decide: Callable[[ServiceLoad, S, C, float], Decision[Capacity, S]]

    @property
    def summary(self) -> str:
        """What it does: the first line of its `decide`."""
        return (self.decide.__doc__ or "").strip().partition("\n")[0]
