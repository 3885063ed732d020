"""What a drill has shown: only what was read back is met, and unknown isn't."""

import json
from typing import Any

import pytest

from loadline_api.drills import DrilledNodeStatus, DrillStatus
from loadline_cli.drill_plans import Plan
from loadline_cli.drill_reports import as_json, as_markdown, checks, met, remark, unlisted

PLAN = Plan(
    domain="row-a",
    coordinator="node-0",
    seconds=10,
    nodes=2,
    gpus=4,
    pods=0,
    services=(),
    observed_watts=9_100,
    observed_time=None,
    safe_watts=9_800,
    budget_watts=10_000,
    reaction_milliseconds=7_850,
)


def node(name: str, at_safe: int = 2, after: int | None = 1_400, over: int | None = 0) -> DrilledNodeStatus:
    return DrilledNodeStatus(
        node=name, gpus=2, gpus_at_safe=at_safe, after_milliseconds=after, over_watts=over
    )


GOOD = DrillStatus(
    order="2026-01-02T03:04:05Z/10",
    outcome="Done",
    held_time="2026-01-02T03:04:06Z",
    nodes=2,
    nodes_at_safe=2,
    gpus=4,
    gpus_at_safe=4,
    safe_watts=9_800,
    budget_watts=10_000,
    watts_before=9_500,
    highest_watts=9_700,
    listed=(node("node-1", after=2_600), node("node-0")),
)


def verdicts(**changes: Any) -> list[str]:
    return [one.verdict for one in checks(PLAN, GOOD.model_copy(update=changes))]


def test_all_that_is_promised_was_seen() -> None:
    found = checks(PLAN, GOOD)
    assert [(one.seen, one.met) for one in found] == [
        ("4 of 4", True),
        ("2.6", True),
        ("9,700", True),
        ("9,700", True),
        ("Done", True),
    ]
    assert met(found)


ABOVE = (node("node-1", 1, None, 40), node("node-0"))
UNREAD = (node("node-1", 0, None, None), node("node-0"))
ROSE = (node("node-1", 1, None, 0), node("node-0"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"gpus_at_safe": 3, "nodes_at_safe": 1, "listed": ABOVE}, ["no", "unknown", "yes", "yes", "yes"]),
        ({"gpus_at_safe": 3, "nodes_at_safe": 1, "listed": ROSE}, ["no", "unknown", "yes", "yes", "yes"]),
        ({"gpus_at_safe": 2, "nodes_at_safe": 1, "listed": UNREAD}, ["unknown"] * 2 + ["yes"] * 3),
        ({"listed": (node("node-1", after=7_900),)}, ["yes", "no", "yes", "yes", "yes"]),
        ({"highest_watts": 9_801}, ["yes", "yes", "no", "yes", "yes"]),
        ({"highest_watts": 10_001}, ["yes", "yes", "no", "no", "yes"]),
        ({"highest_watts": None}, ["yes", "yes", "unknown", "unknown", "yes"]),
        ({"outcome": "Stopped"}, ["yes", "yes", "yes", "yes", "no"]),
        ({"gpus": 0, "gpus_at_safe": 0, "nodes": 0, "nodes_at_safe": 0, "listed": ()}, ["no", "unknown"]),
        ({"gpus": None, "nodes": None, "listed": ()}, ["unknown", "unknown"]),
    ],
    ids=["above", "rose", "unread", "late", "safe", "budget", "unmeasured", "stopped", "empty", "nothing"],
)
def test_what_was_not_seen_so_is_not_met(changes: dict[str, Any], said: list[str]) -> None:
    found = verdicts(**changes)
    assert found[: len(said)] == said
    assert not met(checks(PLAN, GOOD.model_copy(update=changes)))


def test_a_program_gets_the_same() -> None:
    told = json.loads(json.dumps(as_json(PLAN, GOOD)))
    assert told["met"] is True
    assert told["checks"][0]["verdict"] == "yes"
    assert told["drill"]["listed"][0]["afterMilliseconds"] == 2_600
    assert as_json(PLAN).keys() == {"plan"}


def test_a_page_to_keep_leaves_room_for_the_breakers_own_meter() -> None:
    page = as_markdown(PLAN, GOOD.model_copy(update={"listed": (*UNREAD,), "message": "stopped, since …"}))
    assert "| node-1 | 0 of 2 | unknown | unknown | unknown |" in page
    assert "| GPUs at or below their safe limit | 4 of 4 | all | yes |" in page
    assert "stopped, since …" in page
    assert "reading of the breaker's own meter" in page


def test_watts_that_were_below_safe_before_prove_little_and_it_says_so() -> None:
    assert "Before the drill the domain drew 9,500 W" in remark(GOOD)
    assert remark(GOOD) in as_markdown(PLAN, GOOD)
    assert remark(GOOD.model_copy(update={"watts_before": 9_801})) == ""
    assert remark(GOOD.model_copy(update={"watts_before": None})) == ""


def test_nodes_that_the_status_doesnt_name_are_counted() -> None:
    assert unlisted(GOOD) == ""
    many = GOOD.model_copy(update={"nodes": 102, "nodes_at_safe": 101, "listed": (*ABOVE,)})
    assert unlisted(many) == (
        "100 more nodes: 100 of them at their safe limits, none later than the nodes listed."
    )
