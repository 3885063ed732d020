"""
A row at its peak whose policy document becomes one that can't be used, again and again.

What somebody mistypes and what somebody means to hurt are refused alike: the row goes on by the last good
document, the status says which field of which value is wrong, and no longer than the next good one.
That is so too where the coordinator that saw the good one dies: whoever leads next has seen it.
"""

from typing import Final

from loadline_api.conditions import ConditionType
from loadline_policies.documents import parse_power
from testbed.doubles.agents import POLICY
from testbed.fakegpu.board import boottime
from testbed.hostile_documents import KNOWN
from testbed.live_rows.leader_deaths import RESTARTED_AFTER_S
from testbed.live_rows.rows import CALM, DOMAIN, PEAK
from testbed.live_rows.stages import Stage
from testbed.live_rows.survivors import Survivors

BAD: Final = {
    "a typo": (POLICY.replace("threshold1Percent", "treshold1Percent"), "settings.treshold1Percent is 90"),
    "a wrong type": (
        POLICY.replace("Percent: 90", "Percent: ninety"),
        "settings.threshold1Percent is 'ninety'",
    ),
    "a bomb": (KNOWN["a bomb of 9 levels"], "line 5 is '*x0'"),
    "a deep document": (KNOWN["lists 5,000 deep"], "line 4 is 'nested 17 levels deep'"),
    "a megabyte": (KNOWN["a list of 500,000"], "shorten it to"),
}
"""Each with what must be said of it."""

BETTER: Final = POLICY.replace("Percent: 90", "Percent: 80").replace("Percent: 95", "Percent: 88")
"""A good one, and another one than before."""

STANDS_S: Final = 8.0
LED_WITHIN_S: Final = 30.0
TOLD_WITHIN_S: Final = 5.0
MOST_SENTENCE: Final = 600
"""Characters: a field, 200 of its value, what to do, and which policy stays in force."""


def bad_policy(stage: Stage) -> None:
    """Five documents that can't be used, each for some seconds of a row at its peak; then a good one."""
    survivors = Survivors(stage.row)
    stage.demand(PEAK, for_s=10.0)
    before = stage.row.policy.hash
    for name, (text, told) in BAD.items():
        _write(stage, name, text)
        _show_refused(stage, name, told, since_s=boottime())
        stage.judge.watch(STANDS_S)
        _show_kept(stage, f"{name}: kept", before)
    _write(stage, "a good one", BETTER)
    _show_in_force(stage, since_s=boottime())
    stage.demand(PEAK, for_s=10.0)
    stage.demand(CALM, for_s=8.0)
    survivors.show(stage)


def bad_policy_leader_killed(stage: Stage) -> None:
    """The leader dies while a typo stands in the policy; its successor goes by the last good one."""
    stage.demand(PEAK, for_s=8.0)
    before = stage.row.policy.hash
    _write(stage, "a typo", BAD["a typo"][0])
    stage.judge.watch(TOLD_WITHIN_S)
    truth = stage.judge.truth
    dead = truth.leader if truth is not None else ""
    stage.tell(f"the leader, {dead}, is killed")
    stage.row.kill(dead)
    stage.judge.watch(RESTARTED_AFTER_S)
    stage.row.start(dead)
    led = stage.judge.until(lambda: _led_by_another(stage, dead), within_s=LED_WITHIN_S)
    stage.judge.watch(STANDS_S)
    stage.show("another_one_leads", led, "within 30 s" if led else "not within 30 s")
    _show_kept(stage, "its successor: kept", before)
    _write(stage, "a good one", BETTER)
    _show_in_force(stage, since_s=boottime())
    stage.demand(CALM, for_s=8.0)


def _led_by_another(stage: Stage, dead: str) -> bool:
    """Whether somebody else leads, and has said so."""
    said, truth = stage.judge.said, stage.judge.truth
    if said is None or truth is None or truth.leader in ("", dead):
        return False
    return said.domains[DOMAIN].status.coordinator == truth.leader


def _write(stage: Stage, name: str, text: str) -> None:
    stage.tell(f"{name} is written into the policy's ConfigMap: {len(text)} characters")
    stage.row.write_policy(text)


def _show_refused(stage: Stage, name: str, told: str, *, since_s: float) -> None:
    """Whether `PolicyValid` says soon what is wrong with this document, in a sentence."""
    so = stage.judge.until(lambda: told in _said(stage)[1], within_s=TOLD_WITHIN_S)
    status, sentence = _said(stage)
    right = so and status == "False" and len(sentence) <= MOST_SENTENCE
    text = f"PolicyValid={status} after {boottime() - since_s:.1f} s: {sentence}"
    stage.show(f"{name}: told", right, text)


def _show_kept(stage: Stage, name: str, before: str) -> None:
    """Whether the coordinator decides by the last good document, and the row is held by it."""
    assert stage.judge.said is not None
    applied = stage.judge.said.domains[DOMAIN].status.applied_policy_hash
    load = stage.row.plant.load
    text = (
        f"the coordinator decides by {applied}, {before} was the last good one; the true load is {load:.3f}"
    )
    stage.show(name, applied == before and load <= 1.001, text)


def _show_in_force(stage: Stage, *, since_s: float) -> None:
    """Whether the good one is soon what the operator calls valid, and what the coordinator decides by."""
    wanted = parse_power(BETTER).hash
    so = stage.judge.until(
        lambda: _said(stage)[0] == "True" and _applied(stage) == wanted, within_s=2 * TOLD_WITHIN_S
    )
    status, sentence = _said(stage)
    text = (
        f"PolicyValid={status} and {_applied(stage)} decides after {boottime() - since_s:.1f} s: {sentence}"
    )
    stage.show("a good one is in force", so and wanted in sentence, text)


def _applied(stage: Stage) -> str | None:
    said = stage.judge.said
    return said.domains[DOMAIN].status.applied_policy_hash if said is not None else None


def _said(stage: Stage) -> tuple[str, str]:
    """`PolicyValid` of the row, and its sentence."""
    said = stage.judge.said
    one = said.of_domain(DOMAIN, ConditionType.POLICY_VALID) if said is not None else None
    return (one.status, one.message) if one is not None else ("", "")
