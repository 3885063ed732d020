"""The report of a study of power says what was simulated, and its ConfigMap is the policy that was."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from loadline_policies.documents import parse_power
from loadline_sim.reports import power_pages
from loadline_sim.traffic import profiles
from loadline_sim.weeks import cases, studies
from loadline_sim.weeks.cases import Outcome
from loadline_sim.weeks.demands import Demand
from loadline_sim.weeks.studies import Row, Settings, Study

SETTINGS = Settings(
    documents={name: studies.document(name) for name in ("no-cap", "polca")}, servers=(6,), days=1
)
SLOWER = {"high": {50: 0.0, 99: 0.001}, "low": {50: 0.01, 99: 0.2}}


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    """An hour of six servers under polca."""
    steady = profiles.constant(np.full(48, 36_000), 3600.0)
    case = replace(
        SETTINGS.case("polca", 6),
        budget_watts=6 * 4900.0,
        demand=Demand(factor=0.2, duration_s=1800, span_s=600, profile=steady),
    )
    return cases.run(case)


def study_of(outcome: Outcome, *, is_best: bool = True, brakes: int = 0) -> Study:
    """A study of that outcome alone."""
    outcome.load.brakes = brakes
    row = Row(outcome, SLOWER)
    return Study(SETTINGS, outcome, [row], row if is_best else None, row if is_best else None)


def test_page_and_summary_are_written_and_agree(outcome: Outcome, tmp_path: Path) -> None:
    page, summary = power_pages.write(study_of(outcome), tmp_path)
    told = json.loads(summary.read_text("utf-8"))
    assert told["ok"] is True
    assert told["verdict"].replace("`", "") in page.read_text("utf-8").replace("<code>", "").replace(
        "</code>", ""
    )
    assert told["rows"][0]["policy_hash"] == outcome.policy_hash


def test_the_config_map_has_the_policy_that_was_simulated(outcome: Outcome) -> None:
    text = power_pages.manifest(study_of(outcome))
    found = yaml.safe_load(text)
    assert found["metadata"]["labels"] == {"loadline.dev/policy": "power"}
    assert parse_power(found["data"]["policy.yaml"]).hash == outcome.policy_hash
    assert outcome.policy_hash in text


def test_without_a_best_policy_the_verdict_says_so_and_there_is_no_config_map(outcome: Outcome) -> None:
    study = study_of(outcome, is_best=False)
    assert "no policy kept" in power_pages.verdict(study)
    assert "20.0 % longer" in power_pages.verdict(study)
    with pytest.raises(LookupError):
        power_pages.manifest(study)


def test_a_row_that_is_never_within_the_budget_is_told(outcome: Outcome) -> None:
    told = power_pages.verdict(study_of(outcome, is_best=False, brakes=3))
    assert told.endswith("Each row was above the budget at least once.")


def test_a_verdict_that_more_watts_turn_round_says_so(outcome: Outcome) -> None:
    sound = study_of(outcome)
    assert power_pages.verdict(sound).endswith("that holds too.")
    hot = Row(replace(outcome, load=replace(outcome.load, brakes=4)), SLOWER)
    assert "it braked 4 times: the answer rests on the model" in power_pages.verdict(
        replace(sound, robust=hot)
    )
