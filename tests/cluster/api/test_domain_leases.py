"""How agents may and may not take the Leases by which domains elect their coordinators."""

from collections.abc import Iterator
from typing import Any

import pytest

from loadline_api import names
from loadline_api.names import CANDIDATES_ANNOTATION, DOMAIN_LABEL, SYSTEM_NAMESPACE
from testbed.api_callers import Caller, eventually
from testbed.cluster.errors import ApiError

PATH = names.LEASES.path(namespace=SYSTEM_NAMESPACE)
NAME = names.lease_name("quay")


def lease(name: str = NAME, **metadata: Any) -> dict[str, Any]:
    told = {
        "labels": {DOMAIN_LABEL: "quay"},
        "annotations": {CANDIDATES_ANNOTATION: "berth-0,berth-1"},
        **metadata,
    }
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, **told},
        "spec": {"leaseDurationSeconds": 15},
    }


def changed(body: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {**body, "spec": {**body["spec"], **spec}}


@pytest.fixture
def made(operator: Caller, admin: Caller, tenant: Caller, agents: list[Caller]) -> Iterator[dict[str, Any]]:
    """A domain's Lease as the operator makes it, once the policies guard it."""
    body = operator.send("POST", PATH, body=lease())
    eventually(lambda: agents[2].refusal("PUT", f"{PATH}/{NAME}", body, by="is not in the annotation"))
    eventually(
        lambda: tenant.refusal(
            "POST", PATH, lease("pier"), by="only the operator may create or change Leases"
        )
    )
    yield body
    admin.send("DELETE", f"{PATH}/{NAME}")


@pytest.fixture
def held(agents: list[Caller], made: dict[str, Any]) -> dict[str, Any]:
    """The same Lease, held by berth-0 in its second epoch."""
    first = agents[0].send(
        "PUT", f"{PATH}/{NAME}", body=changed(made, holderIdentity="berth-0", leaseTransitions=1)
    )
    released = agents[0].send("PUT", f"{PATH}/{NAME}", body=changed(first, holderIdentity=""))
    again = changed(released, holderIdentity="berth-0", leaseTransitions=2)
    taken: dict[str, Any] = agents[0].send("PUT", f"{PATH}/{NAME}", body=again)
    return taken


def test_a_candidate_takes_renews_and_gives_back(agents: list[Caller], held: dict[str, Any]) -> None:
    renewed = agents[0].send(
        "PUT", f"{PATH}/{NAME}", body=changed(held, renewTime="2026-01-01T00:00:00.000000Z")
    )
    released = agents[0].send("PUT", f"{PATH}/{NAME}", body=changed(renewed, holderIdentity=""))
    taken = agents[1].send(
        "PUT", f"{PATH}/{NAME}", body=changed(released, holderIdentity="berth-1", leaseTransitions=3)
    )
    assert taken["spec"]["holderIdentity"] == "berth-1"


def test_another_candidate_takes_over_in_a_new_epoch(agents: list[Caller], held: dict[str, Any]) -> None:
    taken = changed(held, holderIdentity="berth-1", leaseTransitions=3)
    assert agents[1].send("PUT", f"{PATH}/{NAME}", body=taken)["spec"]["leaseTransitions"] == 3


@pytest.mark.parametrize(
    ("who", "change", "words"),
    [
        (
            2,
            {"holderIdentity": "berth-2", "leaseTransitions": 3},
            ('"berth-2" is not in the annotation', "berth-1"),
        ),
        (0, {"holderIdentity": "berth-1", "leaseTransitions": 3}, ("holderIdentity is berth-1", '"berth-0"')),
        (1, {"renewTime": "2026-01-01T00:00:00.000000Z"}, ("holderIdentity is berth-0", '"berth-1"')),
        (0, {"leaseTransitions": 1}, ("leaseTransitions is 1, below 2", "leave it unchanged")),
        (0, {"leaseTransitions": None}, ("leaseTransitions is 0, below 2",)),
        (1, {"holderIdentity": "berth-1"}, ("leaseTransitions is still 2", "raise it")),
        (0, {"leaseTransitions": 4}, ("leaseTransitions is 4, more than one above 2",)),
        (1, {"holderIdentity": "berth-1", "leaseTransitions": 2**31 - 1}, ("more than one above 2",)),
        (0, {"holderIdentity": "", "leaseTransitions": 3}, ("only a new holder starts an epoch",)),
        (1, {"holderIdentity": ""}, ("berth-0, which holds the Lease", "leave it")),
        (1, {"holderIdentity": None}, ("berth-0, which holds the Lease",)),
        (0, {"leaseDurationSeconds": 2**31 - 1}, ("leaseDurationSeconds", "leave it unchanged")),
        (0, {"leaseDurationSeconds": 1}, ("leaseDurationSeconds",)),
        (0, {"leaseDurationSeconds": None}, ("leaseDurationSeconds",)),
        (0, {"acquireTime": "2026-01-01T00:00:00.000000Z"}, ("spec.acquireTime changes within an epoch",)),
    ],
    ids=[
        *("no-candidate", "for-another", "renew-anothers", "epoch-falls", "epoch-dropped", "epoch-shared"),
        *("epoch-skipped", "epoch-exhausted", "epoch-of-nobody", "empty-anothers", "drop-anothers"),
        *("lasts-for-ever", "lasts-a-second", "lasts-as-by-default", "acquired-anew"),
    ],
)
def test_what_an_agent_may_not_write(
    agents: list[Caller], held: dict[str, Any], who: int, change: dict[str, Any], words: tuple[str, ...]
) -> None:
    sentence = agents[who].refusal("PUT", f"{PATH}/{NAME}", changed(held, **change))
    assert [word for word in words if word not in sentence] == [], sentence


def test_a_holder_that_begins_anew_takes_the_next_epoch(agents: list[Caller], held: dict[str, Any]) -> None:
    """As after a restart of its agent."""
    told = {"leaseTransitions": 3, "acquireTime": "2026-01-01T00:00:00.000000Z"}
    assert (
        agents[0].send("PUT", f"{PATH}/{NAME}", body=changed(held, **told))["spec"]["leaseTransitions"] == 3
    )


@pytest.mark.parametrize(
    "told", [{"strategy": "OldestEmulationVersion"}, {"strategy": "x.dev/y", "preferredHolder": "berth-1"}]
)
def test_no_agent_asks_for_a_coordinated_election(
    agents: list[Caller], held: dict[str, Any], told: dict[str, Any]
) -> None:
    """Where an API server knows these fields, kube-controller-manager would name the holder by them."""
    try:
        answer = agents[0].send("PUT", f"{PATH}/{NAME}", body=changed(held, **told), dryRun="All")
    except ApiError as error:
        assert "spec.strategy and spec.preferredHolder" in str(error)
    else:
        assert told.keys().isdisjoint(answer["spec"]), "dropped, where it isn't served"


@pytest.mark.parametrize(
    "metadata",
    [
        {"annotations": {CANDIDATES_ANNOTATION: "berth-0"}},
        {"annotations": None},
        {"labels": {DOMAIN_LABEL: "pier"}},
        {"labels": None},
        {"finalizers": ["loadline.dev/mine"]},
        {"ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "berth-0", "uid": "0"}]},
    ],
    ids=["candidates", "no-candidates", "domain", "no-domain", "finalizer", "owner"],
)
def test_an_agent_may_not_change_metadata(
    agents: list[Caller], held: dict[str, Any], metadata: dict[str, Any]
) -> None:
    body = {**held, "metadata": {**held["metadata"], **metadata}}
    assert "may not change the metadata of a domain's Lease" in agents[0].refusal(
        "PUT", f"{PATH}/{NAME}", body
    )


def test_an_agent_may_not_touch_other_leases(agents: list[Caller], admin: Caller) -> None:
    body = admin.send("POST", PATH, body=lease("somebodys", labels={}))
    sentence = agents[0].refusal(
        "PUT", f"{PATH}/somebodys", changed(body, holderIdentity="berth-0", leaseTransitions=1)
    )
    assert "only update Leases labelled loadline.dev/domain, which the operator creates" in sentence
    admin.send("DELETE", f"{PATH}/somebodys")


def test_an_agent_may_neither_make_nor_remove_leases(agents: list[Caller], made: dict[str, Any]) -> None:
    assert "cannot create resource" in agents[0].refusal("POST", PATH, lease("pier"))
    assert "cannot delete resource" in agents[0].refusal("DELETE", f"{PATH}/{NAME}")


def test_a_stranger_with_leases_rights_is_refused(tenant: Caller, held: dict[str, Any]) -> None:
    usurped = changed(held, holderIdentity="berth-9", leaseTransitions=3)
    fix = "only the operator may create or change Leases labelled loadline.dev/domain"
    assert fix in tenant.refusal("PUT", f"{PATH}/{NAME}", usurped)
    assert fix in tenant.refusal("POST", PATH, lease("pier"))
    assert fix in tenant.refusal("DELETE", f"{PATH}/{NAME}")
    tenant.send("POST", PATH, body=lease("their-own", labels={}), dryRun="All")


def test_the_operator_renews_the_candidates(operator: Caller, held: dict[str, Any]) -> None:
    annotations = {CANDIDATES_ANNOTATION: "berth-1,berth-2"}
    body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"annotations": annotations}}
    written = operator.apply(f"{PATH}/{NAME}", body, manager=names.OPERATOR_MANAGER)
    assert written["metadata"]["annotations"] == annotations
    assert written["spec"]["holderIdentity"] == "berth-0"
