"""What a status of admission shows again, and that its words are those of conditions and policies."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_api.kv_cache import GRAVEST_FIRST, MOST_RESERVE_PERCENT, Admission, AdmissionStatus
from loadline_api.reasons import Reason
from loadline_policies.kv.predicted_memory import Config

SHOWN = AdmissionStatus(
    engines=2,
    enforcing_engines=2,
    warm_engines=2,
    known_requests=400,
    predicted_peak_percent=80,
    used_percent=60,
    refusals=100,
    preemptions=0,
    preempted_tokens=0,
    mispredicted=0,
    reason=Reason.PREDICTING.value,
)
FIGURES = (
    *("known_requests", "predicted_peak_percent", "used_percent"),
    *("refusals", "preemptions", "preempted_tokens", "mispredicted"),
)


def changed(**figures: Any) -> AdmissionStatus:
    return SHOWN.model_copy(update=figures)


@pytest.mark.parametrize(
    ("change", "news"),
    [
        ({}, False),
        ({"engines": 3}, True),
        ({"enforcing_engines": 1}, True),
        ({"warm_engines": 1}, True),
        ({"reason": "PluginFailed"}, True),
        ({"used_percent": 69}, False),
        ({"used_percent": 70}, True),
        ({"predicted_peak_percent": 71}, False),
        ({"predicted_peak_percent": None}, True),
        ({"refusals": 124}, False),
        ({"refusals": 125}, True),
        ({"refusals": 0}, True),
        ({"preemptions": 1}, True),
        ({"known_requests": 499}, False),
        ({"known_requests": 500}, True),
    ],
    ids=str,
)
def test_a_status_is_written_again_when_a_person_would_act_otherwise(
    change: dict[str, Any], news: bool
) -> None:
    now = changed(**change)
    assert now.is_news_to(SHOWN) is news
    assert now.as_moved_from(SHOWN) == (now if news else SHOWN)


def test_what_stands_nowhere_yet_is_written() -> None:
    assert SHOWN.as_moved_from(None) is SHOWN


@given(st.integers(1, 1000))
def test_a_counter_that_grows_by_one_is_written_seldom(steps: int) -> None:
    shown, writes = changed(refusals=0), 0
    for refusals in range(1, steps + 1):
        now = changed(refusals=refusals)
        writes += now.is_news_to(shown)
        shown = now.as_moved_from(shown)
    assert writes <= 28


def test_zero_is_written_and_what_is_unknown_is_left_out() -> None:
    told = changed(known_requests=None).to_api()
    assert told["preemptions"] == told["preemptedTokens"] == 0
    assert "knownRequests" not in told
    assert AdmissionStatus.model_validate(told) == changed(known_requests=None)


def test_a_part_that_says_nothing_asks_for_nothing() -> None:
    assert Admission().to_api() == {}
    assert not set(FIGURES) & AdmissionStatus().to_api().keys()


def test_the_bound_of_the_reserve_is_the_policys() -> None:
    assert Config(reserve_percent=MOST_RESERVE_PERCENT).reserve_percent == MOST_RESERVE_PERCENT
    with pytest.raises(ValueError, match="less than or equal to 50"):
        Config(reserve_percent=MOST_RESERVE_PERCENT + 1)


def test_each_reason_has_its_gravity_once() -> None:
    assert len(set(GRAVEST_FIRST)) == len(GRAVEST_FIRST)
    assert GRAVEST_FIRST[-1] is Reason.PREDICTING
