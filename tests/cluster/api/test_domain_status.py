"""Who may write a PowerDomain's status: the operator its half, the Lease's holder the other."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from loadline_api import names
from loadline_api.names import (
    CANDIDATES_ANNOTATION,
    DELETE_ARMED_ANNOTATION,
    DOMAIN_LABEL,
    DRILL_ANNOTATION,
    SYSTEM_NAMESPACE,
)
from loadline_api.power_domains import PowerDomain
from testbed.api_callers import Caller, eventually, refusal

LEASES = names.LEASES.path(namespace=SYSTEM_NAMESPACE)
DOMAINS = names.POWER_DOMAINS.path()
TIME = "2026-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Mooring:
    """A domain, its Lease, and the three agents."""

    agents: list[Caller]
    operator: Caller

    def status(self, who: Caller, manager: str, domain: str = "mole", **status: Any) -> dict[str, Any]:
        body = {"apiVersion": names.API_VERSION, "kind": "PowerDomain", "status": status}
        written: dict[str, Any] = who.apply_status(f"{DOMAINS}/{domain}", body, manager=manager)
        return written

    def report(self, index: int, **status: Any) -> dict[str, Any]:
        told = {"coordinator": f"berth-{index}", "observedWatts": 1000, **status}
        return self.status(self.agents[index], names.COORDINATOR_MANAGER, **told)

    def take(self, domain: str, index: int) -> None:
        path = f"{LEASES}/{names.lease_name(domain)}"
        body = self.agents[index].send("GET", path)
        spec = body["spec"]
        epoch = spec.get("leaseTransitions", 0) + 1
        taken = {**spec, "holderIdentity": f"berth-{index}", "leaseTransitions": epoch}
        self.agents[index].send("PUT", path, body={**body, "spec": taken})


def condition(type: str) -> dict[str, str]:
    return {"type": type, "status": "True", "reason": "AsDeclared", "message": "", "lastTransitionTime": TIME}


def domain(name: str) -> dict[str, Any]:
    return {
        "apiVersion": names.API_VERSION,
        "kind": "PowerDomain",
        "metadata": {"name": name},
        "spec": {"budgetWatts": 40_000},
    }


def lease(name: str) -> dict[str, Any]:
    metadata = {
        "name": names.lease_name(name),
        "labels": {DOMAIN_LABEL: name},
        "annotations": {CANDIDATES_ANNOTATION: "berth-0,berth-1"},
    }
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": {}}


def let_go(admin: Caller, name: str) -> None:
    """Delete a domain whatever its status says of armed members."""
    headers = {"Content-Type": "application/merge-patch+json"}
    body = {"metadata": {"annotations": {DELETE_ARMED_ANNOTATION: ""}}}
    admin.http.patch(f"{DOMAINS}/{name}", json=body, headers=headers).raise_for_status()
    admin.send("DELETE", f"{DOMAINS}/{name}")


@contextmanager
def enforced(admin: Caller, name: str) -> Iterator[None]:
    """The domain's mode is Enforce meanwhile."""

    def declare(mode: str) -> None:
        headers = {"Content-Type": "application/merge-patch+json"}
        body = {"spec": {"mode": mode}}
        admin.http.patch(f"{DOMAINS}/{name}", json=body, headers=headers).raise_for_status()

    declare("Enforce")
    try:
        yield
    finally:
        declare("Observe")


@pytest.fixture
def moored(admin: Caller, operator: Caller, agents: list[Caller]) -> Iterator[Callable[[], Mooring]]:
    """Two domains; those that the operator has given a Lease and candidates are led by berth-0."""
    for name in ("mole", "pier"):
        admin.send("POST", DOMAINS, body=domain(name))
    mooring = Mooring(agents, operator)

    def lead() -> Mooring:
        for name in ("mole", "pier"):
            operator.send("POST", LEASES, body=lease(name))
            mooring.status(
                operator,
                names.OPERATOR_MANAGER,
                name,
                members=["berth-0", "berth-1", "berth-2"],
                candidates=["berth-0", "berth-1"],
                conditions=[condition("Accepted")],
            )
        mooring.take("mole", 0)
        mooring.take("pier", 1)
        eventually(lambda: mooring.report(0))
        return mooring

    yield lead
    for name in ("mole", "pier"):
        let_go(admin, name)
    for one in admin.send("GET", LEASES)["items"]:
        admin.send("DELETE", f"{LEASES}/{one['metadata']['name']}")


