"""When an uninstall may go on: no node holds limits, and no coordinator is about to set any."""

from typing import Any

import pytest

from loadline_operator.hooks.release_nodes import CALM_S, Calm, Held, held, unreleased


def told(name: str, status: str, reason: str) -> dict[str, Any]:
    condition = {"type": "Enforcing", "status": status, "reason": reason}
    return {"metadata": {"name": name}, "status": {"conditions": [condition]}}


def silent(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}}


def test_an_armed_node_holds() -> None:
    assert held([], [told("b", "True", "ModeEnforce"), told("a", "True", "ModeEnforce")]).nodes == ("a", "b")


def test_a_node_that_observes_or_tells_nothing_holds_nothing() -> None:
    assert held([], [told("a", "False", "ModeObserve"), silent("b")]) == Held()


def test_a_domain_holds_while_it_is_releasing() -> None:
    assert held([told("row", "True", "Releasing")], []).domains == ("row",)


def test_a_domain_whose_first_leases_are_on_their_way_holds() -> None:
    assert held([told("row", "False", "ModeEnforce")], []).domains == ("row",)


def test_a_domain_that_only_observes_holds_nothing_where_nobody_can_tell() -> None:
    assert held([told("row", "Unknown", "NotRefreshed")], []) == Held()


def test_a_domain_that_can_not_be_enforced_holds_nothing() -> None:
    assert held([told("row", "False", "ReactionTooSlow"), silent("hall")], []) == Held()


def test_what_is_held_is_told_by_name() -> None:
    assert str(Held(nodes=("a", "b"), domains=("row",))) == "node a, node b, domain row"


@pytest.mark.parametrize("reason", ["Releasing", "ReleaseWaits"])
def test_a_removal_that_fails_says_what_the_coordinators_say_of_their_releases(reason: str) -> None:
    row = told("row", "True", reason)
    row["status"]["conditions"][0]["message"] = (
        "berth-1 waits to be released; the next lacks 540 W of headroom."
    )
    still = held([row, told("hall", "True", "ModeEnforce")], [told("berth-1", "True", "ModeEnforce")])
    text = unreleased(still)
    assert "not released in time: node berth-1, domain hall, domain row." in text
    assert f"PowerDomain row: {reason}: berth-1 waits to be released; the next lacks 540 W" in text
    assert "PowerDomain hall:" not in text
    assert "`loadline release --node NAME`" in text


def test_nothing_held_is_enough() -> None:
    assert Calm().reached(Held(), 0.0)


def test_a_node_is_waited_for_however_long_it_takes() -> None:
    calm = Calm()
    assert not any(calm.reached(Held(nodes=("a",)), float(now)) for now in range(0, 1000, 10))


def test_a_domain_without_a_coordinator_is_waited_for_only_a_while() -> None:
    calm, lost = Calm(), Held(domains=("row",))
    assert not calm.reached(lost, 100.0)
    assert not calm.reached(lost, 100.0 + CALM_S - 0.1)
    assert calm.reached(lost, 100.0 + CALM_S)


def test_a_node_that_is_armed_meanwhile_begins_the_while_anew() -> None:
    calm, lost = Calm(), Held(domains=("row",))
    calm.reached(lost, 100.0)
    calm.reached(Held(nodes=("a",), domains=("row",)), 100.0 + CALM_S)
    assert not calm.reached(lost, 101.0 + CALM_S)
    assert calm.reached(lost, 101.0 + 2 * CALM_S)
