"""An event concerns the services whose facts it moves, and nobody else."""

from decimal import InvalidOperation
from typing import Any

import pytest

from loadline_operator.kube.kinds import (
    AUTOSCALERS,
    DEPLOYMENTS,
    INFERENCE_SERVICES,
    NODE_CAPACITIES,
    PODS,
    Key,
    Kind,
    Manifest,
)
from loadline_operator.services.facts import pods
from loadline_operator.services.facts.agent_pods import AgentPods
from loadline_operator.services.facts.claimed_workloads import WorkloadClaim
from loadline_operator.services.facts.disaggregated_sets import ROLE_SCALERS
from loadline_operator.services.facts.foreign_workloads import DISAGGREGATED_SETS, FOREIGN_KINDS
from loadline_operator.services.facts.index import ServiceIndex
from loadline_operator.services.facts.object_states import Ref
from testbed.agent_specs import agent_spec

CHAT, RIVAL = Key("serving", "chat"), Key("serving", "rival")
THEIRS = next(kind for kind in FOREIGN_KINDS if kind.kind == "Deployment")
REF = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "theirs"}


def raw(name: str, version: int = 1, *, labels: dict[str, str] | None = None, **more: Any) -> Manifest:
    metadata = {"name": name, "namespace": "serving", "uid": f"uid-{name}", "resourceVersion": str(version)}
    return {"metadata": {**metadata, "labels": labels or {}}, **more}


def ours(name: str, version: int = 1, **more: Any) -> Manifest:
    return raw(name, version, labels={"loadline.dev/service": "chat", "loadline.dev/pool": "main"}, **more)


def service(name: str, version: int = 1, **spec: Any) -> Manifest:
    return raw(name, version, spec=spec or {"model": {"uri": "hf://org/llm"}})


@pytest.fixture
def odd() -> list[str]:
    """Objects that could not be read."""
    return []


@pytest.fixture
def facts(odd: list[str]) -> ServiceIndex:
    return ServiceIndex(
        lambda kind, key, error: odd.append(f"{kind.kind} {key}"), AgentPods(silent_after_s=60.0)
    )


def test_a_pod_concerns_its_service_once_its_fact_moves(facts: ServiceIndex) -> None:
    pod = {"spec": {"containers": []}, "status": {"phase": "Pending"}}
    assert facts.see(PODS, ours("chat-0", 1, **pod), gone=False) == {CHAT}
    assert facts.see(PODS, ours("chat-0", 2, **pod), gone=False) == set()
    assert facts.see(PODS, ours("chat-0", 3, **{**pod, "status": {"phase": "Running"}}), gone=False) == {CHAT}
    assert facts.see(PODS, ours("chat-0", 4, **pod), gone=True) == {CHAT}
    assert facts.pods.of(CHAT) == {}


def test_an_object_that_moves_to_another_service_concerns_both(facts: ServiceIndex) -> None:
    facts.see(DEPLOYMENTS, ours("chat", spec={}), gone=False)
    moved = raw("chat", 2, labels={"loadline.dev/service": "rival"}, spec={})
    assert facts.see(DEPLOYMENTS, moved, gone=False) == {CHAT, RIVAL}
    assert facts.owned_by(CHAT) == {}
    assert list(facts.owned_by(RIVAL)) == [Ref(DEPLOYMENTS, CHAT)]


def test_the_echo_of_a_write_concerns_nobody(facts: ServiceIndex) -> None:
    facts.see(INFERENCE_SERVICES, service("chat", 7), gone=False)
    assert facts.see(INFERENCE_SERVICES, service("chat", 7), gone=False) == set()
    assert facts.see(INFERENCE_SERVICES, service("chat", 6), gone=False) == set()


def test_a_rival_that_is_gone_stays_gone_whatever_a_late_answer_says(facts: ServiceIndex) -> None:
    facts.see(INFERENCE_SERVICES, service("rival", 1, workloadRef=REF), gone=False)
    facts.see(INFERENCE_SERVICES, service("rival", 2, workloadRef=REF), gone=True)
    assert facts.see_answer(INFERENCE_SERVICES, service("rival", 2, workloadRef=REF)) == set()
    claim = WorkloadClaim("apps", "Deployment", "serving", "theirs")
    assert facts.rivals_of(CHAT, claim) == ()


