"""The status of a service can be written whatever others have said: its texts show, and its fields fit."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_api.conditions import SERVICE_CONDITIONS, Condition, ConditionType
from loadline_api.experts import ExpertsStatus
from loadline_api.inference_services import InferenceService, InferenceServiceStatus
from loadline_api.kv_cache import AdmissionStatus, KvCacheStatus
from loadline_api.kv_retention_status import RetentionStatus
from loadline_api.reasons import Reason
from loadline_api.visible_texts import visible
from loadline_operator.findings import Finding
from loadline_operator.services import statuses
from loadline_operator.services.attachments import Attachment
from loadline_operator.services.facts.node_reports import NodeReport
from loadline_operator.services.health import Findings
from loadline_operator.services.objects.defaults import Defaults
from loadline_operator.services.objects.descriptions import describe
from loadline_operator.services.policy_choices import Policies
from testbed.foreign_texts import foreign_texts

TYPES = tuple(type for type in SERVICE_CONDITIONS if type is not ConditionType.PLUGIN_MISSING)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LIMITED = Finding(so=False, reason=Reason.AS_DECLARED)

found_by_type = st.fixed_dictionaries(
    {
        type: st.builds(
            Finding,
            so=st.sampled_from([True, False, None]),
            reason=st.sampled_from(Reason),
            text=foreign_texts,
        )
        for type in TYPES
    }
)


def service(**spec: Any) -> InferenceService:
    whole = {"model": {"uri": "hf://org/m"}, **spec} if "workloadRef" not in spec else spec
    return InferenceService.parse({"metadata": {"name": "chat", "namespace": "shop"}, "spec": whole})


ATTACHED = service(workloadRef={"apiVersion": "apps/v1", "kind": "Deployment", "name": "llm"})


def messages(status: InferenceServiceStatus) -> dict[str, str]:
    told: dict[str, str] = {one["type"]: one["message"] for one in status.to_api()["conditions"]}
    return told


def attached(findings: Findings, **told: Any) -> InferenceServiceStatus:
    attachment = Attachment(findings=findings, **told)
    return statuses.attached(ATTACHED, attachment, LIMITED, seen=(), policies=Policies())


@given(found_by_type)
def test_every_message_of_a_service_fits_and_shows(found: Findings) -> None:
    own = statuses.own(
        describe(service(), Defaults()),
        found,
        (),
        seen=(),
        policies=Policies(valid=found[ConditionType.POLICY_VALID]),
    )
    for status in (own, attached(found)):
        assert InferenceServiceStatus.model_validate(status.to_api()) == status
        for message in messages(status).values():
            assert len(message.encode("utf-8")) <= 1000
            assert visible(message) == message


@given(found_by_type)
def test_the_same_findings_are_the_same_status(found: Findings) -> None:
    assert attached(found) == attached(found)
    texts = messages(attached(found))
    again = {type: Finding(so=one.so, reason=one.reason, text=texts[type]) for type, one in found.items()}
    assert attached(again).conditions == attached(found).conditions


@pytest.mark.parametrize("field", ["selector", "pod_selector", "url"])
def test_what_is_longer_than_its_field_is_left_out(field: str) -> None:
    """Cut it would be another one; and a status that doesn't fit is never written."""
    findings = {ConditionType.READY: LIMITED}
    assert getattr(attached(findings, **{field: "a" * 1024}), field) == "a" * 1024
    status = attached(findings, **{field: "a" * 1025})
    assert getattr(status, field) is None
    assert isinstance(status.conditions[0], Condition)


IN_FORCE = ExpertsStatus(
    engines=2, bounded_engines=1, gamma_percent=150, layers=4, batches=90, reason="ObjectiveMissed"
)
BREACHED = ExpertsStatus(engines=2, layers=4, batches=95, dropped_permille=140, reason="GuardBreached")


