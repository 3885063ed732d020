"""A value that can't be used is shown as whoever wrote it would write it, and no longer than a sentence."""

from decimal import Decimal
from enum import StrEnum
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_policies.errors import MOST_VALUE, InvalidInput, shown


class Mode(StrEnum):
    ENFORCE = "Enforce"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"Größe/x": "y z"}, '{Größe/x: "y z"}'),
        ({"a": None, "b": True}, "{a: null, b: true}"),
        (None, "null"),
        (False, "false"),
        ((1, "b"), '[1, "b"]'),
        ([], "[]"),
        ({1: {"x": [b"y"]}}, '{1: {x: ["y"]}}'),
        ("on", "'on'"),
        (b"on", "'on'"),
        (Mode.ENFORCE, "'Enforce'"),
        (Decimal("0.5"), "0.5"),
        (Path("/tmp"), "/tmp"),
        (1.5, "1.5"),
        (10**300, "a number of 997 bits"),
        (list(range(20)), "[0, 1, 2, 3, 4, 5, …]"),
        ({"a": {"b": {"c": {"d": 1}}}}, "{a: {b: {c: {…}}}}"),
    ],
)
def test_no_python_is_shown(value: object, text: str) -> None:
    assert shown(value) == text
    assert str(InvalidInput("field", value, fix="fix it")) == f"field is {text}: fix it"


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(json)
def test_whatever_was_written_is_shown_in_bounds(value: object) -> None:
    assert len(shown(value).encode(errors="replace")) <= MOST_VALUE


def test_megabytes_are_not_made_into_text() -> None:
    assert len(shown({"a" * 10**7: ["b" * 10**7] * 10**5}).encode()) <= MOST_VALUE
