"""Slack is given so that no crossing can hide, and a fall is told like a rise."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_policies.power.protocol.triggers import (
    LEAST_SLACK_SHARE,
    blinding,
    headroom_watts,
    slack_watts,
    worth_telling,
)
from loadline_policies.power.rows import Caps

BUDGET_WATTS = 100_000.0


def test_headroom_ends_where_the_policy_wants_to_decide_again() -> None:
    assert round(headroom_watts(Caps(next_load=0.9), watts=85_000.0, budget_watts=BUDGET_WATTS)) == 5_000


def test_below_the_budget_headroom_never_reaches_past_it() -> None:
    assert headroom_watts(Caps(next_load=float("inf")), watts=80_000.0, budget_watts=BUDGET_WATTS) == 20_000.0


@given(st.floats(0, 1e5), st.integers(1, 200))
def test_all_slack_together_is_half_the_headroom_or_the_least(headroom: float, nodes: int) -> None:
    total = nodes * slack_watts(headroom, budget_watts=BUDGET_WATTS, nodes=nodes)
    assert total == pytest.approx(max(headroom / 2, LEAST_SLACK_SHARE * BUDGET_WATTS))


@given(st.floats(2_000, 1e5), st.integers(1, 200))
def test_slack_just_given_hides_nothing(headroom: float, nodes: int) -> None:
    given_watts = nodes * slack_watts(headroom, budget_watts=BUDGET_WATTS, nodes=nodes)
    assert not blinding(given_watts, headroom=headroom, budget_watts=BUDGET_WATTS)


def test_once_the_headroom_has_halved_slack_is_given_anew() -> None:
    given_watts = 50 * slack_watts(20_000.0, budget_watts=BUDGET_WATTS, nodes=50)
    assert blinding(given_watts, headroom=9_999.0, budget_watts=BUDGET_WATTS)


def test_a_fall_is_told_like_a_rise() -> None:
    assert worth_telling(3_101.0, told_watts=3_000.0, slack_watts=100.0)
    assert worth_telling(2_899.0, told_watts=3_000.0, slack_watts=100.0)
    assert not worth_telling(3_100.0, told_watts=3_000.0, slack_watts=100.0)
