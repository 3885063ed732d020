"""The annotation that orders a drill: one form, and a sentence for every other."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_api.drills import DrillText
from loadline_policies.errors import InvalidInput

TIMES = st.integers(0, 253_402_300_799).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))


@given(TIMES, st.integers(5, 30))
def test_what_is_written_is_read(requested: datetime, seconds: int) -> None:
    assert DrillText.parse(str(DrillText(requested, seconds))) == DrillText(requested, seconds)


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("", "write a time"),
        ("now", "write a time"),
        ("2026-01-02T03:04:05Z", "write a time"),
        ("2026-01-02T03:04:05Z/", "write a time"),
        ("2026-01-02T03:04:05+01:00/10", "write a time"),
        ("2026-01-02T03:04:05Z/ten", "write a time"),
        ("2026-01-02T03:04:05Z/10\n", "write a time"),
        ("٢٠٢٦-01-02T03:04:05Z/10", "write a time"),
        ("2026-13-02T03:04:05Z/10", "write a time"),
        ("0000-01-02T03:04:05Z/10", "write a time"),
        ("2026-01-02T03:04:05Z/4", "use 5 to 30 seconds"),
        ("2026-01-02T03:04:05Z/31", "use 5 to 30 seconds"),
        ("2026-01-02T03:04:05Z/999999", "write a time"),
    ],
)
def test_everything_else_is_refused_with_what_to_write(text: str, fix: str) -> None:
    with pytest.raises(InvalidInput, match=fix):
        DrillText.parse(text)


@given(st.text())
def test_no_text_breaks_the_reader(text: str) -> None:
    with pytest.raises(InvalidInput):
        DrillText.parse(text)


def test_a_long_text_isnt_repeated_whole() -> None:
    with pytest.raises(InvalidInput) as refused:
        DrillText.parse("x" * 200_000)
    assert len(str(refused.value)) < 200
