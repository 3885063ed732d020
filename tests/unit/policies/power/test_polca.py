"""POLCA's ladder: who gives first, when the next step may come, and when it is undone."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_policies.errors import InvalidPolicy
from loadline_policies.power.polca import LADDER, Config, Level, State, decide
from loadline_policies.power.rows import FREE, Caps, Row

PAPER = Config()
IN_BAND = Config(threshold1_percent=90, threshold2_percent=95, actuation_millis=500)
LOADS = st.lists(st.tuples(st.floats(0.3, 1.4), st.floats(0.05, 60.0)), max_size=60)


def at(load: float, state: State, *, config: Config = PAPER, now: float = 0.0) -> tuple[Caps, State]:
    return decide(Row(load), state, config, now)


def over(loads: list[tuple[float, float]], config: Config) -> list[tuple[float, float, State, State]]:
    """(load, now, state before, state after) of every decision along a series of (load, seconds)."""
    steps, state, now = [], State(), 0.0
    for load, dt_s in loads:
        now += dt_s
        _, after = at(load, state, config=config, now=now)
        steps.append((load, now, state, after))
        state = after
    return steps


def test_below_the_first_threshold_nobody_is_capped() -> None:
    caps, _ = at(0.79, State())
    assert (caps.low, caps.high, caps.brake) == (FREE, FREE, False)


def test_low_priority_is_capped_first() -> None:
    caps, _ = at(0.85, State())
    assert caps.low.clock_mhz == 1275
    assert caps.high == FREE


def test_the_second_threshold_deepens_low_priority_and_spares_high() -> None:
    caps, _ = at(0.95, State())
    assert caps.low.clock_mhz == 1110
    assert caps.high == FREE


def test_high_priority_waits_one_actuation_for_the_deep_clock() -> None:
    deep = State(Level.LOW_DEEP, since_s=100.0)
    early, _ = at(0.95, deep, now=139.9)
    late, _ = at(0.95, deep, now=140.0)
    assert early.high == FREE
    assert late.high.clock_mhz == 1305


def test_high_priority_is_not_capped_once_the_row_came_down() -> None:
    caps, _ = at(0.88, State(Level.LOW_DEEP, since_s=0.0), now=1e6)
    assert caps.high == FREE


def test_above_the_budget_everybody_brakes_at_once() -> None:
    caps, state = at(1.001, State())
    assert caps.brake
    assert caps.low.clock_mhz == caps.high.clock_mhz == 288
    assert state.level is Level.BRAKE


@pytest.mark.parametrize(
    ("level", "load", "after"),
    [
        (Level.LOW_SHALLOW, 0.751, Level.LOW_SHALLOW),
        (Level.LOW_SHALLOW, 0.749, Level.NORMAL),
        (Level.LOW_DEEP, 0.841, Level.LOW_DEEP),
        (Level.LOW_DEEP, 0.839, Level.LOW_SHALLOW),
        (Level.HIGH, 0.839, Level.LOW_DEEP),
        (Level.BRAKE, 0.839, Level.HIGH),
    ],
)
def test_a_step_is_undone_five_points_below_where_it_was_taken(
    level: Level, load: float, after: Level
) -> None:
    _, state = at(load, State(level, since_s=0.0), now=1e6)
    assert state.level is after


@given(LOADS, st.sampled_from([PAPER, IN_BAND]))
def test_it_never_acts_against_the_hysteresis(loads: list[tuple[float, float]], config: Config) -> None:
    t1, t2, back = config.threshold1_percent, config.threshold2_percent, config.hysteresis_percent
    undone_below = {
        Level.LOW_SHALLOW: (t1 - back) / 100,
        Level.LOW_DEEP: (t2 - back) / 100,
        Level.HIGH: (t2 - back) / 100,
        Level.BRAKE: (t2 - back) / 100,
    }
    for load, _, before, after in over(loads, config):
        if LADDER.index(after.level) < LADDER.index(before.level):
            assert load < undone_below[before.level]


@given(LOADS, st.sampled_from([PAPER, IN_BAND]))
def test_the_high_class_is_only_capped_after_one_actuation_of_the_deep_clock(
    loads: list[tuple[float, float]], config: Config
) -> None:
    for load, now, before, after in over(loads, config):
        if after.level is Level.HIGH and before.level is not Level.BRAKE and before.level is not Level.HIGH:
            assert before.level is Level.LOW_DEEP
            assert now - before.since_s >= config.actuation_s
            assert load > config.threshold2_percent / 100


@given(LOADS)
def test_no_step_down_is_skipped(loads: list[tuple[float, float]]) -> None:
    levels = [Level.NORMAL, *(after.level for _, _, _, after in over(loads, IN_BAND))]
    assert all(LADDER.index(b) >= LADDER.index(a) - 1 for a, b in pairwise(levels))


@given(LOADS, st.sampled_from([PAPER, IN_BAND]))
def test_high_priority_never_has_less_than_low(loads: list[tuple[float, float]], config: Config) -> None:
    for load, now, before, _ in over(loads, config):
        caps, _ = at(load, before, config=config, now=now)
        assert (caps.high.clock_mhz or 9999) >= (caps.low.clock_mhz or 9999)


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"threshold1Percent": 90}, "threshold1Percent"),
        ({"hysteresisPercent": 50, "threshold1Percent": 45}, "hysteresisPercent"),
        ({"lowDeepMhz": 1300}, "lowDeepMhz"),
    ],
)
def test_thresholds_out_of_order_are_refused(settings: dict[str, int], field: str) -> None:
    with pytest.raises(ValueError, match=field) as refused:
        Config.model_validate(settings)
    assert isinstance(refused.value.errors()[0]["ctx"]["error"], InvalidPolicy)  # type: ignore[attr-defined]
