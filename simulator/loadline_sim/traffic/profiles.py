"""
How a rate goes with the hour and the weekday, so that two recorded weeks become six.

The profile is a Poisson regression: the logarithm of the rate is a constant and a few harmonics of a day
and of a week, fitted to the counts of bins by iteratively reweighted least squares (McCullagh and Nelder,
*Generalized Linear Models*, 2nd ed., §2.5). How many harmonics there are is what tells days best that it
wasn't fitted to. What they don't tell is most of the unrest of real services, and is drawn too (`wanders`).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from loadline_policies.errors import InvalidInput, InvalidTrace
from loadline_sim.arrays import Floats, Ints
from loadline_sim.traffic import renewals, wanders
from loadline_sim.traffic.gap_laws import LEAST_GAMMA_SHAPE, MOST_SHAPE
from loadline_sim.traffic.renewals import PIECE_REQUESTS, RateWindows
from loadline_sim.traffic.traces import Trace
from loadline_sim.traffic.wanders import Wander

Mask = NDArray[np.bool_]

DAY_S: Final = 86_400.0
WEEK_S: Final = 7 * DAY_S
MOST_DAILY: Final = 4
MOST_WEEKLY: Final = 3
"""Harmonics that are tried; those of a week where at least one was recorded."""

SURE_COUNT: Final = 30.0
"""Mean requests of a bin from which an empty one is a gap of the recording: by chance one in 10¹³ is."""

RATE_STEP_S: Final = 60.0
"""For how long a generated rate stays the same; chosen."""

STEPS: Final = 50
LEAST_RATE: Final = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Coefficients of the logarithm of the rate per second, and what they don't explain.

    They are a constant and then sine and cosine of each harmonic, `daily` of a day before `weekly` of a
    week. `explained` is the share of the deviance that the harmonics take away, on days that were held out:
    below 0 they are worse than the mean, NaN where there is nothing to hold out. `dispersion` is the variance
    of counts over what independent requests would have, by bins of `bin_s`: it grows with the rate and with
    the bins, and says nothing of gaps between requests. `wander` is the same for any rate. `left_out` bins
    were gaps of the recording.
    """

    coefficients: tuple[float, ...]
    daily: int
    weekly: int
    bin_s: float
    explained: float
    dispersion: float
    wander: Wander
    left_out: int

    def rates(self, times_s: Floats) -> Floats:
        """Requests per second at these times; zero is the recording's beginning."""
        found: Floats = np.exp(_terms(times_s, self.daily, self.weekly) @ np.array(self.coefficients))
        return found


def fit(counts: Ints, bin_s: float) -> Profile:
    """The profile of counts per bin; InvalidTrace where they are of less than two whole days."""
    if counts.size * bin_s < 2 * DAY_S or bin_s > DAY_S / (4 * MOST_DAILY):
        fix = "give at least two days, in bins of an hour and a half at most, or take their mean (constant)"
        raise InvalidTrace("profile", f"{counts.size} bins of {bin_s:g} s", fix=fix)
    used = _used(counts)
    times_s = _middles(counts.size, bin_s)
    days = np.floor(times_s / DAY_S).astype(np.int64)
    weekly = MOST_WEEKLY if counts.size * bin_s >= WEEK_S else 0
    explained, daily, weekly = max(
        (_explained(_terms(times_s, d, w), counts, used=used, days=days, bin_s=bin_s), d, w)
        for d in range(MOST_DAILY + 1)
        for w in range(weekly + 1)
    )
    return _profile(counts, bin_s, daily=daily, weekly=weekly, explained=explained)


def constant(counts: Ints, bin_s: float) -> Profile:
    """The mean rate alone, of a recording of any length, with the wander around it."""
    return _profile(counts, bin_s, daily=0, weekly=0, explained=math.nan)


def arrivals(
    profile: Profile,
    *,
    lengths: Trace,
    duration_s: float,
    seed: int,
    factor: float = 1.0,
    burstiness: float = 1.0,
    piece_requests: int = PIECE_REQUESTS,
) -> Iterator[Trace]:
    """Requests at `factor` times the profile's rate as it wanders, by arrival and in pieces.

    Their gaps are Gamma with a squared coefficient of variation of `burstiness`: 1 is Poisson. A profile with
    `wanders.STEADY` keeps to its rate. Lengths are drawn in pairs from a trace.
    """
    _check_above_0(factor=factor, duration_s=duration_s, burstiness=burstiness)
    most = 1.0 / LEAST_GAMMA_SHAPE
    if burstiness > most:
        raise InvalidInput("burstiness", burstiness, fix=f"give at most {most:g}")
    for_wander, for_requests = np.random.SeedSequence(seed).spawn(2)
    steps = math.ceil(duration_s / RATE_STEP_S)
    factors = factor * profile.wander.factors(steps, step_s=RATE_STEP_S, seed=for_wander)
    rates = (profile.rates(_middles(steps, RATE_STEP_S)) * factors)[np.newaxis]
    windows = RateWindows(
        window_s=RATE_STEP_S,
        rates=rates,
        shapes=np.full(rates.shape, min(1.0 / burstiness, MOST_SHAPE)),
        weibull=np.zeros(rates.shape, bool),
    )
    return renewals.arrivals(
        windows, lengths=lengths, seed=for_requests, until_s=duration_s, piece_requests=piece_requests
    )


def _check_above_0(**values: float) -> None:
    for field, value in values.items():
        if not 0.0 < value < math.inf:
            raise InvalidInput(field, value, fix="give a number above 0")


def _used(counts: Ints) -> Mask:
    """Bins that are no gaps of the recording: empty ones too where requests are few."""
    filled = counts > 0
    if not filled.any():
        raise InvalidTrace("profile", 0, fix="give counts that aren't all zero")
    return filled if counts[filled].mean() >= SURE_COUNT else np.ones(counts.size, bool)


def _profile(counts: Ints, bin_s: float, *, daily: int, weekly: int, explained: float) -> Profile:
    used = _used(counts)
    terms = _terms(_middles(counts.size, bin_s), daily, weekly)
    found = _fitted(terms[used], counts[used], bin_s)
    expected = np.exp(terms @ found) * bin_s
    pearson = float(((counts - expected) ** 2 / expected)[used].sum())
    return Profile(
        coefficients=tuple(found.tolist()),
        daily=daily,
        weekly=weekly,
        bin_s=bin_s,
        explained=explained,
        dispersion=pearson / max(int(used.sum()) - found.size, 1),
        wander=wanders.left_over(counts, expected, used=used, bin_s=bin_s),
        left_out=int((~used).sum()),
    )


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
