"""Whether a service meets its objectives, and since when that may be said."""

import math
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_agent.workloads.debounced_facts import FORGET_S, HOLD_S, Debounced
from loadline_agent.workloads.histograms import Histogram, Quantile, histogram_of
from loadline_agent.workloads.objectives import Objectives, pressure, ratio, worst

BOUNDS = (0.1, 0.25, 0.5, 1.0, 2.5, math.inf)
CHAT = Objectives(ttft_s=1.0, itl_s=0.1, percentile=95)


def counted(samples: Sequence[float]) -> Histogram:
    return histogram_of({bound: float(sum(one <= bound for one in samples)) for bound in BOUNDS})


FAST, SLOW, NONE = counted([0.05] * 100), counted([0.05] * 90 + [2.0] * 10), counted([])


def test_a_service_whose_latencies_are_all_within_meets_its_objectives() -> None:
    missed = CHAT.missed(FAST, FAST)
    assert missed is not None
    assert 0.0 < missed <= 1.0


def test_one_latency_above_its_objective_is_a_miss() -> None:
    missed = CHAT.missed(SLOW, FAST)
    assert missed is not None
    assert missed > 1.0


def test_a_miss_is_told_even_if_the_other_latency_is_unknown() -> None:
    assert (CHAT.missed(SLOW, None) or 0.0) > 1.0
    assert CHAT.missed(FAST, None) is None


def test_a_few_requests_are_no_percentile() -> None:
    few = counted([0.05] * 19)
    assert CHAT.missed(few, FAST) is None
    assert Objectives(ttft_s=1.0, percentile=99).missed(counted([0.05] * 99), None) is None
    assert Objectives(ttft_s=1.0, percentile=99).missed(FAST, None) is not None


def test_a_service_without_objectives_misses_none() -> None:
    assert Objectives().missed(SLOW, SLOW) is None


def test_an_objective_inside_of_the_percentiles_bucket_is_not_decided() -> None:
    half = Objectives(ttft_s=0.3, percentile=95)
    assert half.missed(counted([0.26] * 100), None) is None
    assert half.missed(counted([0.2] * 100), None) is not None
    assert (half.missed(counted([0.7] * 100), None) or 0.0) > 1.0


def test_requests_of_one_token_have_no_time_between_tokens() -> None:
    missed = CHAT.missed(FAST, NONE)
    assert missed is not None
    assert missed <= 1.0


def test_without_traffic_nothing_is_known() -> None:
    assert CHAT.missed(NONE, NONE) is None


def test_a_pool_that_only_prefills_is_held_to_its_first_token() -> None:
    assert CHAT.of_pool(prefill=True) == Objectives(ttft_s=1.0, percentile=95)
    assert CHAT.of_pool(prefill=False) == CHAT


@given(st.floats(0.0, 10.0), st.floats(0.001, 10.0), st.floats(0.0, 1.0), st.floats(0.001, 20.0))
def test_a_ratio_never_says_more_than_the_bucket(
    low: float, width: float, share: float, objective_s: float
) -> None:
    found = Quantile(low, low + width, low + share * width)
    told = ratio(found, objective_s)
    if told is None:
        assert found.low < objective_s < found.high
    elif told > 1.0:
        assert found.low >= objective_s
    else:
        assert found.high <= objective_s


def test_above_the_last_bucket_a_miss_is_a_miss() -> None:
    told = ratio(Quantile(2.5, math.inf, 2.5), 2.5)
    assert told is not None
    assert told > 1.0


def test_in_the_last_bucket_an_objective_above_its_bound_is_neither_met_nor_missed() -> None:
    found = pressure(Quantile(2.0, math.inf, 2.0), 5.0)
    assert (found.met, found.missed) == (False, False)
    assert math.isfinite(found.most)
    assert ratio(Quantile(2.0, math.inf, 2.0), 5.0) is None


@pytest.mark.parametrize(
    ("ratios", "expected"),
    [((), None), ((0.5, 0.8), 0.8), ((None, 0.8), None), ((None, 1.2), 1.2), ((None,), None)],
)
def test_the_worst_is_known_if_it_is_a_miss_or_all_are(
    ratios: tuple[float | None, ...], expected: float | None
) -> None:
    assert worst(ratios) == expected


def test_the_first_value_is_shown_at_once() -> None:
    assert Debounced[bool]().see("capped", True, now=0.0) is True


def test_a_fact_turns_only_after_it_has_held() -> None:
    steady = Debounced[bool]()
    steady.see("capped", False, now=0.0)
    assert [steady.see("capped", True, now=100.0 + s) for s in (0.0, HOLD_S - 1, HOLD_S)] == [
        False,
        False,
        True,
    ]


def test_a_fact_that_comes_and_goes_never_turns() -> None:
    steady = Debounced[bool]()
    steady.see("capped", False, now=0.0)
    assert not any(steady.see("capped", s % 10 < 9, now=float(s)) for s in range(1, 500))


def test_what_was_known_is_forgotten_late() -> None:
    steady = Debounced[bool | None]()
    steady.see("slo", True, now=0.0)
    shown = [steady.see("slo", None, now=10.0 + s) for s in (0.0, HOLD_S, FORGET_S - 1, FORGET_S)]
    assert shown == [True, True, True, None]


def test_what_a_predecessor_has_found_is_shown_until_another_value_has_held() -> None:
    steady = Debounced[bool | None]()
    steady.recall("slo", False, now=0.0)
    assert [steady.see("slo", None, now=s) for s in (0.0, FORGET_S - 1.0)] == [False, False]
    assert [steady.see("slo", True, now=100.0 + s) for s in (0.0, HOLD_S)] == [False, True]


@given(st.lists(st.tuples(st.floats(0.1, 30.0), st.booleans()), max_size=50))
def test_two_turns_are_never_closer_than_a_fact_must_hold(looks: list[tuple[float, bool]]) -> None:
    steady, now, turns = Debounced[bool](), 0.0, []
    shown = steady.see("x", False, now=now)
    for pause_s, value in looks:
        now += pause_s
        before, shown = shown, steady.see("x", value, now=now)
        if shown != before:
            turns.append(now)
    assert all(later - earlier >= HOLD_S for earlier, later in pairwise(turns))


@pytest.mark.parametrize(
    ("counts", "missed", "met"),
    [
        ({0.1: 100.0, 0.5: 100.0, math.inf: 100.0}, False, True),
        ({0.1: 0.0, 0.5: 100.0, math.inf: 100.0}, False, False),  # the bucket holds the objective
        ({0.1: 0.0, 0.5: 0.0, math.inf: 100.0}, True, False),
    ],
)
def test_pressure_says_how_far_a_percentile_is_known(
    counts: dict[float, float], missed: bool, met: bool
) -> None:
    objectives = Objectives(itl_s=0.2, percentile=95)
    found = objectives.pressure(None, histogram_of(counts))
    assert found is not None
    assert (found.missed, found.met) == (missed, met)
    assert found.least <= found.estimate <= found.most


def test_pressure_is_unknown_where_an_objective_is_unless_another_is_missed() -> None:
    objectives = Objectives(ttft_s=0.2, itl_s=0.2, percentile=95)
    met, missed = (histogram_of({0.1: count, 0.5: count, math.inf: 100.0}) for count in (100.0, 0.0))
    assert objectives.pressure(met, None) is None
    found = objectives.pressure(missed, None)
    assert found is not None
    assert found.missed
