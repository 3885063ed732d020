"""A profile finds the day in counts that have one, says how much it explains, and makes weeks of it."""

import numpy as np
import pytest

from loadline_policies.errors import InvalidTrace
from loadline_sim.arrays import Ints
from loadline_sim.traffic import profiles, recordings
from loadline_sim.traffic.traces import Trace

LENGTHS = Trace(np.zeros(1), np.array([10]), np.array([1]))
HOUR_S = 3600.0


def counts(days: int, *, swing: float = 0.6, seed: int = 1) -> Ints:
    hours = np.arange(days * 24) + 0.5
    return np.random.default_rng(seed).poisson(1000 * np.exp(swing * np.sin(2 * np.pi * hours / 24)))


def test_a_day_is_found() -> None:
    profile = profiles.fit(counts(6), HOUR_S)
    assert profile.explained > 0.95
    assert profile.dispersion == pytest.approx(1.0, abs=0.3)
    high, low = profile.rates(np.array([6, 18]) * HOUR_S)
    assert high / low == pytest.approx(np.exp(1.2), rel=0.05)


def test_counts_without_a_day_have_nothing_to_explain() -> None:
    assert profiles.fit(counts(6, swing=0.0), HOUR_S).explained == pytest.approx(0.0, abs=0.05)


def test_gaps_of_a_recording_are_left_out_and_counted() -> None:
    broken = counts(6)
    broken[30:40] = 0
    profile = profiles.fit(broken, HOUR_S)
    assert profile.left_out == 10
    assert profile.explained > 0.95


def test_weeks_are_made_of_days_by_seed() -> None:
    profile = profiles.fit(counts(6), HOUR_S)
    made, same = (
        profiles.arrivals(profile, lengths=LENGTHS, duration_s=21 * 86400, seed=1) for _ in range(2)
    )
    assert (made.arrival_s == same.arrival_s).all()
    assert (np.diff(made.arrival_s) >= 0).all()
    assert len(made) == pytest.approx(21 / 6 * counts(6).sum(), rel=0.02)
    per_hour = np.bincount((made.arrival_s / HOUR_S).astype(int)).reshape(21, 24).mean(axis=0)
    assert per_hour.argmax() in {5, 6}


def test_a_recording_of_two_weeks_says_how_little_the_hour_tells() -> None:
    windows = recordings.large_model_clients()
    profile = profiles.fit(np.round(windows.rates.sum(axis=0) * 600).astype(np.int64), 600.0)
    assert 0.0 < profile.explained < 0.5
    assert profile.dispersion > 100


@pytest.mark.parametrize(
    ("of", "bin_s", "says"),
    [
        (np.ones(24, np.int64), HOUR_S, "give at least two days"),
        (np.ones(10, np.int64), 86400.0, "in bins of an hour and a half at most"),
        (np.zeros(72, np.int64), HOUR_S, "counts that aren't all zero"),
    ],
)
def test_what_shows_no_day_is_refused(of: Ints, bin_s: float, says: str) -> None:
    with pytest.raises(InvalidTrace, match=says):
        profiles.fit(of, bin_s)
