"""What an attached service says of a workload of somebody else, and when it moves its replicas."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_api.conditions import ConditionType, merge
from loadline_api.inference_services import InferenceService
from loadline_api.names import API_VERSION
from loadline_api.reasons import Reason
from loadline_api.workload_refs import ATTACHABLE
from loadline_operator.kube.kinds import Kind, Manifest
from loadline_operator.services.attachments import TOLD, Attachment, attachment, unmoved
from loadline_operator.services.facts.claimed_workloads import claim, kind_of
from loadline_operator.services.facts.faults import PodFault
from loadline_operator.services.facts.foreign_workloads import (
    FOREIGN_KINDS,
    ForeignWorkload,
    find,
    foreign_workload,
)
from loadline_operator.services.takeovers import Word

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LWS = ("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet")
KSERVE = ("serving.kserve.io/v1beta1", "InferenceService")
KSERVE_LLM = ("serving.kserve.io/v1alpha2", "LLMInferenceService")
BOUNDS = {"minReplicas": 1, "maxReplicas": 8}


def service(
    kind: tuple[str, str] = ("apps/v1", "Deployment"), *, noted: Manifest | None = None, **spec: Any
) -> InferenceService:
    ref = {"apiVersion": kind[0], "kind": kind[1], "name": "llm"}
    status = {"workload": noted} if noted is not None else {}
    metadata = {"name": "chat", "namespace": "serving", "generation": 4}
    return InferenceService.parse(
        {"metadata": metadata, "spec": {"workloadRef": ref, **spec}, "status": status}
    )


def kind(name: tuple[str, str]) -> Kind:
    row = find(*name)
    assert row is not None
    return row.kind


def workload(
    name: tuple[str, str] = ("apps/v1", "Deployment"), *, spec: Manifest | None = None, **status: Any
) -> ForeignWorkload:
    """A workload of two replicas, both ready unless told otherwise."""
    raw = {
        "metadata": {"name": "llm", "namespace": "serving", "generation": 3},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "llm"}}, **(spec or {})},
        "status": {
            "observedGeneration": 3,
            "replicas": 2,
            "readyReplicas": 2,
            "updatedReplicas": 2,
            **status,
        },
    }
    return foreign_workload(kind(name), raw)


def judged(there: ForeignWorkload | None, one: InferenceService | None = None, **facts: Any) -> Attachment:
    return attachment(one or service(), there, **{"api_served": True, **facts})


def told(found: Attachment, type: ConditionType) -> tuple[bool | None, Reason]:
    return found.findings[type].so, found.findings[type].reason


def test_every_kind_that_the_api_takes_can_be_read() -> None:
    assert [(one.api_version, one.kind) for one in FOREIGN_KINDS] == list(ATTACHABLE)


def test_a_running_workload_is_attached_and_told() -> None:
    found = judged(workload())
    assert told(found, ConditionType.ATTACHED) == (True, Reason.AS_DECLARED)
    assert told(found, ConditionType.READY) == (True, Reason.AS_DECLARED)
    assert (found.replicas, found.ready_replicas, found.selector) == (2, 2, "app=llm")
    assert "2 of 2 replicas of Deployment serving/llm" in found.findings[ConditionType.WORKLOADS_READY].text


@pytest.mark.parametrize(
    ("there", "facts", "reason", "words"),
    [
        (None, {}, Reason.NO_WORKLOAD, ("Deployment serving/llm does not exist", "workloadRef.name")),
        (None, {"api_served": False}, Reason.API_MISSING, ("no Deployment of apps/v1", "install")),
        (workload(), {"rivals": ["code", "bulk"]}, Reason.CLAIMED_TWICE, ("also named by bulk, code",)),
        (None, {"rivals": ["code"]}, Reason.CLAIMED_TWICE, ("also named by code",)),
    ],
    ids=["not-there", "no-such-api", "named-twice", "named-twice-and-not-there"],
)
def test_what_cannot_be_attached_to_is_left_alone(
    there: ForeignWorkload | None, facts: dict[str, Any], reason: Reason, words: tuple[str, ...]
) -> None:
    found = judged(there, service(scaling=BOUNDS, replicas=5), **facts)
    assert {told(found, type) for type in TOLD} == {(False, reason)}
    assert [word for word in words if word not in found.findings[ConditionType.READY].text] == []
    assert (found.selector, found.replicas, found.scale_to) == (None, None, None)


def test_a_workload_on_its_way_out_is_gone() -> None:
    raw = {"metadata": {"name": "llm", "namespace": "serving", "deletionTimestamp": "now"}, "spec": {}}
    found = judged(foreign_workload(kind(("apps/v1", "Deployment")), raw))
    assert told(found, ConditionType.ATTACHED) == (False, Reason.NO_WORKLOAD)
    text = found.findings[ConditionType.ATTACHED].text
    assert "is being deleted: create it again once it is gone, or correct workloadRef.name" in text


def test_what_loadline_made_itself_is_not_attached_to() -> None:
    owner = {"apiVersion": API_VERSION, "kind": "InferenceService", "name": "code", "uid": "u"}
    metadata = {"name": "llm", "namespace": "serving", "ownerReferences": [owner]}
    found = judged(foreign_workload(kind(("apps/v1", "Deployment")), {"metadata": metadata, "spec": {}}))
    assert told(found, ConditionType.ATTACHED) == (False, Reason.OWN_WORKLOAD)
    assert "inferenceservices.loadline.dev/code" in found.findings[ConditionType.ATTACHED].text
    assert found.selector is None


def owned(**reference: Any) -> ForeignWorkload:
    """A Deployment of two replicas that a KServe InferenceService made."""
    owner = {"apiVersion": KSERVE[0], "kind": KSERVE[1], "name": "iris", "uid": "u", **reference}
    metadata = {"name": "llm", "namespace": "serving", "ownerReferences": [owner], "uid": "w"}
    return foreign_workload(kind(("apps/v1", "Deployment")), {"metadata": metadata, "spec": {"replicas": 2}})


@pytest.mark.parametrize("spec", [{"scaling": BOUNDS, "replicas": 3}, {}], ids=["scaled", "read"])
def test_what_a_controller_owns_is_not_scaled_and_its_owner_is_named(spec: Manifest) -> None:
    found = judged(owned(controller=True), service(**spec), said=Word.MANIFEST if spec else Word.UNOWNED)
    assert told(found, ConditionType.SCALING_READY) == (False, Reason.OWNED_BY_CONTROLLER)
    text = found.findings[ConditionType.SCALING_READY].text
    assert "InferenceService iris (serving.kserve.io/v1beta1) owns Deployment serving/llm" in text
    assert found.scale_to is None
    assert told(found, ConditionType.ATTACHED) == (True, Reason.AS_DECLARED)


def test_wishes_do_not_count_for_what_a_controller_scales() -> None:
    noted = {"uid": "w"}
    found = judged(owned(controller=True), service(scaling=BOUNDS, replicas=3, noted=noted), said=Word.SCALED)
    assert (found.scale_to, found.take_over) == (None, 2)


def test_an_owner_that_is_no_controller_scales_nothing() -> None:
    found = judged(owned(), service(scaling=BOUNDS, replicas=3), said=Word.MANIFEST)
    assert found.scale_to == 3


@pytest.mark.parametrize("owner", [("serving.kserve.io/v1beta1", "InferenceService"), (API_VERSION, "Row")])
def test_owners_of_other_kinds_do_not_matter(owner: tuple[str, str]) -> None:
    reference = {"apiVersion": owner[0], "kind": owner[1], "name": "llm", "uid": "u"}
    metadata = {"name": "llm", "namespace": "serving", "ownerReferences": [reference]}
    found = judged(foreign_workload(kind(("apps/v1", "Deployment")), {"metadata": metadata, "spec": {}}))
    assert told(found, ConditionType.ATTACHED) == (True, Reason.AS_DECLARED)


@pytest.mark.parametrize(
    ("there", "so", "reason"),
    [
        (workload(readyReplicas=1), False, Reason.PROGRESSING),
        (workload(observedGeneration=2), False, Reason.PROGRESSING),
        (workload(spec={"replicas": 0}, replicas=0, readyReplicas=0), True, Reason.AS_DECLARED),
        (
            workload(
                readyReplicas=0,
                conditions=[{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}],
            ),
            False,
            Reason.UNAVAILABLE,
        ),
    ],
    ids=["fewer", "change-not-seen", "none-wanted", "stuck"],
)
def test_counts_tell_whether_the_workload_serves(there: ForeignWorkload, so: bool, reason: Reason) -> None:
    assert told(judged(there), ConditionType.WORKLOADS_READY) == (so, reason)


def test_a_workload_of_no_replicas_is_at_rest() -> None:
    found = judged(workload(spec={"replicas": 0}, replicas=0, readyReplicas=0))
    assert told(found, ConditionType.READY) == (False, Reason.SCALED_TO_ZERO)


def test_a_refusal_comes_before_a_pod_that_still_loads() -> None:
    said = 'pods "llm-7f" is forbidden: exceeded quota: few, requested: pods=1, used: pods=1, limited: pods=1'
    there = workload(
        readyReplicas=0, conditions=[{"type": "ReplicaFailure", "status": "True", "message": said}]
    )
    loading = PodFault(reason=Reason.PROBE_FAILING, text="it loads", lasting=False)
    found = judged(there, fault=loading)
    assert told(found, ConditionType.READY) == (False, Reason.QUOTA_EXCEEDED)


@pytest.mark.parametrize(("count", "words"), [(0, "0 replicas"), (1, "1 replica "), (8, "8 replicas")])
def test_a_count_is_told_in_words_that_go_with_it(count: int, words: str) -> None:
    there = workload(spec={"replicas": count}, replicas=count, readyReplicas=count)
    text = judged(there, service(scaling=BOUNDS)).findings[ConditionType.SCALING_READY].text
    assert f"keeps its {words}" in text


@pytest.mark.parametrize("name", [("apps/v1", "StatefulSet"), LWS, KSERVE_LLM])
def test_the_count_that_is_asked_of_the_workload_is_told(name: tuple[str, str]) -> None:
    assert judged(workload(name, spec={"replicas": 8}), service(name)).desired_replicas == 8


@pytest.mark.parametrize(
    ("name", "spec"),
    [
        (("apps/v1", "StatefulSet"), {"template": {"spec": {"containers": [{"args": ["--model=org/llm"]}]}}}),
        (
            LWS,
            {
                "leaderWorkerTemplate": {
                    "workerTemplate": {"spec": {"containers": [{"command": ["vllm", "serve", "org/llm"]}]}}
                }
            },
        ),
        (KSERVE, {"predictor": {"model": {"storageUri": "org/llm"}}}),
        (KSERVE_LLM, {"model": {"uri": "org/llm"}}),
    ],
)
def test_the_model_is_told_where_the_manifest_does(name: tuple[str, str], spec: Manifest) -> None:
    assert judged(workload(name, spec=spec), service(name)).model == "org/llm"


def test_the_count_to_which_the_workload_is_moved_is_told() -> None:
    found = judged(workload(), service(scaling=BOUNDS, replicas=20), said=Word.MANIFEST)
    assert (found.scale_to, found.desired_replicas) == (8, 8)


def test_a_pods_fault_comes_before_its_controllers_complaint() -> None:
    fault = PodFault(reason=Reason.CRASH_LOOP, text="container vllm of pod llm-0 ends again and again")
    found = judged(workload(readyReplicas=0), fault=fault)
    assert told(found, ConditionType.READY) == (False, Reason.CRASH_LOOP)
    assert "pod llm-0" in found.findings[ConditionType.READY].text


@pytest.mark.parametrize("name", [KSERVE, KSERVE_LLM], ids=["isvc", "llmisvc"])
@pytest.mark.parametrize(
    ("conditions", "so", "words"),
    [
        ([], None, "has not reported a status yet"),
        ([{"type": "Ready", "status": "Unknown", "reason": "Init"}], None, "Init"),
        ([{"type": "Ready", "status": "True"}], True, "reports that it is ready"),
        (
            [{"type": "Ready", "status": "False", "reason": "HTTPRoutesNotReady", "message": "no gateway"}],
            False,
            "HTTPRoutesNotReady: no gateway",
        ),
    ],
    ids=["new", "unknown", "ready", "not-ready"],
)
def test_kserve_tells_its_health_in_its_own_words(
    name: tuple[str, str], conditions: list[Manifest], so: bool | None, words: str
) -> None:
    found = judged(workload(name, conditions=conditions), service(name))
    works = found.findings[ConditionType.WORKLOADS_READY]
    assert (works.so, words in works.text) == (so, True), works.text


@pytest.mark.parametrize(
    ("name", "selector"),
    [
        (KSERVE, "serving.kserve.io/inferenceservice=llm"),
        (KSERVE_LLM, "app.kubernetes.io/name=llm,app.kubernetes.io/part-of=llminferenceservice"),
    ],
)
def test_pods_are_found_by_the_labels_that_their_project_gives(name: tuple[str, str], selector: str) -> None:
    assert judged(workload(name), service(name)).selector == selector


NAME, PART = "app.kubernetes.io/name", "app.kubernetes.io/part-of"


def llm(name: str = "llm", **spec: Any) -> ForeignWorkload:
    """A KServe LLMInferenceService that is ready."""
    metadata = {"name": name, "namespace": "serving", "uid": name}
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    return foreign_workload(kind(KSERVE_LLM), {"metadata": metadata, "spec": spec, "status": ready})


@pytest.mark.parametrize(
    ("spec", "selector"),
    [
        ({"labels": {NAME: "one"}}, f"{NAME}=one,{PART}=llminferenceservice"),
        ({"labels": {PART: "us"}}, f"{NAME}=llm,{PART}=us"),
        ({"labels": {NAME: "one", "gpu": "amd"}}, f"{NAME}=one,{PART}=llminferenceservice,gpu=amd"),
        ({"labels": {"gpu": "amd"}, "prefill": {}}, f"{NAME}=llm,{PART}=llminferenceservice"),
        (
            {"labels": {"gpu": "amd"}, "prefill": {"labels": {"gpu": "amd", "a": "b"}}},
            f"{NAME}=llm,{PART}=llminferenceservice,gpu=amd",
        ),
        ({"labels": {NAME: "one"}, "prefill": {"labels": {NAME: "two"}}}, f"{PART}=llminferenceservice"),
    ],
    ids=["renamed", "part-of", "more", "not-on-prefill", "on-both", "renamed-apart"],
)
def test_kserves_own_labels_are_laid_over_the_pods_labels(spec: Manifest, selector: str) -> None:
    assert judged(llm(**spec), service(KSERVE_LLM)).selector == selector


SHARED = {"labels": {NAME: "one"}}


def test_pods_that_another_workload_has_too_are_left_alone_and_that_is_told() -> None:
    one, two = llm("one"), llm("llm", **SHARED)
    found = judged(two, service(KSERVE_LLM), others=[one, two])
    assert told(found, ConditionType.ATTACHED) == (False, Reason.PODS_SHARED)
    text = found.findings[ConditionType.ATTACHED].text
    assert "LLMInferenceService serving/one" in text
    assert f"{NAME}=one" in text
    assert found.selector is None
    assert told(found, ConditionType.READY) == (False, Reason.PODS_SHARED)


@pytest.mark.parametrize(
    ("two", "one"),
    [
        ({"labels": {NAME: "one", "gpu": "amd"}}, {}),
        ({}, {}),
        ({"labels": {"gpu": "amd"}}, {"labels": {"gpu": "amd"}}),
    ],
    ids=["more", "plain", "name-differs"],
)
def test_pods_that_a_label_tells_apart_are_attached(two: Manifest, one: Manifest) -> None:
    found = judged(llm("llm", **two), service(KSERVE_LLM), others=[llm("one", **one)])
    assert told(found, ConditionType.ATTACHED) == (True, Reason.AS_DECLARED)


def test_pools_without_a_label_in_common_are_told() -> None:
    renamed = {NAME: "b", PART: "b"}
    found = judged(llm(labels={NAME: "a", PART: "a"}, prefill={"labels": renamed}), service(KSERVE_LLM))
    assert told(found, ConditionType.ATTACHED) == (False, Reason.PODS_SHARED)


def test_prefill_pods_of_another_workload_count_too() -> None:
    other = llm("one", prefill={"labels": {NAME: "llm"}})
    found = judged(llm(), service(KSERVE_LLM), others=[other])
    assert told(found, ConditionType.ATTACHED) == (False, Reason.PODS_SHARED)


def test_for_an_autoscaler_a_group_of_pods_counts_once() -> None:
    found = judged(workload(LWS), service(LWS))
    name, leaders = "leaderworkerset.sigs.k8s.io/name=llm", "leaderworkerset.sigs.k8s.io/worker-index=0"
    assert (found.selector, found.pod_selector) == (f"{name},{leaders}", name)
    assert judged(workload()).pod_selector is None


@pytest.mark.parametrize(
    ("expression", "text", "matched"),
    [
        ({"operator": "In", "values": ["a"]}, "tier=a", True),
        ({"operator": "In", "values": ["a", "b"]}, "tier in (a,b)", False),
        ({"operator": "NotIn", "values": ["a"]}, "tier notin (a)", False),
        ({"operator": "Exists"}, "tier", False),
        ({"operator": "DoesNotExist"}, "!tier", False),
    ],
)
def test_a_selector_that_agents_cannot_match_is_told(expression: Manifest, text: str, matched: bool) -> None:
    selector = {"matchLabels": {"app": "llm"}, "matchExpressions": [{"key": "tier", **expression}]}
    found = judged(workload(spec={"selector": selector}))
    assert found.selector == f"app=llm,{text}"
    assert ("no agent acts" not in found.findings[ConditionType.ATTACHED].text) == matched


@pytest.mark.parametrize("name", [KSERVE, KSERVE_LLM])
def test_kserve_is_not_scaled_and_that_is_no_failure(name: tuple[str, str]) -> None:
    ready = workload(name, conditions=[{"type": "Ready", "status": "True"}])
    found = judged(ready, service(name, scaling=BOUNDS, replicas=4), said=Word.MANIFEST)
    assert told(found, ConditionType.SCALING_READY) == (False, Reason.NOT_SCALABLE)
    assert told(found, ConditionType.READY) == (True, Reason.OBSERVED)
    assert (found.scale_to, found.take_over) == (None, None)


def test_without_scaling_replicas_are_only_read() -> None:
    found = judged(workload(), service(replicas=5), said=Word.MANIFEST)
    assert told(found, ConditionType.SCALING_READY) == (False, Reason.READ_ONLY)
    assert found.scale_to is None


def test_replicas_follow_within_the_bounds() -> None:
    within = judged(workload(), service(scaling=BOUNDS, replicas=5), said=Word.MANIFEST)
    assert within.scale_to == 5
    beyond = judged(workload(), service(scaling=BOUNDS, replicas=50), said=Word.MANIFEST)
    assert beyond.scale_to == 8
    assert "scaling allows 1 to 8" in beyond.findings[ConditionType.SCALING_READY].text


def test_a_default_moves_nothing_and_gives_way_to_the_workloads_count() -> None:
    found = judged(workload(), service(scaling=BOUNDS))
    assert told(found, ConditionType.SCALING_READY) == (True, Reason.NOT_ASKED)
    assert (found.scale_to, found.take_over) == (None, 2)


def test_bounds_do_not_move_a_count_that_was_only_taken_over() -> None:
    found = judged(workload(spec={"replicas": 50}), service(scaling=BOUNDS, replicas=50), said=Word.OPERATOR)
    assert told(found, ConditionType.SCALING_READY) == (True, Reason.NOT_ASKED)
    assert (found.scale_to, found.take_over) == (None, None)


def test_a_count_is_told_without_scaling_too() -> None:
    assert judged(workload(), service()).take_over == 2


def test_what_was_noted_stays_while_the_workload_is_away() -> None:
    noted = {"uid": "u", "replicas": 8}
    away = judged(None, service(noted=noted))
    assert away.noted is not None
    assert away.noted.to_api() == noted
    assert away.take_over is None


def test_somebody_elses_scaler_is_not_fought() -> None:
    found = judged(
        workload(),
        service(scaling=BOUNDS, replicas=5),
        said=Word.MANIFEST,
        scaler="HorizontalPodAutoscaler h",
    )
    assert told(found, ConditionType.SCALING_READY) == (False, Reason.OTHER_SCALER)
    assert "inferenceservices.loadline.dev/chat" in found.findings[ConditionType.SCALING_READY].text
    assert found.scale_to is None


@given(
    st.integers(0, 10_000),
    st.integers(0, 10_000),
    st.integers(1, 10_000),
    st.integers(0, 10_000),
    st.sampled_from(Word),
)
def test_replicas_never_leave_the_bounds_and_settle(
    asked: int, low: int, high: int, there: int, said: Word
) -> None:
    bounds = {"minReplicas": min(low, high), "maxReplicas": high}
    first = judged(workload(spec={"replicas": there}), service(replicas=asked, scaling=bounds), said=said)
    assert None in (first.scale_to, first.take_over)
    if first.scale_to is not None:
        assert bounds["minReplicas"] <= first.scale_to <= high
        after = workload(spec={"replicas": first.scale_to})
        assert judged(after, service(replicas=asked, scaling=bounds), said=said).scale_to is None
    if first.take_over is not None:
        taken = service(replicas=first.take_over, scaling=bounds)
        second = judged(workload(spec={"replicas": there}), taken, said=Word.OPERATOR)
        assert (first.take_over, second.scale_to, second.take_over) == (there, None, None)


def test_two_versions_of_one_api_claim_the_same_object() -> None:
    old = service(("serving.kserve.io/v1alpha1", "LLMInferenceService"))
    assert claim(old) == claim(service(KSERVE_LLM))
    assert claim(old) != claim(service())
    assert kind_of(old) != kind_of(service(KSERVE_LLM))


def test_a_service_of_ours_claims_nothing() -> None:
    raw = {"metadata": {"name": "chat"}, "spec": {"model": {"uri": "hf://org/m"}}}
    assert claim(InferenceService.parse(raw)) is None
    assert kind_of(InferenceService.parse(raw)) is None


@pytest.mark.parametrize("name", ATTACHABLE)
def test_an_object_of_before_its_first_status_is_read(name: tuple[str, str]) -> None:
    raw = {"metadata": {"name": "llm", "namespace": "serving"}, "spec": {}}
    found = judged(foreign_workload(kind(name), raw), service(name))
    conditions = [one.as_condition(type, generation=4) for type, one in found.findings.items()]
    assert len(merge([], conditions, now=NOON)) == len(TOLD)


def test_a_fact_stays_the_same_while_nothing_of_interest_moves() -> None:
    assert workload() == workload(unavailableReplicas=1, collisionCount=2)


def test_what_was_refused_is_told_and_nothing_is_noted() -> None:
    found = Attachment(findings={}, take_over=8, noted=None)
    asked = unmoved(found, service(noted={"uid": "u", "replicas": 3}), "the freeze")
    finding = asked.findings[ConditionType.SCALING_READY]
    assert (finding.so, finding.reason) == (False, Reason.SCALE_REFUSED)
    assert finding.text == "the replicas of this service cannot be set to 8: the freeze"
    assert asked.noted is not None
    assert asked.noted.replicas == 3
