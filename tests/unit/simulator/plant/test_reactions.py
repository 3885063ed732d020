"""The plant's own stop-watch: when an answer is owed, when it is given, and when it isn't owed any more."""

import numpy as np

from loadline_sim.plant.reactions import ReactionMeter, Threshold

T1 = Threshold(0.90, low_clock_mhz=1275.0)
BRAKE = Threshold(1.0, limit_watts=248.0)
LOW = np.array([True, False])


def meter() -> ReactionMeter:
    return ReactionMeter(LOW)


def tick(
    watch: ReactionMeter, now_s: float, load: float, *, low_mhz: float = 1410.0, limit: float = 400.0
) -> None:
    watch.tick(
        now_s,
        load=load,
        thresholds=(T1, BRAKE),
        locked_mhz=np.array([low_mhz, 1410.0]),
        limit_watts=np.array([limit, limit]),
    )


def test_the_clock_runs_from_the_crossing_to_the_last_limit_in_force() -> None:
    watch = meter()
    tick(watch, 0.0, 0.89)
    tick(watch, 0.1, 0.91)
    tick(watch, 0.3, 0.92)
    tick(watch, 0.4, 0.92, low_mhz=1275.0)
    assert [round(one.took_s, 3) for one in watch.reactions] == [0.3]


def test_only_who_owes_the_clock_is_waited_for() -> None:
    watch = meter()
    tick(watch, 0.0, 0.95)
    tick(watch, 0.2, 0.95, low_mhz=1110.0)
    assert len(watch.reactions) == 1


def test_a_short_dip_does_not_make_the_row_look_quick() -> None:
    watch = meter()
    tick(watch, 0.0, 0.91)
    tick(watch, 0.5, 0.89)
    tick(watch, 0.9, 0.91)
    tick(watch, 1.2, 0.91, low_mhz=1275.0)
    assert [round(one.took_s, 3) for one in watch.reactions] == [1.2]


def test_a_long_dip_means_that_nothing_was_owed() -> None:
    watch = meter()
    tick(watch, 0.0, 0.91)
    for tenth in range(1, 13):
        tick(watch, tenth / 10, 0.85)
    tick(watch, 1.5, 0.85, low_mhz=1275.0)
    assert watch.reactions == []


def test_above_the_budget_every_limit_is_owed() -> None:
    watch = meter()
    tick(watch, 0.0, 1.02)
    tick(watch, 0.2, 1.02, low_mhz=288.0)
    tick(watch, 0.4, 1.02, low_mhz=288.0, limit=247.0)
    assert sorted(round(one.took_s, 3) for one in watch.reactions) == [0.2, 0.4]


def test_an_answer_already_in_force_is_no_reaction() -> None:
    watch = meter()
    tick(watch, 0.0, 0.95, low_mhz=1275.0)
    assert watch.reactions == []


def test_what_is_forgotten_is_not_owed() -> None:
    watch = meter()
    tick(watch, 0.0, 0.95)
    watch.forget()
    tick(watch, 5.0, 0.80, low_mhz=1275.0)
    assert watch.reactions == []
