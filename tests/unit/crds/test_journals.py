"""A journal is bounded, keeps its newest entries, and gives out the last ones."""

from hypothesis import given
from hypothesis import strategies as st

from loadline_api.journals import JournalLines


@given(st.lists(st.text(alphabet="abc", max_size=3), max_size=12), st.integers(1, 5), st.integers(-2, 14))
def test_the_newest_entries_are_kept_and_the_last_ones_given(
    entries: list[str], most: int, last: int
) -> None:
    lines = JournalLines(most)
    for entry in entries:
        lines.add(entry)
    kept = entries[-most:]
    assert lines.text() == "".join(f"{entry}\n" for entry in kept)
    assert lines.text(last) == "".join(f"{entry}\n" for entry in (kept[-last:] if last > 0 else []))
