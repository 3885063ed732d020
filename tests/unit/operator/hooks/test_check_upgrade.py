"""When an upgrade may go on: nobody is armed by agents that the new ones don't understand."""

from typing import Any

import pytest

from loadline_api.reports import WIRE_VERSION
from loadline_operator.hooks.check_upgrade import Row, broken_up


def node(
    name: str, *, status: str = "True", version: int | None = None, domain: str | None = "row-a"
) -> dict[str, Any]:
    told: dict[str, Any] = {"domain": domain, "wireVersion": version}
    reason = "ModeEnforce" if status == "True" else "ModeObserve"
    conditions = [{"type": "Enforcing", "status": status, "reason": reason}]
    facts = {key: value for key, value in told.items() if value is not None}
    return {"metadata": {"name": name}, "status": {**facts, "conditions": conditions}}


def domain(
    name: str = "row-a", *, status: str = "True", reason: str = "ModeEnforce", coordinator: str = "a"
) -> dict[str, Any]:
    conditions = [{"type": "Enforcing", "status": status, "reason": reason}]
    said = {"coordinator": coordinator, "conditions": conditions}
    return {"metadata": {"name": name}, "spec": {"mode": "Enforce"}, "status": said}


@pytest.mark.parametrize("version", [None, 1, WIRE_VERSION + 1])
def test_a_row_whose_agents_speak_another_version_would_be_broken_up(version: int | None) -> None:
    (row,) = broken_up([domain()], [node("b", version=version), node("a", version=version)])
    assert (row.domain, row.nodes, row.coordinator) == ("row-a", ("a", "b"), "a")
    assert row.versions == (str(version or "before 2"),)


def test_one_whose_agents_speak_this_version_goes_on() -> None:
    assert broken_up([domain()], [node("a", version=WIRE_VERSION), node("b", version=WIRE_VERSION)]) == ()


def test_a_row_that_is_half_upgraded_is_named_by_the_nodes_that_are_not() -> None:
    (row,) = broken_up([domain()], [node("a", version=WIRE_VERSION), node("b"), node("c", version=3)])
    assert (row.nodes, row.coordinator, row.versions) == (("b", "c"), None, ("3", "before 2"))


def test_nodes_that_are_not_armed_are_nobodys_concern() -> None:
    assert broken_up([domain(status="False", reason="ModeObserve")], [node("a", status="False")]) == ()
    assert broken_up([], [{"metadata": {"name": "new"}}]) == ()


@pytest.mark.parametrize(
    ("status", "reason", "counts"),
    [
        ("False", "ModeEnforce", True),
        ("True", "Releasing", True),
        ("Unknown", "NodesSilent", True),
        ("Unknown", "NotRefreshed", True),
        ("Unknown", "NobodyLeads", False),
        ("False", "BudgetTooSmall", False),
        ("False", "ModeObserve", False),
    ],
)
def test_a_row_that_is_about_to_be_armed_counts_too(status: str, reason: str, *, counts: bool) -> None:
    found = broken_up([domain(status=status, reason=reason)], [node("a", status="False")])
    assert [(row.nodes, row.coordinator) for row in found] == ([((), "a")] if counts else [])


def test_one_that_says_so_but_has_no_agent_any_more_holds_nothing() -> None:
    assert broken_up([domain(coordinator="gone")], []) == ()


def test_a_node_whose_domain_is_gone_is_named_too() -> None:
    (row,) = broken_up([], [node("a", domain=None)])
    assert str(row) == "nodes without a PowerDomain (a: wire version before 2)"


def test_of_many_nodes_a_few_are_named_and_the_others_counted() -> None:
    row = Row(domain="row-a", nodes=tuple(f"n{i}" for i in range(40)), coordinator="n3", versions=("1",))
    assert str(row) == "PowerDomain row-a (n0, n1, n2, n3 and 36 more, coordinator n3: wire version 1)"
