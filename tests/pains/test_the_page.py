"""docs/pains.md: fifteen pains, each with its threads and with tests that are there."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "pains.md"

NODE_ID = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
THREAD = re.compile(r"\]\(https://github\.com/[\w.-]+/[\w.-]+/issues/\d+\)")

PAINS = 15


def rows() -> list[list[str]]:
    """The table's rows, cell by cell."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| **")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def told(cell: str) -> list[tuple[str, str]]:
    """File and name of each test in a cell."""
    return NODE_ID.findall(cell)


@cache
def named_in(file: str) -> dict[str, bool]:
    """A file's tests by name, and whether they are expected to fail."""
    found = {}
    for one in ast.parse((ROOT / file).read_text()).body:
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef) and one.name.startswith("test_"):
            found[one.name] = any("xfail" in ast.unparse(each) for each in one.decorator_list)
    return found


def test_it_tells_of_every_pain_in_order() -> None:
    numbers = [int(re.sub(r"\D.*", "", first.removeprefix("**"))) for first, *_ in rows()]
    assert numbers == list(range(1, PAINS + 1))
    assert {len(row) for row in rows()} == {4}


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0].strip("*").replace(" ", "-"))
def test_every_pain_has_threads_and_tests_that_hold(row: list[str]) -> None:
    _, elsewhere, _, shown = row
    assert THREAD.search(elsewhere)
    assert told(shown)
    assert [one for one in told(shown) if named_in(one[0]).get(one[1]) is not False] == []


def test_what_is_missing_is_seen_to_be_missing() -> None:
    named = [one for row in rows() for one in told(row[2])]
    assert [one for one in named if named_in(one[0]).get(one[1]) is not True] == []


def test_no_test_of_a_pain_is_left_out() -> None:
    files = [file for file in Path(__file__).parent.glob("test_*.py") if file.name != Path(__file__).name]
    there = {
        (name, test) for file in files for name in [str(file.relative_to(ROOT))] for test in named_in(name)
    }
    assert there == {one for one in told(PAGE.read_text()) if one[0].startswith("tests/pains/")}
