"""The oracles keep the same: the reference, and the authors' code where a checkout of it is named."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from testbed.experts import comparisons
from testbed.experts.official import NotThere

SEEDS = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("strategy", comparisons.STRATEGIES)
@given(seed=SEEDS, tied=st.booleans())
def test_the_reference_keeps_the_same(strategy: str, seed: int, tied: bool) -> None:
    comparison = comparisons.with_reference(strategy, seed, tied=tied)
    assert comparison.equal, comparison
    assert comparison.within, comparison


@pytest.mark.parametrize("strategy", comparisons.OFFICIAL)
@given(seed=SEEDS, tied=st.booleans())
def test_the_official_code_keeps_the_same(strategy: str, seed: int, tied: bool) -> None:
    try:
        comparison = comparisons.with_official(strategy, seed, tied=tied)
    except NotThere as missing:
        pytest.skip(str(missing))
    assume(comparison.equal is not None)
    assert comparison.equal, comparison
