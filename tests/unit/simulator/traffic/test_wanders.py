"""A wander is found again in counts that have one, and there is none where there is none."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadline_sim.arrays import Floats
from loadline_sim.traffic import wanders
from loadline_sim.traffic.wanders import STEADY, TIMES_S, Wander

BIN_S = 600.0


def factors(wander: Wander, count: int, seed: int = 1) -> Floats:
    return wander.factors(count, step_s=BIN_S, seed=np.random.SeedSequence(seed))


@pytest.mark.parametrize("mean", [2.0, 500.0])
def test_poisson_counts_have_next_to_none(mean: float) -> None:
    expected = np.full(4032, mean)
    counts = np.random.default_rng(1).poisson(expected)
    found = wanders.left_over(counts, expected, used=np.ones(4032, bool), bin_s=BIN_S)
    assert found == STEADY


@pytest.mark.parametrize("mean", [5.0, 10_000.0])
@pytest.mark.parametrize("place", range(3))
def test_the_wander_of_counts_is_found_again(place: int, mean: float) -> None:
    variances = [0.0] * len(TIMES_S)
    variances[place] = 0.1
    expected = np.full(30_000, mean)
    wander = Wander(tuple(variances))
    counts = np.random.default_rng(2).poisson(expected * factors(wander, expected.size))
    found = wanders.left_over(counts, expected, used=np.ones(expected.size, bool), bin_s=BIN_S)
    assert found.variances[place] == pytest.approx(0.1, abs=0.03)
    assert found.sigma_log == pytest.approx(wander.sigma_log, rel=0.1)


def test_gaps_of_a_recording_are_no_wander() -> None:
    expected = np.full(4032, 1000.0)
    counts = np.random.default_rng(3).poisson(expected)
    used = np.arange(4032) % 500 > 40
    counts[~used] = 0
    assert wanders.left_over(counts, expected, used=used, bin_s=BIN_S) == STEADY


@given(st.lists(st.floats(0.0, 0.3), min_size=4, max_size=4), st.integers(0, 9))
@settings(max_examples=20)
def test_factors_are_positive_and_come_again_by_seed(variances: list[float], seed: int) -> None:
    wander = Wander(tuple(variances))
    first = factors(wander, 50, seed)
    assert (first > 0).all()
    assert first.tobytes() == factors(wander, 50, seed).tobytes()


def test_factors_have_a_mean_of_one() -> None:
    wander = Wander((0.1, 0.1, 0.05, 0.0))
    assert factors(wander, 200_000).mean() == pytest.approx(1.0, abs=0.02)


def test_no_wander_is_a_factor_of_one() -> None:
    assert (factors(STEADY, 10) == 1.0).all()