def test_the_operator_writes_before_there_is_any_lease(
    moored: Callable[[], Mooring], operator: Caller, agents: list[Caller]
) -> None:
    written = Mooring(agents, operator).status(operator, names.OPERATOR_MANAGER, members=["berth-0"])
    assert written["status"]["members"] == ["berth-0"]


def test_nobody_leads_a_domain_without_candidates(
    moored: Callable[[], Mooring], operator: Caller, agents: list[Caller]
) -> None:
    sentence = refusal(lambda: Mooring(agents, operator).report(0))
    assert 'node "berth-0" is not in status.candidates []' in sentence


def test_both_halves_stand_side_by_side(moored: Callable[[], Mooring]) -> None:
    written = moored().report(0, level="Normal", conditions=[condition("Enforcing")])
    status = PowerDomain.parse(written).status
    assert status.members == ("berth-0", "berth-1", "berth-2")
    assert status.observed_watts == 1000
    assert [one.type for one in status.conditions] == ["Accepted", "Enforcing"]


@pytest.mark.parametrize(
    "told", [{"refreshSeconds": 10**9}, {"observedWatts": 10**15}, {"brakes": 2**62}, {"heatPercent": 2**40}]
)
def test_a_number_of_a_coordinator_has_a_bound(moored: Callable[[], Mooring], told: dict[str, int]) -> None:
    mooring, (field,) = moored(), told
    assert f"status.{field}" in refusal(lambda: mooring.report(0, **told))


def test_nobody_orders_a_drill_by_writing_a_status(moored: Callable[[], Mooring]) -> None:
    mooring = moored()
    body = {"metadata": {"annotations": {DRILL_ANNOTATION: "2026-01-02T03:04:05Z/10"}}}
    headers = {"Content-Type": "application/merge-patch+json"}
    agent = mooring.agents[0].http
    refused = agent.patch(f"{DOMAINS}/mole", json=body, headers=headers)
    assert refused.status_code == 403
    told = {**body, "status": {"coordinator": "berth-0", "observedWatts": 1001}}
    taken = agent.patch(f"{DOMAINS}/mole/status", json=told, headers=headers).json()
    assert taken["status"]["observedWatts"] == 1001
    assert DRILL_ANNOTATION not in taken["metadata"].get("annotations", {})


def test_a_candidate_that_does_not_hold_the_lease_is_refused(moored: Callable[[], Mooring]) -> None:
    sentence = refusal(lambda: moored().report(1))
    assert 'node "berth-1" does not hold Lease loadline-mole (its holder is "berth-0")' in sentence


def test_a_new_holder_takes_over_the_coordinators_half(moored: Callable[[], Mooring]) -> None:
    mooring = moored()
    mooring.take("mole", 1)
    eventually(lambda: mooring.report(1, observedWatts=900))
    assert "does not hold" in refusal(lambda: mooring.report(0))


def test_no_candidate_is_refused_even_where_no_lease_is_left(
    moored: Callable[[], Mooring], operator: Caller, agents: list[Caller]
) -> None:
    mooring = Mooring(agents, operator)
    mooring.status(operator, names.OPERATOR_MANAGER, candidates=["berth-0", "berth-1"])
    sentence = refusal(lambda: mooring.report(2))
    assert 'node "berth-2" is not in status.candidates ["berth-0", "berth-1"]' in sentence