def test_an_answer_tells_of_an_edit_whose_event_it_has_overtaken(facts: ServiceIndex) -> None:
    facts.see(INFERENCE_SERVICES, service("chat", 1), gone=False)
    assert facts.see_answer(INFERENCE_SERVICES, service("chat", 2)) == set()
    edited = service("chat", 4)
    edited["metadata"]["generation"] = 2
    assert facts.see_answer(INFERENCE_SERVICES, edited) == {CHAT}
    assert facts.see(INFERENCE_SERVICES, edited, gone=False) == set()


def test_the_answer_to_an_apply_tells_of_what_others_have_done_meanwhile(facts: ServiceIndex) -> None:
    assert facts.see_answer(DEPLOYMENTS, ours("chat", 1, spec={})) == set()
    assert facts.see_answer(DEPLOYMENTS, ours("chat", 1, spec={})) == set()
    ready = ours("chat", 3, spec={}, status={"readyReplicas": 1})
    assert facts.see_answer(DEPLOYMENTS, ready) == {CHAT}


def test_rivals_for_a_workload_concern_each_other_when_a_claim_comes_or_goes(facts: ServiceIndex) -> None:
    assert facts.see(INFERENCE_SERVICES, service("chat", workloadRef=REF), gone=False) == {CHAT}
    assert facts.see(INFERENCE_SERVICES, service("rival", workloadRef=REF), gone=False) == {CHAT, RIVAL}
    assert facts.see(INFERENCE_SERVICES, service("rival", 2, workloadRef=REF), gone=False) == {RIVAL}
    claim = facts.services.group(CHAT)
    assert claim is not None
    assert facts.rivals_of(CHAT, claim) == ("rival",)
    assert facts.see(INFERENCE_SERVICES, service("rival", 3), gone=False) == {CHAT, RIVAL}
    assert facts.foreign_kinds() == {THEIRS}
    assert list(facts.claimants(THEIRS)) == [CHAT]


def test_a_workload_of_somebody_else_concerns_who_is_attached_to_it(facts: ServiceIndex) -> None:
    facts.see(INFERENCE_SERVICES, service("chat", workloadRef=REF), gone=False)
    spec = {"selector": {"matchLabels": {"app": "theirs"}}, "template": {}}
    assert facts.see(THEIRS, raw("theirs", spec=spec), gone=False) == {CHAT}
    assert facts.see(THEIRS, raw("others", spec=spec), gone=False) == set()


KSERVE = next(kind for kind in FOREIGN_KINDS if kind.api_version == "serving.kserve.io/v1beta1")
IRIS = {"apiVersion": KSERVE.api_version, "kind": KSERVE.kind, "name": "iris"}


def child(version: int = 1, **owner: Any) -> Manifest:
    """A Deployment that KServe's InferenceService `iris` controls, unless told otherwise."""
    made = raw("theirs", version, spec={"selector": {}, "template": {}})
    reference = {**IRIS, "uid": "uid-iris", "controller": True, **owner}
    return {**made, "metadata": {**made["metadata"], "ownerReferences": [reference]}}


def rivals(facts: ServiceIndex, key: Key) -> tuple[str, ...]:
    claim = facts.services.group(key)
    assert claim is not None
    return facts.rivals_of(key, claim)


def test_services_on_a_workload_and_on_its_owner_are_rivals(facts: ServiceIndex) -> None:
    facts.see(INFERENCE_SERVICES, service("chat", workloadRef=REF), gone=False)
    facts.see(INFERENCE_SERVICES, service("rival", workloadRef=IRIS), gone=False)
    assert rivals(facts, CHAT) == ()
    assert facts.see(THEIRS, child(), gone=False) == {CHAT, RIVAL}
    assert rivals(facts, CHAT) == ("rival (by InferenceService iris)",)
    assert rivals(facts, RIVAL) == ("chat (by Deployment theirs)",)
    assert facts.see(THEIRS, child(2), gone=False) == set()
    assert facts.see(INFERENCE_SERVICES, service("rival", 2, workloadRef=IRIS), gone=True) == {CHAT, RIVAL}
    assert rivals(facts, CHAT) == ()
    assert facts.see(INFERENCE_SERVICES, service("rival", 3, workloadRef=IRIS), gone=False) == {CHAT, RIVAL}
    assert facts.see(THEIRS, child(3), gone=True) == {CHAT, RIVAL}
    assert rivals(facts, RIVAL) == ()


