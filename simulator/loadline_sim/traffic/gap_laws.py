"""
The laws of gaps between a source's requests, and how long it is to the next one from any moment.

Gaps have a mean of 1 here: they are measured in expected requests, not in seconds (see `renewals`). A law is
Gamma or Weibull by its shape; a shape of 1 is exponential in both, a smaller one comes in bursts.

At a moment that has nothing to do with the requests, the time to the next one follows the law's
*equilibrium*: the distribution with the density S(x), the probability that a gap is longer than x (mean 1).
A process whose first gap is drawn from it has, from the first moment on, exactly as many requests as
expected. Where a source changes its law, `carried` keeps the quantile of what is left of the running gap:
a long wait stays one, and the process after the change is at its own equilibrium, so that its mean count
stays exact. Carrying the gap itself would add (cv'² − cv²) / 2 requests at each change of the coefficient of
variation from cv to cv', which is tens where bursts begin.

Source: D. R. Cox, Renewal Theory (1962), §5; the incomplete gamma function by NIST's DLMF 8.11.4 and 8.9.2.
"""

from math import exp, lgamma, log
from typing import Final

import numpy as np

from loadline_sim.compiled import compiled

LEAST_GAMMA_SHAPE: Final = 0.001
LEAST_WEIBULL_SHAPE: Final = 0.01
"""With smaller shapes powers overflow. The smallest of ServeGen's five pools are 0.0067 and 0.15."""

MOST_SHAPE: Final = 1e4
"""Gaps of a larger shape vary by less than a percent and are drawn as with this one; chosen."""

TERMS: Final = 2000
"""Terms of a series after which it is taken as it is; at MOST_SHAPE some 900 are needed."""


@compiled
def mean_scale(weibull: bool, shape: float) -> float:
    """The scale at which gaps of a law have a mean of 1."""
    return exp(-lgamma(1.0 + 1.0 / shape)) if weibull else 1.0 / shape


@compiled
def drawn(weibull: bool, shape: float, dice: np.random.Generator) -> float:
    """A gap."""
    if weibull:
        return float(mean_scale(True, shape) * dice.standard_exponential() ** (1.0 / shape))
    return float(dice.standard_gamma(shape) / shape)


@compiled
def first_drawn(weibull: bool, shape: float, dice: np.random.Generator) -> float:
    """What is left of a gap at a moment that has nothing to do with it.

    For Weibull a power of a Gamma variable; for Gamma a uniform part of a gap that was chosen by its length.
    """
    if weibull:
        return float(mean_scale(True, shape) * dice.standard_gamma(1.0 / shape) ** (1.0 / shape))
    return float(dice.random() * dice.standard_gamma(shape + 1.0) / shape)


@compiled
def longer(weibull: bool, shape: float, gap: float) -> float:
    """The probability that a gap is longer than this."""
    scaled = gap / mean_scale(weibull, shape)
    return exp(-(scaled**shape)) if weibull else upper_gamma(shape, scaled)


@compiled
def left_longer(weibull: bool, shape: float, left: float) -> float:
    """The probability that at any moment more than this is left of a gap."""
    scaled = left / mean_scale(weibull, shape)
    if weibull:
        return upper_gamma(1.0 / shape, scaled**shape)
    return upper_gamma(shape + 1.0, scaled) - scaled / shape * upper_gamma(shape, scaled)


@compiled
def left_at(weibull: bool, shape: float, probability: float) -> float:
    """What is left of a gap with a probability that it is more.

    By Newton's method from 0: the probability falls and is convex in what is left, so no step goes too far.
    """
    left = 0.0
    for _ in range(TERMS):
        slope = longer(weibull, shape, left)
        step = (left_longer(weibull, shape, left) - probability) / slope if slope > 0.0 else 0.0
        left += max(step, 0.0)
        if step <= 1e-12 * left:
            break
    return left


@compiled
def carried(left: float, before: tuple[bool, float], after: tuple[bool, float]) -> float:
    """What is left of a gap, as the same quantile of another law (Weibull or not, shape)."""
    if before[0] == after[0] and before[1] == after[1]:
        return left
    probability = left_longer(before[0], before[1], left)
    return left_at(after[0], after[1], probability)


@compiled
def upper_gamma(a: float, x: float) -> float:
    """The regularized upper incomplete gamma function Q(a, x)."""
    if x <= 0.0:
        return 1.0
    front = exp(a * log(x) - x - lgamma(a))
    return 1.0 - front * _lower_series(a, x) if x < a + 1.0 else front * _upper_fraction(a, x)


@compiled
def _lower_series(a: float, x: float) -> float:
    term = 1.0 / a
    total = term
    for n in range(1, TERMS):
        term *= x / (a + n)
        total += term
        if term < 1e-16 * total:
            break
    return total


@compiled
def _upper_fraction(a: float, x: float) -> float:
    """The continued fraction, evaluated from its front (modified Lentz)."""
    tiny = 1e-300
    bottom = x + 1.0 - a
    numerator, denominator = 1.0 / tiny, 1.0 / bottom
    value = denominator
    for n in range(1, TERMS):
        factor = -n * (n - a)
        bottom += 2.0
        denominator = factor * denominator + bottom
        denominator = 1.0 / (denominator if abs(denominator) > tiny else tiny)
        numerator = bottom + factor / numerator
        numerator = numerator if abs(numerator) > tiny else tiny
        change = numerator * denominator
        value *= change
        if abs(change - 1.0) < 1e-15:
            break
    return value
