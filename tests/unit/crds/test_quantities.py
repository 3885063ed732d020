"""Amounts are read as Kubernetes writes them, and written so again."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_api.quantities import amount, amount_text


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("8k", 8000),
        ("8", 8),
        (8000, 8000),
        ("1500Gi", 1500 * 1024**3),
        ("1.5", "1.5"),
        (".5", "0.5"),
        ("5.", 5),
        ("100m", "0.1"),
        ("1e3", 1000),
        ("1E3", 1000),
        ("1E", 10**18),
        ("2Ki", 2048),
        ("+1M", 10**6),
        ("-1", -1),
        ("3n", "0.000000003"),
        ("12e-1", "1.2"),
        ("0", 0),
    ],
)
def test_every_form_is_read(said: object, value: object) -> None:
    assert amount(said) == Decimal(str(value))


@pytest.mark.parametrize(
    "said",
    [
        "",
        "k",
        "8K",
        "8 k",
        "1e",
        "1ee3",
        "0x10",
        "8kB",
        "nan",
        "inf",
        "1_000",
        None,
        True,
        [],
        {},
        "1" * 65,
        "٣",
        "1e1000",
    ],
)
def test_what_is_no_amount_is_none(said: object) -> None:
    assert amount(said) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [(8000, "8k"), (8, "8"), (1500, "1500"), (0, "0"), ("0.1", "100m"), ("1.5", "1500m"), (10**21, "1000E")],
)
def test_an_amount_is_written_in_the_shortest_form(value: object, text: str) -> None:
    assert amount_text(Decimal(str(value))) == text


def test_memory_is_written_by_powers_of_1024() -> None:
    assert amount_text(Decimal(3 * 1024**4), binary=True) == "3Ti"
    assert amount_text(Decimal(1500 * 1024**3), binary=True) == "1500Gi"


@given(st.integers(0, 10**24), st.booleans())
def test_what_is_written_is_read_as_the_same(value: int, binary: bool) -> None:
    assert amount(amount_text(Decimal(value), binary=binary)) == value
