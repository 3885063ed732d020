"""
How a rate goes with the hour and the weekday, so that two recorded weeks become six.

The profile is a Poisson regression: the logarithm of the rate is a constant and a few harmonics of a day
and of a week, fitted to the counts of bins by iteratively reweighted least squares (McCullagh and Nelder,
*Generalized Linear Models*, 2nd ed., §2.5). How many harmonics there are is what tells days best that it
wasn't fitted to.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from loadline_policies.errors import InvalidTrace
from loadline_sim.arrays import Floats, Ints
from loadline_sim.traffic.traces import Trace

Mask = NDArray[np.bool_]

DAY_S: Final = 86_400.0
WEEK_S: Final = 7 * DAY_S
MOST_DAILY: Final = 4
MOST_WEEKLY: Final = 3
"""Harmonics that are tried; those of a week where at least one was recorded."""

STEPS: Final = 50
LEAST_RATE: Final = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Coefficients of the logarithm of the rate per second, and what they don't explain.

    They are a constant and then sine and cosine of each harmonic, `daily` of a day before `weekly` of a
    week. `explained` is the share of the deviance that the harmonics take away, on days that were held out:
    below 0 they are worse than the mean. `dispersion` is the variance of counts over what independent
    requests would have, by bins of `bin_s`. `left_out` bins had no request at all and were taken for gaps
    of the recording.
    """

    coefficients: tuple[float, ...]
    daily: int
    weekly: int
    bin_s: float
    explained: float
    dispersion: float
    left_out: int

    def rates(self, times_s: Floats) -> Floats:
        """Requests per second at these times; zero is the recording's beginning."""
        found: Floats = np.exp(_terms(times_s, self.daily, self.weekly) @ np.array(self.coefficients))
        return found


def fit(counts: Ints, bin_s: float) -> Profile:
    """The profile of counts per bin; InvalidTrace where they are of less than two whole days."""
    times_s = _middles(counts.size, bin_s)
    days = np.floor(times_s / DAY_S).astype(np.int64)
    if counts.size * bin_s < 2 * DAY_S or bin_s > DAY_S / (4 * MOST_DAILY):
        fix = "give at least two days, in bins of an hour and a half at most"
        raise InvalidTrace("profile", f"{counts.size} bins of {bin_s:g} s", fix=fix)
    used = counts > 0
    if not used.any():
        raise InvalidTrace("profile", 0, fix="give counts that aren't all zero")
    weekly = MOST_WEEKLY if counts.size * bin_s >= WEEK_S else 0
    explained, daily, weekly = max(
        (_explained(_terms(times_s, d, w), counts, used=used, days=days, bin_s=bin_s), d, w)
        for d in range(MOST_DAILY + 1)
        for w in range(weekly + 1)
    )
    terms = _terms(times_s, daily, weekly)
    found = _fitted(terms[used], counts[used], bin_s)
    expected = np.exp(terms[used] @ found) * bin_s
    pearson = float(((counts[used] - expected) ** 2 / expected).sum())
    return Profile(
        coefficients=tuple(found.tolist()),
        daily=daily,
        weekly=weekly,
        bin_s=bin_s,
        explained=explained,
        dispersion=pearson / max(int(used.sum()) - found.size, 1),
        left_out=int((~used).sum()),
    )


def arrivals(profile: Profile, *, lengths: Trace, duration_s: float, seed: int, factor: float = 1.0) -> Trace:
    """Requests that come by the profile's rate, `factor` times as many, with pairs of lengths from a trace.

    What the profile doesn't explain is drawn for each bin: a rate that is Gamma's with the dispersion that
    was left over. So weeks have the unrest of those that were recorded, and none of their order.
    """
    dice = np.random.default_rng(seed)
    bins = int(np.ceil(duration_s / profile.bin_s))
    expected = profile.rates(_middles(bins, profile.bin_s)) * profile.bin_s
    extra = np.maximum(profile.dispersion - 1.0, 1e-9) / expected
    counts = dice.poisson(expected * factor * dice.gamma(1.0 / extra, extra))
    arrival_s = np.repeat(np.arange(bins), counts) * profile.bin_s + dice.random(counts.sum()) * profile.bin_s
    arrival_s = np.sort(arrival_s[arrival_s < duration_s])
    drawn = dice.integers(0, len(lengths), arrival_s.size)
    return Trace(arrival_s, lengths.prompt_tokens[drawn], lengths.output_tokens[drawn])


def _middles(bins: int, bin_s: float) -> Floats:
    found: Floats = (np.arange(bins, dtype=np.float64) + 0.5) * bin_s
    return found


def _terms(times_s: Floats, daily: int, weekly: int) -> Floats:
    """A constant, and sine and cosine of each harmonic."""
    angles = [2 * np.pi * k / DAY_S for k in range(1, daily + 1)]
    angles += [2 * np.pi * k / WEEK_S for k in range(1, weekly + 1)]
    waves = [wave(angle * times_s) for angle in angles for wave in (np.sin, np.cos)]
    return np.stack([np.ones(times_s.size), *waves], axis=1)


def _fitted(terms: Floats, counts: Ints, bin_s: float) -> Floats:
    found: Floats = np.zeros(terms.shape[1])
    found[0] = np.log(counts.mean() / bin_s)
    for _ in range(STEPS):
        expected = np.exp(terms @ found) * bin_s
        root = np.sqrt(expected)
        target = root * (terms @ found + (counts - expected) / expected)
        better = np.linalg.lstsq(terms * root[:, None], target, rcond=None)[0].astype(np.float64)
        moved, found = float(np.abs(better - found).max()), better
        if moved < 1e-10:
            break
    return found


def _explained(terms: Floats, counts: Ints, *, used: Mask, days: Ints, bin_s: float) -> float:
    """One minus the deviance of held-out days over that of the mean of the others."""
    left = base = 0.0
    for day in np.unique(days):
        test, train = used & (days == day), used & (days != day)
        if not test.any() or train.sum() <= terms.shape[1]:
            continue
        expected = np.exp(terms[test] @ _fitted(terms[train], counts[train], bin_s)) * bin_s
        left += _deviance(counts[test], expected)
        base += _deviance(counts[test], np.full(int(test.sum()), counts[train].mean()))
    return 1.0 - left / base if base > 0 else float("nan")


def _deviance(counts: Ints, expected: Floats) -> float:
    """Twice the log-likelihood that is missing to a model with a rate for each bin."""
    ratio = np.log(np.maximum(counts, LEAST_RATE) / expected)
    return float(2.0 * (counts * ratio - (counts - expected)).sum())