def test_an_owner_of_an_owner_is_one_too(facts: ServiceIndex) -> None:
    groups = next(kind for kind in FOREIGN_KINDS if kind.kind == "LeaderWorkerSet")
    middle = raw("middle", spec={})
    middle["metadata"]["ownerReferences"] = [{**IRIS, "uid": "uid-iris", "controller": True}]
    facts.see(INFERENCE_SERVICES, service("chat", workloadRef=REF), gone=False)
    facts.see(INFERENCE_SERVICES, service("rival", workloadRef=IRIS), gone=False)
    facts.see(groups, middle, gone=False)
    facts.see(THEIRS, child(apiVersion=groups.api_version, kind=groups.kind, name="middle"), gone=False)
    assert rivals(facts, CHAT) == ("rival (by InferenceService iris)",)


LLM = next(kind for kind in FOREIGN_KINDS if kind.api_version == "serving.kserve.io/v1alpha2")


def test_a_workload_that_shares_pods_labels_concerns_services_beside_it(facts: ServiceIndex) -> None:
    reference = {"apiVersion": LLM.api_version, "kind": LLM.kind, "name": "theirs"}
    facts.see(INFERENCE_SERVICES, service("chat", workloadRef=reference), gone=False)
    facts.see(LLM, raw("theirs", spec={}), gone=False)
    labels = {"labels": {"app.kubernetes.io/name": "theirs"}}
    assert facts.see(LLM, raw("other", 1, spec=labels), gone=False) == {CHAT}
    assert facts.see(LLM, raw("other", 2, spec={**labels, "replicas": 3}), gone=False) == set()
    assert facts.see(LLM, raw("other", 3, spec={}), gone=False) == {CHAT}
    there = facts.foreign[LLM].get(Key("serving", "theirs"))
    assert there is not None
    assert [one.key.name for one in facts.kin.beside(there)] == ["other"]


def test_owners_that_own_each_other_end_nothing(facts: ServiceIndex) -> None:
    facts.see(INFERENCE_SERVICES, service("chat", workloadRef=REF), gone=False)
    loop = child(apiVersion=THEIRS.api_version, kind=THEIRS.kind, name="theirs")
    assert facts.see(THEIRS, loop, gone=False) == {CHAT}
    assert rivals(facts, CHAT) == ()


def hpa(kind: Kind, name: str, version: int = 1) -> Manifest:
    target = {"apiVersion": kind.api_version, "kind": kind.kind, "name": name}
    return raw("auto", version, spec={"scaleTargetRef": target})


def test_an_autoscaler_concerns_what_it_aims_at(facts: ServiceIndex) -> None:
    facts.see(DEPLOYMENTS, ours("chat-prefill", spec={}), gone=False)
    facts.see(INFERENCE_SERVICES, service("rival", workloadRef=REF), gone=False)
    assert facts.see(AUTOSCALERS, hpa(INFERENCE_SERVICES, "chat"), gone=False) == {CHAT}
    assert facts.see(AUTOSCALERS, hpa(DEPLOYMENTS, "chat-prefill", 2), gone=False) == {CHAT}
    assert facts.see(AUTOSCALERS, hpa(DEPLOYMENTS, "theirs", 3), gone=False) == {CHAT, RIVAL}
    assert facts.see(AUTOSCALERS, hpa(DEPLOYMENTS, "nobodys", 4), gone=False) == {RIVAL}


