"""When a domain may be drilled: each refusal names the field, its value and what to do."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from loadline_api.node_capacities import NodeCapacity
from loadline_api.power_domains import PowerDomain
from loadline_cli import drill_reports
from loadline_cli.drill_plans import plan
from loadline_cli.exits import CommandError, Exit

PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
Object = dict[str, Any]


def condition(type: str, status: str = "True", reason: str = "ModeEnforce", message: str = "") -> Object:
    return {"type": type, "status": status, "reason": reason, "message": message}


def a_domain() -> Object:
    return {
        "metadata": {"name": "row-a"},
        "spec": {
            "budgetWatts": 10_000,
            "mode": "Enforce",
            "nodeSelector": {"matchLabels": {"row": "a"}},
            "hostWatts": {"max": 500},
        },
        "status": {
            "members": ["node-0", "node-1"],
            "coordinator": "node-0",
            "level": "Normal",
            "safeWatts": 9_800,
            "observedWatts": 9_100,
            "observedTime": "2026-01-02T03:04:00Z",
            "reactionMilliseconds": 7_850,
            "conditions": [condition("Enforcing")],
        },
    }


def a_capacity(node: str) -> Object:
    service = {"service": "prod/chat", "pods": 2, "gpus": 2}
    return {
        "metadata": {"name": node},
        "spec": {"certificate": PEM, "address": "10.0.0.1:9476"},
        "status": {
            "domain": "row-a",
            "gpus": [{"uuid": f"{node}/{index}"} for index in range(2)],
            "services": [service],
            "conditions": [condition("Enforcing")],
        },
    }


def planned(domain: Object, capacities: list[Object]) -> Any:
    named = {one["metadata"]["name"]: NodeCapacity.parse(one) for one in capacities}
    return plan(PowerDomain.parse(domain), named, seconds=10, now=NOW)


def both() -> list[Object]:
    return [a_capacity("node-0"), a_capacity("node-1")]


def test_a_plan_says_what_will_happen_to_whom_and_what_it_costs() -> None:
    made = planned(a_domain(), both())
    assert (made.nodes, made.gpus, made.pods, made.services) == (2, 4, 4, ("prod/chat",))
    rows = dict(drill_reports.plan_rows(made))
    assert rows["draw now"] == "9,100 W, as of 2026-01-02T03:04:00Z"
    assert rows["draw in the drill"] == "at most 9,800 W (safeWatts), of a budget of 10,000 W"
    assert rows["cost"] == "slower requests in 4 pods of prod/chat, and in any other pods on these nodes"


def test_what_the_status_doesnt_say_is_unknown() -> None:
    domain = a_domain()
    del domain["status"]["observedWatts"], domain["status"]["observedTime"]
    rows = dict(drill_reports.plan_rows(planned(domain, both())))
    assert rows["draw now"] == "unknown"


def status(**changes: Any) -> Callable[[Object], None]:
    return lambda domain: domain["status"].update(changes)


def spec(**changes: Any) -> Callable[[Object], None]:
    return lambda domain: domain["spec"].update(changes)


@pytest.mark.parametrize(
    ("change", "said", "hint"),
    [
        (spec(mode="Observe"), "`spec.mode` is Observe", "set it to Enforce"),
        (status(members=[]), "`status.members` is empty", "nodeSelector"),
        (status(conditions=[]), "condition `Enforcing` is missing", "describe pdom row-a"),
        (
            status(conditions=[condition("Enforcing", "False", "BudgetTooSmall", "540 W over")]),
            "`Enforcing` is False (BudgetTooSmall: 540 W over)",
            "describe pdom row-a",
        ),
        (status(coordinator=""), "`status.coordinator` is empty", "status.candidates"),
        (status(safeWatts=None), "`status.safeWatts` is empty", "Accepted"),
        (status(silentNodes=["node-1"]), "`status.silentNodes` is node-1", "restart"),
        (status(level="BreakerHot"), "`status.level` is BreakerHot", "wait"),
        (status(members=["node-0", "node-9"]), "NodeCapacity of node-9 is missing", "start the agents"),
        (
            status(drill={"order": "2026-01-02T03:04:00Z/10", "outcome": "Holding"}),
            "another drill is running (ordered 2026-01-02T03:04:00Z/10; now 03:04:05Z)",
            "wait until it ends",
        ),
    ],
    ids=lambda value: value.split(":")[0][:24] if isinstance(value, str) else "",
)
def test_what_keeps_a_domain_from_being_drilled(
    change: Callable[[Object], None], said: str, hint: str
) -> None:
    domain = a_domain()
    change(domain)
    with pytest.raises(CommandError) as refused:
        planned(domain, both())
    assert said in refused.value.message
    assert hint in refused.value.hint
    assert refused.value.code is Exit.COULD_NOT_RUN


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"conditions": [condition("Enforcing", "False", "ModeObserve")]},
            "False (ModeObserve) and `status.domain` is row-a",
        ),
        ({"domain": "row-b"}, "True (ModeEnforce) and `status.domain` is row-b"),
        ({"domain": None}, "`status.domain` is empty"),
    ],
)
def test_every_node_must_be_armed_for_this_domain(change: Object, said: str) -> None:
    capacities = both()
    capacities[1]["status"].update(change)
    with pytest.raises(CommandError) as refused:
        planned(a_domain(), capacities)
    assert "NodeCapacity node-1" in refused.value.message
    assert said in refused.value.message
