"""
Load that no calendar explains: it wanders above and below its profile for minutes to days.

ServeGen's services follow the hour and the weekday only a little; a few large clients start and stop as they
like, and what is high in ten minutes is high in the next ten. Rates drawn for each bin alone would be right
for a bin, and average out over an hour, as real ones don't. So the factor by which counts leave their
profile is a lognormal process here: its logarithm is the sum of independent Gaussian processes whose
correlations fall exponentially (AR(1)) with the times of `TIMES_S`, and only their variances are fitted.

The fit is of moments of counts, so that the noise of Poisson counts is no part of it: with means μ and counts
y, Σ((y−μ)²−μ) / Σμ² is the variance of the factor and Σ(y−μ)(y'−μ') / Σμμ' its covariance over a lag. One
plus that, as a logarithm, is the covariance of the factor's logarithm; the variances are least squares of it
over lags of up to `MOST_LAG_S`, none of them negative.

Source: moments of a log-Gaussian Cox process, as in Møller, Syversveen and Waagepetersen (1998).
"""

from dataclasses import dataclass
from itertools import accumulate, combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

from loadline_sim.arrays import Floats, Ints

TIMES_S: Final = (600.0, 3600.0, 6 * 3600.0, 36 * 3600.0)
MOST_LAG_S: Final = 48 * 3600.0
LEAST_PAIRS: Final = 30
"""Pairs of bins from which a covariance is taken; chosen."""


@dataclass(frozen=True, slots=True)
class Wander:
    """The variance of the logarithm of the factor at each of `TIMES_S`."""

    variances: tuple[float, ...]

    @property
    def sigma_log(self) -> float:
        """The standard deviation of the logarithm of the factor."""
        return float(np.sqrt(sum(self.variances)))

    def factors(self, count: int, *, step_s: float, seed: np.random.SeedSequence) -> Floats:
        """Factors with a mean of 1, one for each step."""
        dice = np.random.default_rng(seed)
        logs = np.full(count, -sum(self.variances) / 2)
        for variance, time_s in zip(self.variances, TIMES_S, strict=True):
            keep = float(np.exp(-step_s / time_s))
            news = dice.normal(0.0, np.sqrt(variance), count)
            news[1:] *= np.sqrt(1.0 - keep**2)
            logs += np.fromiter(_sums(news, keep), np.float64, count)
        return np.asarray(np.exp(logs))


STEADY: Final = Wander((0.0,) * len(TIMES_S))


def left_over(counts: Ints, expected: Floats, *, used: NDArray[np.bool_], bin_s: float) -> Wander:
    """The wander of counts around what a profile expects; bins that aren't used are left out."""
    error = np.where(used, counts - expected, 0.0)
    square = np.where(used, expected, 0.0)
    lags, covariances = [], []
    for lag in range(min(int(MOST_LAG_S / bin_s) + 1, counts.size)):
        late, early = slice(lag, None), slice(0, counts.size - lag)
        if np.count_nonzero(used[late] & used[early]) >= LEAST_PAIRS:
            noise = square.sum() if lag == 0 else 0.0
            found = ((error[late] * error[early]).sum() - noise) / (square[late] * square[early]).sum()
            lags.append(lag * bin_s)
            covariances.append(np.log1p(max(found, -0.5)))
    if not covariances or covariances[0] <= np.log1p(_by_chance(square)):
        return STEADY
    return Wander(_variances(np.array(lags), np.array(covariances), bin_s))


def _by_chance(expected: Floats) -> float:
    """The largest variance of a factor that Poisson counts without any show, three deviations off."""
    return float(3.0 * np.sqrt((2.0 * expected**2 + expected).sum()) / (expected**2).sum())


def _variances(lags_s: Floats, covariances: Floats, bin_s: float) -> tuple[float, ...]:
    """The best least squares without a negative variance, by any choice of times no shorter than a bin."""
    able = [place for place, time_s in enumerate(TIMES_S) if time_s >= bin_s] or [len(TIMES_S) - 1]
    best, least = STEADY.variances, float((covariances**2).sum())
    for size in range(1, len(able) + 1):
        for chosen in combinations(able, size):
            falls = np.exp(-lags_s[:, np.newaxis] / np.array(TIMES_S)[list(chosen)])
            fitted = np.linalg.lstsq(falls, covariances, rcond=None)[0]
            error = float(((falls @ fitted - covariances) ** 2).sum())
            if fitted.min() >= 0.0 and error < least:
                given = dict(zip(chosen, fitted.tolist(), strict=True))
                best, least = tuple(given.get(place, 0.0) for place in range(len(TIMES_S))), error
    return best


def _sums(news: Floats, keep: float) -> "accumulate[float]":
    return accumulate(news.tolist(), lambda before, new: keep * before + new)
