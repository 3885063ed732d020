"""The study's page and summary: whole, alone, and about the study."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from loadline_sim.experts import routing_files, studies
from loadline_sim.experts.policies import POLICIES
from loadline_sim.experts.settings import Settings
from loadline_sim.experts.studies import Study
from loadline_sim.reports import expert_pages
from loadline_sim.reports.styles import ROLES


@pytest.fixture(scope="module")
def study() -> Study:
    few = routing_files.example().only(range(4))
    return studies.run(few, Settings(batch=2), lambda what, share: None)


@pytest.fixture(scope="module")
def page(study: Study) -> str:
    return expert_pages.html(study)


def test_the_page_loads_nothing_and_takes_its_colours_from_itself(page: str) -> None:
    assert re.findall(r"<(?:script|link|img|iframe)\b|@import|url\((?!#)", page) == []
    assert not any(colour in page for colour in ROLES.values())


def test_ids_are_unique_and_references_have_their_targets(page: str) -> None:
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:url\(#|href="#)([^")]+)', page)) <= set(ids)


def test_every_policy_and_precision_is_on_the_page(study: Study, page: str) -> None:
    assert all(f"<th>{policy.title}</th>" in page for policy in POLICIES)
    assert all(f"<th>{one.precision.name}" in page for one in study.precisions)
    assert "qmoe (paper)" in page


@pytest.mark.parametrize(
    "said", ["Pre-gated routing", "Loading from flash", "Regrouping tokens", "no engine ran"]
)
def test_what_is_left_out_is_said(page: str, said: str) -> None:
    assert said in page


def test_the_same_study_gives_the_same_page(study: Study, page: str) -> None:
    assert expert_pages.html(study) == page


def test_the_summary_is_strict_json_with_the_page_s_figures(study: Study, tmp_path: Path) -> None:
    page, summary = expert_pages.write(study, tmp_path / "new")
    assert page.read_text("utf-8").startswith("<!doctype html>")
    read = json.loads(summary.read_text("utf-8"), parse_constant=pytest.fail)
    assert read["ok"] is True
    assert read["policies"]["lru"]["hit_ratio"] == study.of("lru").replay.hit_ratio
    assert read["predictors"]["co-activation"]["by_layer"][0] is None
    assert np.isclose(read["memory"]["bytes"], study.memory_bytes)


def test_a_check_that_fails_is_said_at_the_top(study: Study) -> None:
    failed = replace(study, checks={**study.checks, "belady_is_best": False})
    assert "1 of the study's checks failed" in expert_pages.html(failed).replace("&#39;", "'")
    assert expert_pages.summary_of(failed)["ok"] is False
