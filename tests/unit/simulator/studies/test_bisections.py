"""A bisection finds the highest place that holds from any guess with few tries, and goes on from any."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_sim.studies.bisections import FIRST_STEP, Bisection, place_of, rate_of

LOW, HIGH = -100, 700
PLACES = st.integers(LOW, HIGH)


def searched(search: Bisection, highest: int, held: dict[int, bool] | None = None) -> dict[int, bool]:
    """What was tried if all up to `highest` holds."""
    held = dict(held or {})
    while (place := search.next_place(held)) is not None:
        assert place not in held
        assert search.low <= place <= search.high
        held[place] = place <= highest
    return held


@given(start=st.integers(-1000, 1000), highest=st.integers(LOW - 1, HIGH))
def test_the_highest_place_that_holds_is_found(start: int, highest: int) -> None:
    search = Bisection(low=LOW, high=HIGH, start=start)
    held = searched(search, highest)
    assert search.found(held) == (highest if highest >= LOW else None)
    assert len(held) <= 2 * (HIGH - LOW).bit_length()


@given(start=PLACES, highest=PLACES, known=st.integers(0, 12))
def test_a_search_goes_on_from_what_was_tried(start: int, highest: int, known: int) -> None:
    search = Bisection(low=LOW, high=HIGH, start=start)
    whole = searched(search, highest)
    some = dict(list(whole.items())[:known])
    assert searched(search, highest, some) == whole


@given(held=st.dictionaries(PLACES, st.booleans(), max_size=20), start=PLACES)
def test_whatever_holds_the_search_ends_and_what_it_finds_holds(held: dict[int, bool], start: int) -> None:
    search, told = Bisection(low=LOW, high=HIGH, start=start), dict[int, bool]()
    while (place := search.next_place(told)) is not None:
        told[place] = held.get(place, place % 3 == 0)
    found, failed = search.found(told), search.failed(told)
    assert found is None or told[found]
    assert found is None or failed is None or found + 1 == failed
    assert failed != HIGH + 1


def test_steps_from_the_first_guess_double() -> None:
    search = Bisection(low=0, high=500, start=100)
    assert searched(search, 1000) == dict.fromkeys([100, 108, 116, 132, 164, 228, 356, 500], True)
    assert FIRST_STEP == 8


def test_places_are_rates_one_percent_apart() -> None:
    assert rate_of(0) == 1.0
    assert rate_of(place_of(55.0)) == pytest.approx(55.0, rel=0.005)
