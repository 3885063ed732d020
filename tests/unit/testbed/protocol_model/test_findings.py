"""
Each changed sentence of the rule: its schedule keeps every oracle now, and broke one before.

The document that states the rule has a section for each of them.
"""

from dataclasses import fields, replace
from pathlib import Path

import pytest

from testbed.protocol_model.explorations import verdict
from testbed.protocol_model.findings import FINDINGS, Finding
from testbed.protocol_model.rules import Rule

LONG_S = 300
CASES = [
    pytest.param(each, id=each.sentence, marks=[pytest.mark.slow] if each.last_s > LONG_S else [])
    for each in FINDINGS
]
DESIGN = Path(__file__).parents[4] / "docs" / "designs" / "0002-power-protocol.md"


@pytest.mark.parametrize("finding", CASES)
def test_the_agreed_rule_keeps_the_promise(finding: Finding) -> None:
    assert verdict(finding.schedule, finding.setup, last_s=finding.last_s).broken == set()


@pytest.mark.parametrize("finding", CASES)
def test_the_old_sentence_breaks_it(finding: Finding) -> None:
    old = replace(finding.setup, rule=replace(Rule(), **{finding.sentence: False}))
    assert finding.breaks in verdict(finding.schedule, old, last_s=finding.last_s).broken


def test_every_changed_sentence_has_a_schedule_and_a_section() -> None:
    sentences = {field.name for field in fields(Rule)}
    assert {finding.sentence for finding in FINDINGS} == sentences
    text = DESIGN.read_text("utf-8")
    assert {name for name in sentences if f"`{name}`" in text} == sentences