def test_a_holder_writes_in_its_own_name(moored: Callable[[], Mooring]) -> None:
    sentence = refusal(lambda: moored().report(0, coordinator="berth-1"))
    assert "status.coordinator is not the node to which the agent's token is bound" in sentence


@pytest.mark.parametrize(
    "change",
    [{"members": ["berth-0"]}, {"candidates": ["berth-0"]}, {"safeWatts": 1}, {"toleratesSilentNodes": 9}],
    ids=lambda change: next(iter(change)),
)
def test_a_holder_leaves_the_operators_half_alone(
    moored: Callable[[], Mooring], change: dict[str, Any]
) -> None:
    assert "an agent may not change the status fields that the operator writes" in refusal(
        lambda: moored().report(0, **change)
    )


@pytest.mark.parametrize("type", ["Accepted", "Enforceable", "Invented"])
def test_a_holder_leaves_the_operators_conditions_alone(moored: Callable[[], Mooring], type: str) -> None:
    forged = {**condition(type), "status": "False"}
    assert "an agent may not change the status conditions that the operator writes" in refusal(
        lambda: moored().report(0, conditions=[forged])
    )


def test_an_agent_may_not_change_a_spec(moored: Callable[[], Mooring], agents: list[Caller]) -> None:
    body = agents[0].send("GET", f"{DOMAINS}/mole")
    assert "cannot update resource" in agents[0].refusal("PUT", f"{DOMAINS}/mole", body)


def enforcing(status: str, reason: str) -> dict[str, str]:
    return {**condition("Enforcing"), "status": status, "reason": reason}


@pytest.mark.parametrize(
    ("status", "reason"),
    [("True", "ModeEnforce"), ("True", "Releasing"), ("False", "ModeEnforce"), ("True", "BudgetTooSmall")],
)
def test_a_domain_with_an_armed_member_is_not_deleted(
    moored: Callable[[], Mooring], admin: Caller, status: str, reason: str
) -> None:
    moored().report(0, conditions=[enforcing(status, reason)])
    told = admin.refusal(
        "DELETE", f"{DOMAINS}/mole", by="PowerDomain mole has nodes on which Loadline enforces"
    )
    assert "set its spec.mode to Observe" in told
    assert "Enforcing is False" in told
    assert DELETE_ARMED_ANNOTATION in told
    assert "on which Loadline enforces" in admin.refusal("DELETE", DOMAINS), "nor among all of them"


@pytest.mark.parametrize("reason", ["NodesSilent", "NotRefreshed"])
def test_a_domain_to_be_enforced_of_which_nobody_can_tell_is_not_deleted(
    moored: Callable[[], Mooring], admin: Caller, reason: str
) -> None:
    moored().report(0, conditions=[enforcing("Unknown", reason)])
    admin.send("DELETE", f"{DOMAINS}/mole", dryRun="All")
    with enforced(admin, "mole"):
        told = admin.refusal(
            "DELETE", f"{DOMAINS}/mole", by="may enforce GPU limits, since their state is unknown"
        )
    assert DELETE_ARMED_ANNOTATION in told


@pytest.mark.parametrize(("status", "reason"), [("False", "ModeObserve"), ("False", "ReactionTooSlow")])
def test_a_domain_without_an_armed_member_may_be_deleted(
    moored: Callable[[], Mooring], admin: Caller, status: str, reason: str
) -> None:
    moored().report(0, conditions=[enforcing(status, reason)])
    admin.send("DELETE", f"{DOMAINS}/mole", dryRun="All")


def test_a_domain_with_an_armed_member_is_deleted_once_somebody_has_allowed_it(
    moored: Callable[[], Mooring], admin: Caller
) -> None:
    moored().report(0, conditions=[enforcing("True", "ModeEnforce")])
    let_go(admin, "mole")
    admin.refusal("GET", f"{DOMAINS}/mole", by="not found")
    admin.send("POST", DOMAINS, body=domain("mole"))
