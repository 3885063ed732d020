"""The knee: the first rate of the grid at which the objectives are met too seldom."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.admissions.knees import LEAST_ATTAINED, STEP, NoKnee, knee


def falling(at: float, rate: float) -> float:
    """What is attained falls from 1 to 0 around a rate."""
    return 1.0 if rate < at else 0.5


@given(st.floats(1.0, 30.0), st.floats(3.0, 10.0))  # at most ten times away
def test_the_line_lies_between_the_knee_and_the_rate_below_it(at: float, begin: float) -> None:
    found = knee(lambda rate: falling(at, rate), begin=begin)
    tried = dict(found.tried)
    below = max(rate for rate in tried if rate < found.rate * 0.999)
    assert tried[found.rate] < LEAST_ATTAINED <= tried[below]
    assert found.rate / below == pytest.approx(STEP)


def test_few_rates_are_tried() -> None:
    assert len(knee(lambda rate: falling(20.0, rate), begin=12.0).tried) <= 7


@pytest.mark.parametrize(("at", "begin"), [(1.0, 11.0), (33.0, 3.0)])
def test_a_knee_that_is_more_than_ten_times_away_is_not_looked_for(at: float, begin: float) -> None:
    with pytest.raises(NoKnee):
        knee(lambda rate: falling(at, rate), begin=begin)


@pytest.mark.parametrize("always", [0.0, 1.0])
def test_objectives_that_no_rate_changes_have_no_knee(always: float) -> None:
    with pytest.raises(NoKnee):
        knee(lambda _: always, begin=1.0)
