"""The heat that a coordinator counts is never below the truth, however the load moves between its looks."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from loadline_policies.power.protocol.heat_counts import UNKNOWN_FOR_S, HeatCount
from loadline_policies.power.safety.breakers import TRIP, Curve

CURVE = Curve(points=((1.05, float("inf")), (1.08, 60.0), (1.30, 40.0)))
CALM, BUSY = 0.8, 1.2
BETWEEN_S = 0.5


def counted(loads: list[float]) -> HeatCount:
    """The heat after looks at these loads, one after the other."""
    count = HeatCount()
    for load in loads:
        count.advance(CURVE, load=load, dt_s=BETWEEN_S)
    return count


def test_a_pulse_that_is_seen_once_counts_until_it_is_seen_to_be_over() -> None:
    grown = counted([CALM, BUSY, CALM]).heat - counted([CALM, CALM, CALM]).heat
    assert grown >= 2 * BETWEEN_S / CURVE.trip_s(BUSY)


@given(st.lists(st.floats(0.0, 2.0), min_size=1, max_size=40))
def test_a_load_that_holds_until_the_next_look_is_counted_to_the_end(loads: list[float]) -> None:
    count = counted(loads[:1])
    true = count.heat
    for before, now in pairwise(loads):
        true = CURVE.heated(true, load=before, dt_s=BETWEEN_S)
        count.advance(CURVE, load=now, dt_s=BETWEEN_S)
        assert count.heat >= min(TRIP, true) - 1e-9


@given(st.lists(st.floats(0.0, 1.5), min_size=1, max_size=12), st.floats(0.0, 0.5))
def test_what_was_drawn_unseen_counts_as_if_it_had_been_seen(loads: list[float], more: float) -> None:
    """Over the last seconds alone: what a node tells then was read before that."""
    lately = int(UNKNOWN_FOR_S / BETWEEN_S)
    count = counted([CALM, *loads, *[CALM] * (12 - len(loads))])
    seen = counted([CALM, *loads, *[CALM] * (12 - len(loads))][:-lately])
    past = ([CALM, *loads, *[CALM] * (12 - len(loads))])[-lately - 1 :]
    true = seen.heat
    for before, now in pairwise(past):
        true = CURVE.heated(true, load=max(before, now) + more, dt_s=BETWEEN_S)
    count.recount(CURVE, more_load=more)
    assert min(TRIP, true) - 1e-9 <= count.heat <= TRIP


@given(st.lists(st.floats(0.0, 1.5), min_size=1, max_size=12))
def test_counting_again_never_cools(loads: list[float]) -> None:
    count = counted(loads)
    before = count.heat
    count.recount(CURVE, more_load=0.0)
    assert count.heat >= before
