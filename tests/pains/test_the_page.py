"""docs/pains.md: fifteen pains, each with its threads and with tests that are there."""

import ast
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "pains.md"

NODE_ID = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
THREAD = re.compile(r"\]\(https://github\.com/[\w.-]+/[\w.-]+/issues/\d+\)")

PAINS = 15
KNOWN = {"Reported", "In Loadline", "Missing", "Shown by"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pain:
    """A section of the page: its heading, and its paragraphs by the word in bold at their beginning."""

    heading: str
    paragraphs: dict[str, str]


def pains() -> list[Pain]:
    """The page's sections, from top to bottom."""
    _, *sections = re.split(r"^## ", PAGE.read_text("utf-8"), flags=re.MULTILINE)
    return [
        Pain(
            heading=section.partition("\n")[0],
            paragraphs=dict(
                re.findall(
                    r"^\*\*([A-Z][a-zA-Z ]+)\.?\*\*(.*?)(?=^\*\*|\Z)", section, re.DOTALL | re.MULTILINE
                )
            ),
        )
        for section in sections
    ]


def told(text: str) -> list[tuple[str, str]]:
    """File and name of each test in a text."""
    return NODE_ID.findall(text)


@cache
def named_in(file: str) -> dict[str, bool]:
    """A file's tests by name, and whether they are expected to fail."""
    found = {}
    for one in ast.parse((ROOT / file).read_text()).body:
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef) and one.name.startswith("test_"):
            found[one.name] = any("xfail" in ast.unparse(each) for each in one.decorator_list)
    return found


def test_it_tells_of_every_pain_in_order() -> None:
    assert [int(pain.heading.partition(".")[0]) for pain in pains()] == list(range(1, PAINS + 1))


@pytest.mark.parametrize("pain", pains(), ids=lambda pain: pain.heading.replace(" ", "-"))
def test_every_pain_has_threads_and_tests_that_hold(pain: Pain) -> None:
    assert {"Reported", "In Loadline", "Shown by"} <= pain.paragraphs.keys() <= KNOWN
    shown = told(pain.paragraphs["Shown by"])
    assert THREAD.search(pain.paragraphs["Reported"])
    assert shown
    assert [one for one in shown if named_in(one[0]).get(one[1]) is not False] == []


def test_what_is_missing_is_seen_to_be_missing() -> None:
    named = [one for pain in pains() for one in told(pain.paragraphs.get("Missing", ""))]
    assert [one for one in named if named_in(one[0]).get(one[1]) is not True] == []


def test_no_test_of_a_pain_is_left_out() -> None:
    files = [file for file in Path(__file__).parent.glob("test_*.py") if file.name != Path(__file__).name]
    there = {
        (name, test) for file in files for name in [str(file.relative_to(ROOT))] for test in named_in(name)
    }
    assert there == {one for one in told(PAGE.read_text()) if one[0].startswith("tests/pains/")}