def test_a_node_concerns_services_of_which_it_tells_something_new(facts: ServiceIndex) -> None:
    def told(version: int, *services: Manifest) -> Manifest:
        return {**raw("node-0", version), "spec": agent_spec(), "status": {"services": list(services)}}

    capped = {"service": "serving/chat", "pods": 1, "capped": True}
    other = {"service": "serving/rival", "pods": 1}
    assert facts.see(NODE_CAPACITIES, told(1, capped, other), gone=False) == {CHAT, RIVAL}
    assert facts.see(NODE_CAPACITIES, told(2, {**capped, "pods": 9}, other), gone=False) == set()
    assert facts.see(NODE_CAPACITIES, told(3, other), gone=False) == {CHAT}
    assert [one.capped for one in facts.reports_of(RIVAL)] == [False]


def test_a_service_that_cannot_be_read_claims_nothing(facts: ServiceIndex) -> None:
    assert facts.see(INFERENCE_SERVICES, service("chat", replicas="many"), gone=False) == {CHAT}
    assert facts.foreign_kinds() == frozenset()


def test_an_object_of_another_shape_stops_nobody(facts: ServiceIndex, odd: list[str]) -> None:
    facts.see(INFERENCE_SERVICES, service("chat", workloadRef=REF), gone=False)
    assert facts.see(THEIRS, raw("theirs", 1), gone=False) == {CHAT}
    assert odd == ["Deployment serving/theirs"]
    assert facts.foreign[THEIRS].get(Key("serving", "theirs")) is None


def test_an_agent_that_falls_silent_concerns_the_services_of_its_node(facts: ServiceIndex) -> None:
    told = {"services": [{"service": "serving/chat", "sloMet": True}]}
    capacity = {
        "metadata": {"name": "a", "uid": "a", "resourceVersion": "1"},
        "spec": agent_spec(),
        "status": told,
    }
    facts.see(NODE_CAPACITIES, capacity, gone=False)
    pod = raw(
        "agent", 1, spec={"nodeName": "a"}, status={"conditions": [{"type": "Ready", "status": "True"}]}
    )
    assert facts.see_agent(pod, False) == set()
    assert len(facts.reports_of(CHAT)) == 1
    assert not facts.fades(CHAT)
    assert facts.see_agent(pod, True) == {CHAT}
    assert len(facts.reports_of(CHAT)) == 1
    assert facts.fades(CHAT)


@pytest.mark.parametrize("error", [ArithmeticError, RecursionError, InvalidOperation, StopIteration])
def test_whatever_reading_one_object_raises_it_has_no_fact(
    facts: ServiceIndex, odd: list[str], monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    """It counts as seen all the same, or the operator would wait for it and never be ready."""

    def read(raw: Manifest) -> None:
        raise error

    monkeypatch.setattr(pods, "fact", read)
    facts.see(PODS, ours("chat-0"), gone=False)
    assert odd == ["Pod serving/chat-0"]
    assert facts.pods.has_seen({Key("serving", "chat-0"): "uid-chat-0"})


SET = {"apiVersion": DISAGGREGATED_SETS.api_version, "kind": DISAGGREGATED_SETS.kind, "name": "llm"}


def scaler(version: int, replicas: int) -> Manifest:
    made = raw("llm-decode", version, spec={"replicas": replicas})
    owner = {**SET, "uid": "uid-llm", "controller": True}
    return {**made, "metadata": {**made["metadata"], "ownerReferences": [owner]}}


def test_the_scaler_of_a_role_concerns_who_is_attached_to_the_set(facts: ServiceIndex) -> None:
    facts.see(INFERENCE_SERVICES, service("chat", workloadRef=SET), gone=False)
    assert facts.foreign_kinds() == {DISAGGREGATED_SETS, ROLE_SCALERS}
    assert list(facts.claimants(ROLE_SCALERS)) == list(facts.claimants(DISAGGREGATED_SETS)) == [CHAT]
    assert facts.see(ROLE_SCALERS, scaler(1, 3), gone=False) == {CHAT}
    assert facts.see(ROLE_SCALERS, scaler(2, 3), gone=False) == set()
    assert facts.see(ROLE_SCALERS, scaler(3, 4), gone=False) == {CHAT}
    assert facts.see(AUTOSCALERS, hpa(ROLE_SCALERS, "llm-decode"), gone=False) == {CHAT}
    assert facts.see(ROLE_SCALERS, scaler(4, 4), gone=True) == {CHAT}
