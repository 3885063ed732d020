"""
What POLCA and Loadline are compared with.

`no-cap` never acts. The two one-threshold policies are the paper's baselines: one
threshold, one clock, for low priority or for everybody. `static-cap` gives each
priority a fixed watt limit and looks at nothing, which is what NVIDIA Dynamo's
Power Agent does with a pod's annotation. All brake above the budget but `no-cap`,
whose row is protected by its breaker alone.

Source: POLCA (ASPLOS'24), section 6.1; ai-dynamo/dynamo#9682 for `static-cap`.
"""

from dataclasses import dataclass

from pydantic import Field, model_validator

from loadline_policies.decisions import Decision
from loadline_policies.errors import InvalidPolicy
from loadline_policies.power.rows import FREE, Cap, Caps, PowerPolicy, Row
from loadline_policies.settings import Settings


class NoCapConfig(Settings):
    """`no-cap` has nothing to set."""


@dataclass(frozen=True, slots=True)
class NoState:
    """Nothing to remember."""


def decide_no_cap(row: Row, state: NoState, config: NoCapConfig, now: float) -> Decision[Caps, NoState]:  # noqa: PLR0917
    """Cap nothing; the breaker alone protects the row."""
    return Decision(Caps(next_load=float("inf")), state)


NORMAL, CAPPED, BRAKE = ONE_THRESHOLD_LEVELS = ("Normal", "Capped", "Brake")


class OneThresholdConfig(Settings):
    """What the one-threshold documents may set. Percent are of the domain's budget."""

    threshold_percent: int = Field(
        89, ge=1, le=100, description="the threshold, above which the clock is lowered"
    )
    hysteresis_percent: int = Field(
        5, ge=1, le=50, description="points below the threshold at which the clock is unlocked"
    )
    clock_mhz: int = Field(1110, gt=0, description="SM clock above the threshold, in MHz")
    brake_mhz: int = Field(288, gt=0, description="SM clock of both classes above the budget, in MHz")
    brake_hold_seconds: int = Field(10, ge=0, description="seconds for which a brake is held at least")

    @model_validator(mode="after")
    def _in_order(self) -> "OneThresholdConfig":
        if self.hysteresis_percent >= self.threshold_percent:
            raise InvalidPolicy(
                "hysteresisPercent",
                self.hysteresis_percent,
                fix=f"set it below thresholdPercent ({self.threshold_percent})",
            )
        return self


@dataclass(frozen=True, slots=True)
class OneThresholdState:
    """Whether the cap is on, and since when the brake is."""

    capped: bool = False
    braked_since_s: float | None = None


def _one_threshold(
    row: Row, state: OneThresholdState, config: OneThresholdConfig, *, now: float
) -> tuple[bool, bool, OneThresholdState]:
    threshold = config.threshold_percent / 100
    release = threshold - config.hysteresis_percent / 100
    capped = row.load > threshold or (state.capped and row.load >= release)
    since = state.braked_since_s
    if row.load > 1.0:
        since = now
    elif since is not None and now - since >= config.brake_hold_seconds and row.load < release:
        since = None
    return capped or since is not None, since is not None, OneThresholdState(capped, since)


def decide_low(  # noqa: PLR0917
    row: Row, state: OneThresholdState, config: OneThresholdConfig, now: float
) -> Decision[Caps, OneThresholdState]:
    """Lower the clock of low priority above one threshold."""
    capped, braked, state = _one_threshold(row, state, config, now=now)
    cap = Cap(config.clock_mhz) if capped else FREE
    return Decision(_caps(cap, FREE, braked=braked, capped=capped, config=config), state)


def decide_all(  # noqa: PLR0917
    row: Row, state: OneThresholdState, config: OneThresholdConfig, now: float
) -> Decision[Caps, OneThresholdState]:
    """Lower the clock of both classes above one threshold."""
    capped, braked, state = _one_threshold(row, state, config, now=now)
    cap = Cap(config.clock_mhz) if capped else FREE
    return Decision(_caps(cap, cap, braked=braked, capped=capped, config=config), state)


def resume_one_threshold(level: str, now: float) -> OneThresholdState:
    """At this level since `now`."""
    return OneThresholdState(level != NORMAL, now if level == BRAKE else None)


def _caps(low: Cap, high: Cap, *, braked: bool, capped: bool, config: OneThresholdConfig) -> Caps:
    if braked:
        low = high = Cap(config.brake_mhz)
    level = BRAKE if braked else CAPPED if capped else NORMAL
    threshold = config.threshold_percent / 100
    next_load = 1.0 if capped else threshold
    return Caps(low=low, high=high, brake=braked, level=level, next_load=next_load, relief_load=threshold)


class StaticCapConfig(Settings):
    """What a `static-cap` document may set: watts a GPU, by priority; absent means uncapped."""

    low_watts: int | None = Field(None, gt=0, description="power limit of each low-priority GPU, in watts")
    high_watts: int | None = Field(None, gt=0, description="power limit of each high-priority GPU, in watts")


def decide_static(row: Row, state: NoState, config: StaticCapConfig, now: float) -> Decision[Caps, NoState]:  # noqa: PLR0917
    """Hold each class at one fixed power limit, whatever the row draws."""
    caps = Caps(
        low=Cap(watts=config.low_watts),
        high=Cap(watts=config.high_watts),
        level="Static",
        next_load=float("inf"),
    )
    return Decision(caps, state)


NO_CAP = PowerPolicy(name="no-cap", config=NoCapConfig, start=NoState(), decide=decide_no_cap)
ONE_THRESHOLD_LOW = PowerPolicy(
    name="one-threshold-low-priority",
    config=OneThresholdConfig,
    start=OneThresholdState(),
    decide=decide_low,
    levels=ONE_THRESHOLD_LEVELS,
    resume=resume_one_threshold,
)
ONE_THRESHOLD_ALL = PowerPolicy(
    name="one-threshold-all",
    config=OneThresholdConfig,
    start=OneThresholdState(),
    decide=decide_all,
    levels=ONE_THRESHOLD_LEVELS,
    resume=resume_one_threshold,
)
STATIC_CAP = PowerPolicy(name="static-cap", config=StaticCapConfig, start=NoState(), decide=decide_static)
