"""A profile finds the day in counts that have one, says how much it explains, and makes weeks of it."""

from dataclasses import replace

import numpy as np
import pytest

from loadline_policies.errors import InvalidInput, InvalidTrace
from loadline_sim.arrays import Ints
from loadline_sim.traffic import profiles, recordings
from loadline_sim.traffic.profiles import Profile
from loadline_sim.traffic.traces import Trace
from loadline_sim.traffic.wanders import STEADY

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


@pytest.mark.parametrize("mean", [0.5, 3.0])
def test_an_empty_bin_is_no_gap_where_requests_are_few(mean: float) -> None:
    few = np.random.default_rng(1).poisson(mean, 14 * 144)
    profile = profiles.fit(few, 600.0)
    assert profile.left_out == 0
    rates = profile.rates(np.arange(0.0, 14 * 86400.0, HOUR_S))
    assert rates.mean() * 600 == pytest.approx(few.mean(), rel=0.02)


def made(
    profile: Profile, *, days: float, seed: int = 1, burstiness: float = 1.0, factor: float = 1.0
) -> Trace:
    pieces = list(
        profiles.arrivals(
            profile,
            lengths=LENGTHS,
            duration_s=days * 86400,
            seed=seed,
            burstiness=burstiness,
            factor=factor,
            piece_requests=100_000,
        )
    )
    assert max(map(len, pieces)) <= 100_000
    return Trace(
        np.concatenate([one.arrival_s for one in pieces]),
        np.concatenate([one.prompt_tokens for one in pieces]),
        np.concatenate([one.output_tokens for one in pieces]),
    )


def test_weeks_are_made_of_days_by_seed() -> None:
    profile = replace(profiles.fit(counts(6), HOUR_S), wander=STEADY)
    first, same, other = (made(profile, days=21, seed=seed) for seed in (1, 1, 2))
    assert first.arrival_s.tobytes() == same.arrival_s.tobytes()
    assert first.arrival_s.tobytes() != other.arrival_s.tobytes()
    assert (np.diff(first.arrival_s) >= 0).all()
    assert len(first) == pytest.approx(21 / 6 * counts(6).sum(), rel=0.02)
    per_hour = np.bincount((first.arrival_s / HOUR_S).astype(int)).reshape(21, 24).mean(axis=0)
    assert per_hour.argmax() in {5, 6}


def test_a_factor_scales_all_rates() -> None:
    profile = replace(profiles.fit(counts(6), HOUR_S), wander=STEADY)
    assert len(made(profile, days=6, factor=0.25)) == pytest.approx(counts(6).sum() / 4, rel=0.03)


@pytest.mark.parametrize("burstiness", [0.25, 1.0, 20.0])
def test_burstiness_is_the_dispersion_of_short_counts(burstiness: float) -> None:
    trace = made(profiles.constant(np.full(48, 36_000), HOUR_S), days=0.5, burstiness=burstiness)
    seconds = np.bincount(trace.arrival_s.astype(int) // 30)
    assert seconds.var() / seconds.mean() == pytest.approx(burstiness, rel=0.2)


def test_a_short_recording_gives_its_mean_only() -> None:
    few = np.array([10, 12, 8, 10])
    with pytest.raises(InvalidTrace, match=r"give at least two days.* or take their mean"):
        profiles.fit(few, 600.0)
    profile = profiles.constant(few, 600.0)
    assert profile.rates(np.array([0.0, 1e6])) == pytest.approx(10 / 600)
    assert np.isnan(profile.explained)
    assert profile.wander == STEADY


def test_a_recording_of_two_weeks_says_how_little_the_hour_tells() -> None:
    profile = profiles.fit(recordings.large_model_clients().counts, 600.0)
    assert 0.0 < profile.explained < 0.5
    assert profile.dispersion > 100


@pytest.mark.parametrize("bins", [1, 6, 36])
def test_generated_weeks_are_as_uneven_as_recorded_ones_in_minutes_and_hours(bins: int) -> None:
    recorded = recordings.large_model_clients().counts
    profile = profiles.fit(recorded, 600.0)
    times = [made(profile, days=14, seed=seed, factor=0.001).arrival_s for seed in range(8)]
    few = [np.bincount((times_s / 600).astype(int), minlength=2016) for times_s in times]
    noise = bins * recorded.mean() * 0.001
    generated = [np.sqrt(max(unevenness(one, bins) ** 2 - 1 / noise, 0.0)) for one in few]
    assert np.mean(generated) == pytest.approx(unevenness(recorded, bins), rel=0.2)


def unevenness(of: Ints, bins: int) -> float:
    """The coefficient of variation of the counts of so many bins together."""
    sums = of.reshape(-1, bins).sum(axis=1)
    return float(sums.std() / sums.mean())


@pytest.mark.parametrize(
    ("field", "value"),
    [("factor", 0.0), ("factor", float("nan")), ("burstiness", 0.0), ("burstiness", 2000.0), ("days", -1.0)],
)
def test_what_no_request_can_follow_is_refused(field: str, value: float) -> None:
    profile = profiles.constant(np.array([5, 5]), HOUR_S)
    asked = {"days": 1.0, field: value}
    with pytest.raises(InvalidInput, match=f"{'duration_s' if field == 'days' else field} is"):
        made(profile, **asked)  # type: ignore[arg-type]  # floats, all of them


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
