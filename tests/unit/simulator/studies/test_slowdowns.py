"""Nine objectives, each a percentile of a slowdown over an idle server; what isn't done keeps none."""

import numpy as np
import pytest

from loadline_sim.serving.loops import Outcomes
from loadline_sim.studies import slowdowns
from loadline_sim.studies.slowdowns import OBJECTIVES
from loadline_sim.traffic.traces import Trace

TRACE = Trace(np.arange(100.0), np.full(100, 1024), np.full(100, 21))
MOSTS = tuple(one.most for one in OBJECTIVES)


def served(*, slower: float = 1.0, lost: int = 0) -> Outcomes:
    """All requests so many times slower than idle, and the last ones never done."""
    idle = slowdowns.idle_of(TRACE)
    ttft_s, e2e_s = idle.ttft_s * slower, idle.e2e_s * slower
    ttft_s[100 - lost :] = e2e_s[100 - lost :] = np.nan
    return Outcomes(ttft_s, e2e_s)


def test_the_nine_are_those_of_the_paper() -> None:
    assert [one.name for one in OBJECTIVES[:4]] == ["TTFT p50", "TTFT p90", "TTFT p99", "TBT p50"]
    assert MOSTS == (2.0, 3.0, 6.0, 1.25, 1.5, 5.0, 1.25, 1.5, 5.0)


def test_an_idle_server_is_not_slower_than_itself() -> None:
    found = slowdowns.slowdowns(TRACE, served())
    assert found[:3] == found[6:] == pytest.approx((1.0, 1.0, 1.0))
    assert found[3:6] == pytest.approx((20 / 21,) * 3)  # time between tokens counts the first one too


def test_pressure_is_that_of_the_worst_objective() -> None:
    value, binding = slowdowns.pressure(slowdowns.slowdowns(TRACE, served(slower=1.5)))
    assert value == pytest.approx(1.5 / 1.25)
    assert binding.name == "E2E p50"
    assert slowdowns.pressure(MOSTS)[0] == 1.0
    assert slowdowns.are_kept(MOSTS)


@pytest.mark.parametrize("place", range(9))
def test_each_of_the_nine_can_be_missed_alone(place: int) -> None:
    missed = list(MOSTS)
    missed[place] *= 1.001
    assert not slowdowns.are_kept(tuple(missed))
    assert slowdowns.pressure(tuple(missed))[1] == OBJECTIVES[place]


def test_a_quantile_of_requests_that_are_never_done_is_unknown_and_missed() -> None:
    found = slowdowns.slowdowns(TRACE, served(lost=2))
    assert found[1] == pytest.approx(1.0)
    assert found[2] is None
    assert not slowdowns.are_kept(found)
    assert slowdowns.pressure(found)[0] is None
