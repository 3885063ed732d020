"""
POLCA: two thresholds, two priorities, and a brake.

Low priority gives first: at T1 a shallow clock, at T2 a deep one. High priority is
touched only when the deep clock of the low one has had one actuation to show on
the meter and the row still stands above T2. Above the budget everybody brakes. A
step is undone a few points below where it was taken, or the row would flutter.

Clocks and thresholds are the paper's, and so is the default actuation of 40 s
(out-of-band, through the BMC); a row that sets clocks in band says so in its
document and may stand closer to the budget. Nothing here knows a node or a clock.

Source: POLCA (ASPLOS'24, arXiv 2308.12908), section 5 and table 1.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from pydantic import Field, model_validator

from loadline_policies.decisions import Decision
from loadline_policies.errors import InvalidPolicy
from loadline_policies.power.rows import FREE, Cap, Caps, PowerPolicy, Row
from loadline_policies.settings import Settings


class Level(StrEnum):
    """The states of POLCA, from free to braked."""

    NORMAL = "Normal"
    LOW_SHALLOW = "LowShallow"
    LOW_DEEP = "LowDeep"
    HIGH = "High"
    BRAKE = "Brake"


LADDER = tuple(Level)


class Config(Settings):
    """What a `polca` document may set. Percent are of the domain's budget."""

    threshold1_percent: int = Field(
        80, ge=1, le=100, description="T1: above it the low class gets its shallow clock"
    )
    threshold2_percent: int = Field(
        89, ge=1, le=100, description="T2: above it the low class gets its deep clock"
    )
    hysteresis_percent: int = Field(
        5, ge=1, le=50, description="points below a threshold at which its step is undone"
    )
    low_shallow_mhz: int = Field(
        1275, gt=0, description="SM clock of the low class above T1, in MHz (A100 base clock)"
    )
    low_deep_mhz: int = Field(1110, gt=0, description="SM clock of the low class above T2, in MHz")
    high_mhz: int = Field(
        1305,
        gt=0,
        description="SM clock of the high class, in MHz, if the row is still above T2 one actuation later",
    )
    brake_mhz: int = Field(288, gt=0, description="SM clock of both classes above the budget, in MHz")
    actuation_millis: int = Field(
        40_000, ge=0, description="milliseconds until a new clock shows in the draw"
    )
    brake_hold_seconds: int = Field(10, ge=0, description="seconds for which a brake is held at least")

    @model_validator(mode="after")
    def _in_order(self) -> "Config":
        if self.threshold1_percent >= self.threshold2_percent:
            raise InvalidPolicy(
                "threshold1Percent",
                self.threshold1_percent,
                fix=f"set it below threshold2Percent ({self.threshold2_percent})",
            )
        if self.hysteresis_percent >= self.threshold1_percent:
            raise InvalidPolicy(
                "hysteresisPercent",
                self.hysteresis_percent,
                fix=f"set it below threshold1Percent ({self.threshold1_percent})",
            )
        if self.low_deep_mhz > self.low_shallow_mhz:
            raise InvalidPolicy(
                "lowDeepMhz",
                self.low_deep_mhz,
                fix=f"set it to lowShallowMhz ({self.low_shallow_mhz}) or less",
            )
        return self

    @property
    def actuation_s(self) -> float:
        """Seconds that a clock takes to show on the meter."""
        return self.actuation_millis / 1000


@dataclass(frozen=True, slots=True)
class State:
    """Where the ladder stands, and since when."""

    level: Level = Level.NORMAL
    since_s: float = float("-inf")


def decide(row: Row, state: State, config: Config, now: float) -> Decision[Caps, State]:  # noqa: PLR0917
    """Lower clocks in steps as the draw nears the budget, low priority first, and undo one step at a time.

    `now` is in seconds on the clock of `since_s`. The high class is capped only
    after the deep clock of the low class has had one actuation, and at a load still
    above T2; a step down waits for the threshold's hysteresis.
    """
    level = _climbed(row.load, state, config=config, now=now)
    if level is state.level:
        level = _descended(row.load, state, config=config, now=now)
    if level is not state.level:
        state = replace(state, level=level, since_s=now)
    return Decision(_caps(state.level, config), state)


def _climbed(load: float, state: State, *, config: Config, now: float) -> Level:
    settled = now - state.since_s >= config.actuation_s
    if load > 1.0:
        wanted = Level.BRAKE
    elif load > config.threshold2_percent / 100:
        deep_had_its_time = state.level is Level.LOW_DEEP and settled
        wanted = Level.HIGH if deep_had_its_time else Level.LOW_DEEP
    elif load > config.threshold1_percent / 100:
        wanted = Level.LOW_SHALLOW
    else:
        wanted = Level.NORMAL
    return max(state.level, wanted, key=LADDER.index)


def _descended(load: float, state: State, *, config: Config, now: float) -> Level:
    back = config.hysteresis_percent / 100
    below = {
        Level.BRAKE: config.threshold2_percent / 100 - back,
        Level.HIGH: config.threshold2_percent / 100 - back,
        Level.LOW_DEEP: config.threshold2_percent / 100 - back,
        Level.LOW_SHALLOW: config.threshold1_percent / 100 - back,
        Level.NORMAL: float("-inf"),
    }[state.level]
    held = now - state.since_s
    if load >= below or (state.level is Level.BRAKE and held < config.brake_hold_seconds):
        return state.level
    if state.level is not Level.BRAKE and held < config.actuation_s:
        return state.level
    return LADDER[LADDER.index(state.level) - 1]


def _caps(level: Level, config: Config) -> Caps:
    t1, t2 = config.threshold1_percent / 100, config.threshold2_percent / 100
    shallow, deep = Cap(config.low_shallow_mhz), Cap(config.low_deep_mhz)
    low, high, next_load = {
        Level.NORMAL: (FREE, FREE, t1),
        Level.LOW_SHALLOW: (shallow, FREE, t2),
        Level.LOW_DEEP: (deep, FREE, 1.0),
        Level.HIGH: (deep, Cap(config.high_mhz), 1.0),
        Level.BRAKE: (Cap(config.brake_mhz), Cap(config.brake_mhz), 1.0),
    }[level]
    return Caps(
        low=low, high=high, brake=level is Level.BRAKE, level=level, next_load=next_load, relief_load=t2
    )


def resume(level: str, now: float) -> State:
    """At this level since `now`: how long it had been held before, another coordinator doesn't know."""
    return State(Level(level), since_s=now)


POLCA = PowerPolicy(name="polca", config=Config, start=State(), decide=decide, levels=LADDER, resume=resume)