def with_experts(
    experts: ExpertsStatus | None, *, before: InferenceServiceStatus | None = None
) -> tuple[InferenceService, InferenceServiceStatus]:
    """A service that asks for experts, and its status once a node has reported these."""
    spec = {"model": {"uri": "hf://org/m"}, "slo": {"itlMs": 50}, "experts": {"mode": "Enforce"}}
    status = before.to_api() if before is not None else {}
    metadata = {"name": "chat", "namespace": "shop"}
    one = InferenceService.parse({"metadata": metadata, "spec": spec, "status": status})
    seen = (NodeReport(experts=experts),)
    found = {ConditionType.READY: LIMITED}
    wanted = statuses.own(describe(one, Defaults()), found, (), seen=seen, policies=Policies())
    return one, statuses.written(one, wanted, now=NOON) or one.status


def events(one: InferenceService, status: InferenceServiceStatus) -> list[str]:
    return [each["reason"] for each in statuses.warnings(one, status.conditions, now=NOON)]


def test_experts_are_in_the_status_as_agents_report_them_and_written_once() -> None:
    _, status = with_experts(IN_FORCE)
    assert status.experts == IN_FORCE
    one, again = with_experts(IN_FORCE, before=status)
    assert again is one.status, "nothing is written again"
    assert with_experts(None, before=status)[1].experts is None


def test_only_services_with_experts_have_conditions_of_them() -> None:
    of_experts = {ConditionType.EXPERTS_OBSERVED, ConditionType.EXPERTS_BOUNDED}
    assert of_experts <= messages(with_experts(None)[1]).keys()
    assert not of_experts & set(statuses.on_nodes(service(), (NodeReport(experts=IN_FORCE),)))


def test_a_breach_of_the_guard_is_an_event_and_other_ends_of_a_capacity_are_none() -> None:
    _, in_force = with_experts(IN_FORCE)
    one, breached = with_experts(BREACHED, before=in_force)
    assert events(one, breached) == ["GuardBreached"]
    assert events(with_experts(BREACHED, before=breached)[0], breached) == []
    for reason in ("ObjectiveMet", "NoSuitableGamma", "ReadingsUnknown"):
        one, ended = with_experts(BREACHED.model_copy(update={"reason": reason}), before=in_force)
        assert events(one, ended) == []


PREDICTING = AdmissionStatus(
    engines=1, enforcing_engines=1, warm_engines=1, used_percent=60, refusals=40, reason="Predicting"
)
FAILED = AdmissionStatus(engines=1, used_percent=60, refusals=40, reason="PluginFailed")


def with_admission(
    admission: AdmissionStatus | None, *, before: InferenceServiceStatus | None = None
) -> tuple[InferenceService, InferenceServiceStatus]:
    """A service that asks for admission, and its status once a node has reported this."""
    spec = {"model": {"uri": "hf://org/m"}, "kvCache": {"admission": {"mode": "Enforce"}}}
    status = before.to_api() if before is not None else {}
    metadata = {"name": "chat", "namespace": "shop"}
    one = InferenceService.parse({"metadata": metadata, "spec": spec, "status": status})
    seen = (NodeReport(kv_cache=KvCacheStatus(admission=admission) if admission is not None else None),)
    found = {ConditionType.READY: LIMITED}
    wanted = statuses.own(describe(one, Defaults()), found, (), seen=seen, policies=Policies())
    return one, statuses.written(one, wanted, now=NOON) or one.status


def test_admission_is_in_the_status_and_small_moves_write_nothing() -> None:
    _, status = with_admission(PREDICTING)
    assert status.kv_cache == KvCacheStatus(admission=PREDICTING)
    one, again = with_admission(PREDICTING.model_copy(update={"refusals": 45}), before=status)
    assert again is one.status, "nothing is written again"
    moved = PREDICTING.model_copy(update={"refusals": 90})
    assert with_admission(moved, before=status)[1].kv_cache == KvCacheStatus(admission=moved)
    assert with_admission(None, before=status)[1].kv_cache is None


