"""The page of an analysis of KV: whole, alone, and what it says of figures that nobody measured."""

import json
import re
from pathlib import Path

import pytest

from loadline_policies.kv.analysis_results import Analysis
from loadline_sim.reports import kv_pages
from testbed import small_analyses


@pytest.fixture(scope="module")
def page() -> str:
    return kv_pages.html(small_analyses.analysis())


def test_the_page_loads_nothing(page: str) -> None:
    assert re.findall(r"<(?:script|link|img|iframe)\b|@import|url\((?!#)", page) == []


def test_every_choice_method_and_gpu_is_on_the_page(page: str) -> None:
    found = small_analyses.analysis()
    assert all(f"<th>{one.name}</th>" in page for one in found.choices)
    assert all(f"<th>{one.method}</th>" in page for one in found.sparse_reads)
    assert all(f"<th>{one.gpu}</th>" in page for one in found.steps)


def test_what_was_not_measured_is_said(page: str) -> None:
    assert "not measured" in page
    assert "unverified" in page
    assert "random" not in page


def test_random_ids_are_said_at_the_top() -> None:
    assert "says nothing about a service" in kv_pages.html(small_analyses.analysis(random_ids=True))


def test_the_summary_is_the_document(tmp_path: Path) -> None:
    found = small_analyses.analysis()
    _, summary = kv_pages.write(found, tmp_path)
    read = json.loads(summary.read_text("utf-8"), parse_constant=pytest.fail)
    assert Analysis.model_validate(read) == found
