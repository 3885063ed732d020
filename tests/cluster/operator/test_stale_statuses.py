"""A coordinator that falls silent, and comes back: who owns the conditions then, by the real API server."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from loadline_api import names
from loadline_api.conditions import COORDINATOR_DOMAIN_CONDITIONS
from testbed.api_callers import Caller, caller, eventually
from testbed.cluster.bed import Bed
from testbed.cluster.clients import Object

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("operator")]

Status = Callable[[str], dict[str, Any]]
ROW, NODE = "faded", "faded-0"
TIME = "2026-01-01T00:00:00Z"


@pytest.fixture
def leader(harbour: Bed, row: Callable[[str], Any], status: Status) -> Iterator[Caller]:
    """An agent that holds the Lease of a row of one node."""
    one = row(ROW)
    one.tell(one.add(1))
    harbour.apply([one.domain(budget=12_000)])
    eventually(lambda: _is_candidate(status))
    agent = caller(harbour, names.AGENT_ACCOUNT, node=NODE)
    path = names.LEASES.path(names.lease_name(ROW), namespace=names.SYSTEM_NAMESPACE)
    lease = harbour.client.get(path)
    agent.send("PUT", path, body={**lease, "spec": {"holderIdentity": NODE, "leaseTransitions": 1}})
    yield agent
    agent.http.close()
    allowed = {"metadata": {"annotations": {names.DELETE_ARMED_ANNOTATION: ""}}}
    harbour.client.patch(names.POWER_DOMAINS.path(ROW), allowed)
    harbour.client.delete(names.POWER_DOMAINS.path(ROW))


def refresh(leader: Caller, time: str, **verdicts: str) -> Object:
    """Write as a coordinator that promises to write again within a second."""
    said = [
        {"type": type, "status": so, "reason": "Observed", "message": "", "lastTransitionTime": TIME}
        for type, so in verdicts.items()
    ]
    told = {"coordinator": NODE, "observedTime": time, "refreshSeconds": 1, "conditions": said}
    body = {"apiVersion": names.API_VERSION, "kind": "PowerDomain", "status": told}
    return leader.apply_status(names.POWER_DOMAINS.path(ROW), body, manager=names.COORDINATOR_MANAGER)


def test_a_status_that_is_not_refreshed_turns_unknown_and_back_when_its_coordinator_speaks(
    harbour: Bed, leader: Caller, row: Callable[[str], Any], status: Status
) -> None:
    well = dict.fromkeys(map(str, COORDINATOR_DOMAIN_CONDITIONS), "True")
    eventually(lambda: refresh(leader, TIME, **well))
    before = status(ROW)["conditions"]
    eventually(lambda: _all(status, "Unknown"))
    stale = status(ROW)["conditions"]
    assert "This status has not been refreshed for 3 s or longer" in stale["WithinBudget"]["message"]
    assert stale["Accepted"] == before["Accepted"], "the operator's own half stays as it is"
    harbour.apply([row(ROW).domain(budget=13_000)])
    eventually(lambda: _has_read(status, "13000"))
    assert _all(status, "Unknown"), "to write its own half again takes nothing of it away"

    refresh(leader, "2026-01-01T00:01:00Z", **well)
    assert _all(status, "True")
    turned = refresh(leader, "2026-01-01T00:02:00Z", **{**well, "WithinBudget": "False"})
    said = {one["type"]: one["status"] for one in turned["status"]["conditions"]}
    assert (said["WithinBudget"], said["Holdable"]) == ("False", "True")


def test_a_dead_agents_word_is_in_doubt_and_so_is_what_rests_on_it(
    harbour: Bed, row: Callable[[str], Any], status: Status
) -> None:
    one = row("dim")
    nodes = one.add(2)
    one.tell(nodes, observedTime=TIME, refreshSeconds=1, conditions=_said("True"))
    harbour.apply([one.domain(budget=12_000)])
    eventually(lambda: _rests(status, "NotRefreshed"))
    told = harbour.client.get(names.NODE_CAPACITIES.path(nodes[0]))["status"]
    assert {one["type"]: one["status"] for one in told["conditions"]} == {
        "LimitsSettable": "Unknown",
        "Enforcing": "True",
    }
    one.tell(nodes, observedTime="2026-01-01T00:01:00Z", refreshSeconds=600, conditions=_said("True"))
    eventually(lambda: _rests(status, "ReactionInTime"))
    harbour.client.delete(names.POWER_DOMAINS.path("dim"))


def _said(so: str) -> list[dict[str, str]]:
    return [
        {"type": type, "status": so, "reason": "Observed", "message": "", "lastTransitionTime": TIME}
        for type in ("LimitsSettable", "Enforcing")
    ]


def _rests(status: Status, reason: str) -> None:
    assert status("dim")["conditions"].get("Enforceable", {}).get("reason") == reason


def _all(status: Status, so: str) -> bool:
    found = status(ROW)["conditions"]
    assert {found[type]["status"] for type in COORDINATOR_DOMAIN_CONDITIONS} == {so}
    return True


def _has_read(status: Status, budget: str) -> None:
    assert budget in status(ROW)["conditions"]["Accepted"]["message"]


def _is_candidate(status: Status) -> None:
    assert status(ROW).get("candidates") == [NODE]