def test_only_services_with_admission_have_its_condition() -> None:
    assert ConditionType.ADMISSION_PREDICTED in messages(with_admission(None)[1])
    assert ConditionType.ADMISSION_PREDICTED not in statuses.on_nodes(service(), ())


def test_a_scheduler_that_failed_is_an_event_and_a_cautious_start_is_none() -> None:
    _, in_force = with_admission(PREDICTING)
    one, failed = with_admission(FAILED, before=in_force)
    assert events(one, failed) == ["PluginFailed"]
    assert events(with_admission(FAILED, before=failed)[0], failed) == []
    for reason in ("FewLengths", "PolicyObserves", "AdmissionOff"):
        one, ended = with_admission(FAILED.model_copy(update={"reason": reason}), before=in_force)
        assert events(one, ended) == []


BOUNDED = RetentionStatus(
    engines=1, bounding_engines=1, budget_tokens=512, folded_tokens=400, reason="MemoryShort"
)


def with_retention(
    retention: RetentionStatus | None, *, before: InferenceServiceStatus | None = None
) -> tuple[InferenceService, InferenceServiceStatus]:
    """A service that asks for retention, and its status once a node has reported this."""
    spec = {"model": {"uri": "hf://org/m"}, "kvCache": {"retention": {"mode": "Enforce"}}}
    status = before.to_api() if before is not None else {}
    metadata = {"name": "chat", "namespace": "shop"}
    one = InferenceService.parse({"metadata": metadata, "spec": spec, "status": status})
    seen = (NodeReport(kv_cache=KvCacheStatus(retention=retention) if retention is not None else None),)
    found = {ConditionType.READY: LIMITED}
    wanted = statuses.own(describe(one, Defaults()), found, (), seen=seen, policies=Policies())
    return one, statuses.written(one, wanted, now=NOON) or one.status


def test_retention_is_in_the_status_and_small_moves_write_nothing() -> None:
    _, status = with_retention(BOUNDED)
    assert status.kv_cache == KvCacheStatus(retention=BOUNDED)
    one, again = with_retention(BOUNDED.model_copy(update={"folded_tokens": 450}), before=status)
    assert again is one.status, "nothing is written again"
    moved = BOUNDED.model_copy(update={"folded_tokens": 900})
    assert with_retention(moved, before=status)[1].kv_cache == KvCacheStatus(retention=moved)
    assert with_retention(None, before=status)[1].kv_cache is None


def test_only_services_with_retention_have_its_condition() -> None:
    assert ConditionType.RETENTION_ACTIVE in messages(with_retention(None)[1])
    assert ConditionType.RETENTION_ACTIVE not in messages(with_admission(None)[1])


@pytest.mark.parametrize("reason", ["PluginFailed", "EngineUnable", "RecallLost", "Drifted"])
def test_bounds_that_are_lost_are_an_event(reason: str) -> None:
    _, in_force = with_retention(BOUNDED)
    lost = RetentionStatus(engines=1, reason=reason)
    one, ended = with_retention(lost, before=in_force)
    assert events(one, ended) == [reason]
    assert events(with_retention(lost, before=ended)[0], ended) == []


@pytest.mark.parametrize("reason", ["NoBudget", "PolicyObserves", "PrefixHits"])
def test_bounds_that_nobody_wants_are_no_event(reason: str) -> None:
    _, in_force = with_retention(BOUNDED)
    assert events(*with_retention(RetentionStatus(engines=1, reason=reason), before=in_force)) == []


NO_GPU = "0 of 2 replicas are ready: pod chat-0 asks for 8 nvidia.com/gpu, and no node has them free"


