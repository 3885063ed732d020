"""Compares texts with what they were: a snapshot lies beside the tests that name it."""

import os
from collections.abc import Callable

import pytest

REWRITE = "LOADLINE_REWRITE_SNAPSHOTS"


@pytest.fixture
def same_as_before(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare a text with the snapshot of that name; set LOADLINE_REWRITE_SNAPSHOTS to accept a new one."""
    snapshots = request.path.parent / "snapshots"

    def compare(name: str, text: str) -> None:
        path = snapshots / f"{name}.txt"
        if REWRITE in os.environ:
            path.write_text(text, "utf-8")
        assert text == path.read_text("utf-8")

    return compare
