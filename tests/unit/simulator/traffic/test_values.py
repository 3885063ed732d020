"""A column that Arrow converts at once has the values that each of its texts has by itself."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_sim.traffic import values

STAMPS = st.datetimes().map(lambda stamp: stamp.isoformat(sep=" "))
TIMES = st.one_of(
    st.floats(allow_nan=True).map(str), st.integers().map(str), STAMPS, st.text(max_size=8), st.just("")
)
COUNTS = st.one_of(
    st.integers().map(str), st.floats().map(str), st.text(alphabet="0123456789xe.-+ _", max_size=6)
)


def column(texts: list[str]) -> pa.Array:
    return pa.array(texts, pa.string())


@given(st.lists(COUNTS, max_size=6))
def test_counts_are_the_same_at_once_and_one_by_one(texts: list[str]) -> None:
    at_once, faults = values.tokens(column(texts))
    one_by_one, same_faults = values.tokens(list(texts))
    assert at_once.tolist() == one_by_one.tolist()
    assert faults == same_faults


@given(st.lists(TIMES, max_size=6))
def test_times_are_the_same_at_once_and_one_by_one(texts: list[str]) -> None:
    at_once, faults = values.seconds(column(texts), 1.0)
    one_by_one, same_faults = values.seconds(list(texts), 1.0)
    assert at_once == pytest.approx(one_by_one, abs=2e-6, nan_ok=True)
    assert faults.keys() == same_faults.keys()


@given(st.lists(STAMPS, min_size=1, max_size=6))
def test_every_timestamp_of_a_column_is_read(texts: list[str]) -> None:
    found, faults = values.seconds(column(texts), 1.0)
    assert not faults
    assert found.size == len(texts)


@pytest.mark.parametrize(("text", "count"), [("5", 5), (" 5 ", 5), ("5.0", 5), ("1e3", 1000), ("+5", 5)])
def test_whole_numbers_are_taken_as_programs_write_them(text: str, count: int) -> None:
    found, faults = values.tokens([text])
    assert found.tolist() == [count]
    assert not faults