def test_ready_comes_first_in_what_is_stored() -> None:
    findings: Findings = {
        type: Finding(so=False, reason=Reason.NO_WORKLOAD, text=str(type)) for type in TYPES
    }
    types = [one["type"] for one in attached(findings).to_api()["conditions"]]
    assert types[:4] == ["Ready", "WorkloadsReady", "RouterReady", "Attached"]
    assert types == [type for type in SERVICE_CONDITIONS if type in types]


def test_what_is_stored_in_another_order_is_the_same() -> None:
    status = attached({ConditionType.READY: LIMITED})
    there = {**status.to_api(), "conditions": status.to_api()["conditions"][::-1]}
    stored = InferenceService.parse(
        {"metadata": {"name": "chat", "namespace": "shop"}, "spec": ATTACHED.spec.to_api(), "status": there}
    )
    timed = statuses.written(stored, status, now=NOON)
    assert timed is not None, "the times are new"
    again = InferenceService.parse(
        {
            "metadata": {"name": "chat", "namespace": "shop"},
            "spec": ATTACHED.spec.to_api(),
            "status": {**timed.to_api(), "conditions": timed.to_api()["conditions"][::-1]},
        }
    )
    assert statuses.written(again, status, now=NOON) is None


def test_one_sentence_is_said_once() -> None:
    same = Finding(so=False, reason=Reason.GPU_MISSING, text=NO_GPU)
    found = {ConditionType.READY: same, ConditionType.WORKLOADS_READY: same}
    texts = messages(attached(found))
    assert texts["Ready"] == NO_GPU
    assert texts["WorkloadsReady"] == "condition Ready explains why WorkloadsReady is False"
    assert len(set(texts.values())) == len(texts)


def test_a_sentence_within_another_is_said_once_too() -> None:
    behind = f"the router has no main pod to send requests to: {NO_GPU}"
    found = {
        ConditionType.READY: Finding(so=False, reason=Reason.GPU_MISSING, text=NO_GPU),
        ConditionType.ROUTER_READY: Finding(so=False, reason=Reason.GPU_MISSING, text=behind),
        ConditionType.WORKLOADS_READY: Finding(so=False, reason=Reason.GPU_MISSING, text=NO_GPU[:27]),
    }
    texts = messages(attached(found))
    assert texts["RouterReady"] == "the router has no main pod to send requests to: see condition Ready"
    assert texts["WorkloadsReady"] == "condition Ready explains why WorkloadsReady is False"


@given(found_by_type)
def test_no_two_conditions_of_a_service_say_the_same(found: Findings) -> None:
    texts = list(messages(attached(found)).values())
    assert len(set(texts)) == len(texts)


def test_an_unattached_service_says_why_once() -> None:
    nothing = Finding(
        so=False, reason=Reason.NO_WORKLOAD, text="Deployment shop/llm does not exist: create it"
    )
    texts = messages(attached(dict.fromkeys((ConditionType.READY, *TYPES[1:4]), nothing)))
    assert [type for type, text in texts.items() if text == nothing.text] == ["Ready"]


@pytest.mark.parametrize("name", ["llm", "a" * 253])
def test_columns_are_bounded(name: str) -> None:
    ref = {"apiVersion": "leaderworkerset.x-k8s.io/v1", "kind": "LeaderWorkerSet", "name": name}
    findings = {ConditionType.READY: LIMITED}
    attachment = Attachment(findings=findings, desired_replicas=8)
    status = statuses.attached(
        service(workloadRef=ref), attachment, LIMITED, seen=(), policies=Policies()
    ).to_api()
    assert status["shown"]["workload"].startswith(f"LeaderWorkerSet/{name[:20]}")
    assert len(status["shown"]["workload"]) <= 40
    assert status["desiredReplicas"] == 8
    uri = {"uri": f"hf://org/{name}"}
    own = statuses.own(
        describe(service(model=uri), Defaults()), findings, (), seen=(), policies=Policies()
    ).to_api()
    assert own["shown"]["model"].startswith(f"hf://org/{name[:20]}")
    assert len(own["shown"]["model"]) <= 40
