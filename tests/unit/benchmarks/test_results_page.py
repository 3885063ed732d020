"""The page of results: equal to the result files, whole for any of them, and plain about what was missed."""

import re
from typing import Any

import pytest

from benchmarks import results_page

RESULTS = results_page.documents()


def result(**check: object) -> dict[str, Any]:
    """A result file of a benchmark that the page has no words for, with one check."""
    kept = {"name": "a_check", "value": 1.0, "goal": "<= 2", "ok": True, "reason": ""}
    return {
        "name": "unheard-of",
        "commit": "0123456789-dirty",
        "machine": "x86_64, 2 cores",
        "results": {},
        "checks": [kept | check],
    }


def test_the_page_is_what_the_result_files_say() -> None:
    assert results_page.PAGE.read_text("utf-8") == results_page.page(RESULTS), "run `make generate`"


@pytest.mark.parametrize("document", RESULTS, ids=lambda document: document["name"])
def test_a_page_of_one_result_has_all_its_checks(document: dict[str, Any]) -> None:
    page = results_page.page([document])
    assert [check["name"] for check in document["checks"] if f"| `{check['name']}` |" not in page] == []


@pytest.mark.parametrize("document", RESULTS, ids=lambda document: document["name"])
def test_every_result_has_its_question(document: dict[str, Any]) -> None:
    assert results_page.page([document]).count("Run it by `make ") == 1


def test_a_page_of_no_results_is_a_page() -> None:
    assert results_page.page([]).startswith("# Results\n")


@pytest.mark.parametrize("document", [*RESULTS, result()], ids=lambda document: document["name"])
def test_every_table_is_valid(document: dict[str, Any]) -> None:
    for table in re.findall(r"(?:^\|.*\|\n)+", results_page.page([document]), re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(widths) == 1
        assert set(table.splitlines()[1]) == {"|", "-"}


@pytest.mark.parametrize(
    ("check", "expected"),
    [
        ({}, "kept"),
        ({"ok": False, "reason": "too slow"}, "missed"),
        ({"ok": False, "value": None, "reason": "there was no figure"}, "inconclusive"),
        ({"ok": None, "value": None, "reason": "not measured in this run"}, "inconclusive"),
    ],
)
def test_a_check_is_kept_missed_or_inconclusive(check: dict[str, object], expected: str) -> None:
    assert results_page.verdict(result(**check)["checks"][0]) == expected


def test_the_reason_of_a_missed_check_is_told_below_its_table() -> None:
    page = results_page.page([result(ok=False, reason="too slow.")])
    assert "- `a_check` is missed: too slow.\n" in page


def test_a_timing_that_was_missed_is_told_with_the_load() -> None:
    busy = result(ok=False, timing=True, reason="too slow") | {"results": {"load_average_1m": 8.1}}
    page = results_page.page([busy])
    assert "x86_64, 2 cores; load average 8.1.\n" in page
    assert "| **missed**, a timing |" in page


def test_a_commit_with_changes_is_named_as_one() -> None:
    assert "Commit `0123456789`, with changes that no commit holds;" in results_page.page([result()])


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.0, "0"), (22257, "22,257"), (17.6103, "17.61"), (0.0005, "0.0005"), (True, "yes"), (None, "–")],
)
def test_figures_have_four_digits_at_most(value: float | bool | None, expected: str) -> None:
    assert results_page.shown(value) == expected
