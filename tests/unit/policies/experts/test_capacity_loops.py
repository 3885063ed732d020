"""
The capacity factor's policy in a closed loop, in virtual time.

A service on paper: the latency of a step follows the load of the fullest expert as far as the capacity lets
it, and the number of running requests; the policy gets the highest of the last minute with noise, and its
forecasts have an error that all γ share.
"""

from collections import deque
from collections.abc import Callable
from itertools import pairwise
from random import Random

import pytest

from loadline_policies.experts.capacity_factor import State, decide
from loadline_policies.experts.capacity_settings import Config
from loadline_policies.experts.service_loads import (
    Allowance,
    GammaForecast,
    GuardReadings,
    PlacementState,
    Pressure,
    ServiceLoad,
)

GAMMAS = (1250, 1500, 2000, 3000)
IMBALANCE = 2600
FIXED, WINDOW_S, EVERY_S = 0.35, 60, 5
CONFIG = Config(max_dropped_percent=40)
READ = GuardReadings(dropped_fraction=0.0, without_expert_fraction=0.0, canary_drift_nats=0.0)

Played = list[tuple[int | None, float]]


def step_ratio(gamma_thousandths: int | None, *, error: float = 0.0) -> float:
    """Time of a step over that without a capacity: a fixed part, and the fullest expert's load."""
    fullest = min(IMBALANCE, gamma_thousandths or IMBALANCE)
    fixed = FIXED + error
    return fixed + (1.0 - fixed) * fullest / IMBALANCE


def play(latency: Callable[[float, float], float], *, seconds: int, error: float = 0.0) -> Played:
    """What was in force, and the latency over its target, every 5 s; `latency` is of time and step time."""
    random, state, gamma = Random(7), State(), None
    forecasts = tuple(
        GammaForecast(
            gamma_thousandths=one,
            dropped_fraction=max(0.0, 0.5 - one / 5000),
            step_ratio=step_ratio(one, error=error),
        )
        for one in GAMMAS
    )
    recent: deque[float] = deque(maxlen=WINDOW_S // EVERY_S)
    played: Played = []
    for second in range(0, seconds, EVERY_S):
        recent.append(latency(second, step_ratio(gamma)) * random.uniform(0.98, 1.02))
        highest = max(recent)
        load = ServiceLoad(
            forecasts=forecasts,
            pressure=Pressure(least=highest, estimate=highest, most=highest),
            placement=PlacementState.PLANNED,
            guard=READ,
            baseline_known=True,
            allowance=Allowance(enforce=True),
        )
        capacity, state = decide(load, state, CONFIG, float(second))
        gamma = capacity.gamma_thousandths
        played.append((gamma, recent[-1]))
    return played


def busy(load: Callable[[float], float]) -> Callable[[float, float], float]:
    """Latencies in proportion to the step time."""
    return lambda second, ratio: load(second) * ratio


def by_time(played: Played, start_s: int, end_s: int) -> Played:
    return played[start_s // EVERY_S : end_s // EVERY_S]


def moves(played: Played) -> int:
    return sum(one != other for (one, _), (other, _) in pairwise(played))


@pytest.mark.parametrize("error", [-0.15, 0.0, 0.15], ids=["optimistic", "right", "pessimistic"])
@pytest.mark.parametrize(("load", "gamma"), [(0.8, None), (1.1, 2000), (1.25, 1500)])
def test_it_settles_at_the_largest_gamma_that_meets_the_objective(
    load: float, gamma: int | None, error: float
) -> None:
    last = by_time(play(busy(lambda second: load), seconds=1800, error=error), 1500, 1800)
    assert {one for one, _ in last} == {gamma}
    assert max(pressure for _, pressure in last) <= 1.0


def test_a_load_that_no_gamma_can_carry_gets_the_lowest_one() -> None:
    last = by_time(play(busy(lambda second: 1.9), seconds=1200), 900, 1200)
    assert {one for one, _ in last} == {1250}


def test_a_load_that_comes_and_goes_moves_gamma_no_more_often_than_it_does() -> None:
    played = play(busy(lambda second: 1.25 if second // 900 % 2 else 0.8), seconds=9000)
    assert moves(played) <= 3 * 10


def test_the_capacity_ends_soon_after_the_load_has_gone() -> None:
    played = play(busy(lambda second: 1.25 if second < 900 else 0.6), seconds=1200)
    assert by_time(played, 800, 900)[-1][0] == 1500
    assert by_time(played, 900, 905 + WINDOW_S)[-1][0] is None


def test_near_saturation_a_capacity_is_given_up_ever_more_seldom() -> None:
    """A queue: without a capacity latencies are far above the target, with any they are far below it."""
    hour = 3600
    played = play(lambda second, ratio: 3.0 if ratio > 0.95 else 0.5, seconds=10 * hour)
    by_hour = [moves(by_time(played, start, start + hour)) for start in range(0, 10 * hour, hour)]
    assert by_hour[0] > 4
    assert max(by_hour[5:]) <= 2
