"""Quantiles of counted times are those of the times, to half a percent."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_sim.serving import gaps


@given(st.lists(st.tuples(st.floats(1e-4, 100.0), st.integers(1, 50)), min_size=1, max_size=30))
def test_quantiles_are_close(times: list[tuple[float, int]]) -> None:
    counted = gaps.no_gaps()
    for seconds, count in times:
        gaps.count(counted, seconds, count)
    whole = np.repeat([seconds for seconds, _ in times], [count for _, count in times])
    shares = np.array([0.01, 0.5, 0.9, 0.99, 1.0])
    exact = np.quantile(whole, shares, method="inverted_cdf")
    assert gaps.quantiles(counted, shares) == pytest.approx(exact, rel=0.005)


def test_times_beyond_the_bins_are_counted_in_the_outermost() -> None:
    counted = gaps.no_gaps()
    gaps.count(counted, 1e-9, 2)
    gaps.count(counted, 1e9, 3)
    assert (counted[0], counted[-1]) == (2, 3)


def test_no_times_have_no_quantiles() -> None:
    assert np.isnan(gaps.quantiles(gaps.no_gaps(), np.array([0.5]))).all()
