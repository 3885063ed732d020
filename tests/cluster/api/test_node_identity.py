"""Only a node's own agent writes its NodeCapacity."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from loadline_api import names
from loadline_api.node_capacities import NodeCapacityStatus
from testbed import charts
from testbed.agent_specs import agent_spec
from testbed.api_callers import Caller, bound_account, eventually, refusal
from testbed.cluster.bed import Bed

PATH = names.NODE_CAPACITIES.path()
TIME = "2026-01-01T00:00:00Z"


def capacity(node: str, *, address: str = "10.0.0.7:9476") -> dict[str, Any]:
    return {
        "apiVersion": names.API_VERSION,
        "kind": "NodeCapacity",
        "metadata": {"name": node},
        "spec": agent_spec(address),
    }


@pytest.fixture(scope="module", autouse=True)
def in_force(admin: Caller) -> None:
    """Wait until the policy refuses what it must."""
    eventually(lambda: admin.refusal("POST", PATH, capacity("berth-0"), by="berth-0"))


@pytest.fixture
def own(agents: list[Caller], admin: Caller) -> Iterator[dict[str, Any]]:
    """The NodeCapacity of berth-0, written by its agent."""
    yield agents[0].send("POST", PATH, body=capacity("berth-0"))
    admin.send("DELETE", f"{PATH}/berth-0")


def test_an_agent_writes_its_own(agents: list[Caller], own: dict[str, Any]) -> None:
    assert own["spec"]["address"] == "10.0.0.7:9476"
    elsewhere = {**own, "spec": capacity("berth-0", address="h:1")["spec"]}
    moved = agents[0].send("PUT", f"{PATH}/berth-0", body=elsewhere)
    assert moved["spec"]["address"] == "h:1"


def test_an_agent_writes_its_own_status(agents: list[Caller], own: dict[str, Any]) -> None:
    status = {"hostMaxWatts": 2600, "gpus": [{"uuid": "GPU-1", "minWatts": 100, "maxWatts": 400}]}
    body = {"apiVersion": names.API_VERSION, "kind": "NodeCapacity", "status": status}
    written = agents[0].apply_status(f"{PATH}/berth-0", body, manager=names.AGENT_MANAGER)
    assert written["status"] == status


@pytest.mark.parametrize(
    ("status", "field"),
    [
        ({"refreshSeconds": 10**9}, "status.refreshSeconds"),
        ({"refreshSeconds": 0}, "status.refreshSeconds"),
        ({"wireVersion": 2**40}, "status.wireVersion"),
        ({"observedGeneration": 2**62}, "status.observedGeneration"),
        ({"gpus": [{"uuid": "GPU-1", "clockCapMhz": 2**40}]}, "status.gpus[0].clockCapMhz"),
        ({"services": [{"service": "a/b", "pods": 2**40, "gpus": 1}]}, "status.services[0].pods"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.usefixtures("own")
def test_a_number_in_its_own_status_has_a_bound(
    agents: list[Caller], status: dict[str, Any], field: str
) -> None:
    """A status that promises its next refresh for next year would be believed until then."""
    body = {"apiVersion": names.API_VERSION, "kind": "NodeCapacity", "status": status}
    path = f"{PATH}/berth-0"
    assert field in refusal(lambda: agents[0].apply_status(path, body, manager=names.AGENT_MANAGER))


def test_an_agent_cannot_create_anothers(agents: list[Caller]) -> None:
    sentence = agents[1].refusal("POST", PATH, capacity("berth-2"))
    assert "NodeCapacity berth-2 may be written only by" in sentence
    assert 'with a token bound to node "berth-1"' in sentence
    assert "to have the agent of node berth-2 create it again" in sentence


def test_an_agent_cannot_change_anothers(agents: list[Caller], own: dict[str, Any]) -> None:
    forged = {**own, "spec": capacity("berth-0", address="evil:9476")["spec"]}
    assert "NodeCapacity berth-0 may be written only by" in agents[1].refusal(
        "PUT", f"{PATH}/berth-0", forged
    )
    status = {**own, "status": {"hostMaxWatts": 1}}
    assert "NodeCapacity berth-0 may be written only by" in agents[1].refusal(
        "PUT", f"{PATH}/berth-0/status", status
    )


def test_a_token_without_a_node_writes_nothing(caller: Callable[..., Caller]) -> None:
    sentence = caller(names.AGENT_ACCOUNT).refusal("POST", PATH, capacity("berth-2"))
    assert 'bound to node ""' in sentence


def test_another_account_on_the_same_node_writes_nothing(charted: Bed, caller: Callable[..., Caller]) -> None:
    charted.apply(bound_account("stowaway", "cluster-admin"))
    stowaway = caller("stowaway", namespace="default", node="berth-2")
    of = "the request comes from system:serviceaccount:default:stowaway"
    eventually(lambda: stowaway.refusal("POST", PATH, capacity("berth-2"), by=of))


def test_an_admin_may_not_write_but_delete(admin: Caller, own: dict[str, Any]) -> None:
    assert "NodeCapacity berth-0 may be written only by" in admin.refusal("PUT", f"{PATH}/berth-0", own)
    admin.send("DELETE", f"{PATH}/berth-0", dryRun="All")


def test_the_operator_may_not_write_the_spec(operator: Caller, own: dict[str, Any]) -> None:
    assert "cannot update resource" in operator.refusal("PUT", f"{PATH}/berth-0", own)


def doubt(operator: Caller, *, status: str = "Unknown", reason: str = "NotRefreshed", **more: Any) -> Any:
    """The operator says something of conditions that an agent has told."""
    said = {"type": "Conflict", "status": status, "reason": reason, "lastTransitionTime": TIME}
    body = {"apiVersion": names.API_VERSION, "kind": "NodeCapacity"}
    told = {**body, "status": {"conditions": [said, *more.pop("others", ())], **more}}
    return operator.apply_status(f"{PATH}/berth-0", told, manager=names.STALE_MANAGER)


def test_the_operator_may_say_that_nobody_has_refreshed_a_condition_and_nothing_else(
    agents: list[Caller], operator: Caller, own: dict[str, Any]
) -> None:
    calm = [
        {"type": type, "status": "False", "reason": "Observed", "lastTransitionTime": TIME}
        for type in ("Conflict", "Enforcing")
    ]
    body = {"apiVersion": names.API_VERSION, "kind": "NodeCapacity"}
    facts = {**body, "status": {"hostMaxWatts": 2600, "conditions": calm}}
    agents[0].apply_status(f"{PATH}/berth-0", facts, manager=names.AGENT_MANAGER)

    for lie in ({"status": "True"}, {"reason": "SoleWriter"}, {"hostMaxWatts": 1}, {"domain": "theirs"}):
        assert "NodeCapacity berth-0 may be written only by" in refusal(partial(doubt, operator, **lie))
    new = {"type": "GpusReady", "status": "Unknown", "reason": "NotRefreshed", "lastTransitionTime": TIME}
    assert "NodeCapacity berth-0 may be written only by" in refusal(partial(doubt, operator, others=[new]))

    said = {one["type"]: one["status"] for one in doubt(operator)["status"]["conditions"]}
    assert said == {"Conflict": "Unknown", "Enforcing": "False"}
    again = agents[0].apply_status(f"{PATH}/berth-0", facts, manager=names.AGENT_MANAGER)
    assert {one["status"] for one in again["status"]["conditions"]} == {"False"}


def test_all_that_an_agent_tells_is_guarded() -> None:
    policy = next(one for one in charts.rendered() if one["metadata"]["name"] == "loadline-node-identity")
    (text,) = (one["expression"] for one in policy["spec"]["variables"] if one["name"] == "isDoubt")
    told = {field.alias for field in NodeCapacityStatus.model_fields.values()} - {"conditions"}
    assert {field for field in told if f"object.status.?{field} == oldObject.status.?{field}" in text} == told


def test_the_garbage_collector_may_finish_a_deletion_and_no_more(
    agents: list[Caller], admin: Caller, caller: Callable[..., Caller]
) -> None:
    body = {**capacity("berth-1"), "metadata": {"name": "berth-1", "finalizers": ["foregroundDeletion"]}}
    kept = agents[1].send("POST", PATH, body=body)
    collector = caller("generic-garbage-collector", namespace="kube-system")
    forged = {**kept, "spec": capacity("berth-1", address="evil:9476")["spec"]}
    collector.refusal("PUT", f"{PATH}/berth-1", forged, by="NodeCapacity berth-1 may be written only by")
    kept["metadata"]["finalizers"] = []
    collector.send("PUT", f"{PATH}/berth-1", body=kept)
    admin.send("DELETE", f"{PATH}/berth-1")
