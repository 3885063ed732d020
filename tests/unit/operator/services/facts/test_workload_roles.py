"""A DisaggregatedSet as one of its roles: whose counts they are, and by what they are moved."""

from typing import Any

import pytest

from loadline_api.conditions import ConditionType
from loadline_api.inference_services import InferenceService
from loadline_api.reasons import Reason
from loadline_operator.kube.kinds import INFERENCE_SERVICES, Key, Manifest
from loadline_operator.services.attachments import Attachment, attachment
from loadline_operator.services.facts.disaggregated_sets import ROLE_SCALERS, scaler_of
from loadline_operator.services.facts.foreign_workloads import (
    DISAGGREGATED_SETS,
    ForeignWorkload,
    foreign_workload,
)
from loadline_operator.services.facts.workload_roles import chosen, of_role
from loadline_operator.services.takeovers import Word

REF = {"apiVersion": DISAGGREGATED_SETS.api_version, "kind": DISAGGREGATED_SETS.kind, "name": "llm"}
BOUNDS = {"minReplicas": 1, "maxReplicas": 8}


def role(name: str, *, replicas: int | None = None, external: bool = False) -> Manifest:
    template = {"spec": {"containers": [{"name": "vllm", "image": "theirs"}]}}
    spec: Manifest = {"leaderWorkerTemplate": {"size": 2, "workerTemplate": template}}
    if replicas is not None:
        spec["replicas"] = replicas
    scaling = {"scaling": {"mode": "External"}} if external else {}
    return {"name": name, "spec": spec, **scaling}


def a_set(*roles: Manifest, available: str | None = "True", **spec: Any) -> ForeignWorkload:
    counts = [{"name": one["name"], "replicas": 3, "readyReplicas": 2, "updatedReplicas": 1} for one in roles]
    conditions = [{"type": "Available", "status": available, "reason": "RolesReady", "message": "all serve"}]
    return foreign_workload(
        DISAGGREGATED_SETS,
        {
            "metadata": {"name": "llm", "namespace": "serving", "uid": "set", "generation": 1},
            "spec": {"roles": list(roles), **spec},
            "status": {
                "observedGeneration": 1,
                "roleStatuses": counts,
                "conditions": conditions if available is not None else [],
            },
        },
    )


def scaler(replicas: int) -> ForeignWorkload:
    owner = {**REF, "uid": "set", "controller": True}
    metadata = {"name": "llm-decode", "namespace": "serving", "uid": "scaler", "ownerReferences": [owner]}
    return foreign_workload(
        ROLE_SCALERS, {"metadata": metadata, "spec": {"replicas": replicas}, "status": {"replicas": 3}}
    )


def service(role: str | None = None, **spec: Any) -> InferenceService:
    ref = {**REF, **({"role": role} if role is not None else {})}
    metadata = {"name": "chat", "namespace": "serving", "generation": 4}
    return InferenceService.parse({"metadata": metadata, "spec": {"workloadRef": ref, **spec}, "status": {}})


def judged(there: ForeignWorkload, *, role: str | None = None, **facts: Any) -> Attachment:
    return attachment(service(role, scaling=BOUNDS), there, api_served=True, **facts)


def as_role(
    there: ForeignWorkload, name: str | None = None, *, by: ForeignWorkload | None = None
) -> ForeignWorkload:
    found = chosen(there, name)
    assert found is not None
    return of_role(there, found, by)


EXTERNAL = a_set(role("prefill", replicas=1), role("decode", external=True))


def test_the_scaler_of_a_role_tells_its_count_and_moves_it() -> None:
    there = as_role(EXTERNAL, by=scaler(5))
    assert (there.asked, there.there, there.ready, there.uid) == (5, 3, 2, "scaler")
    assert there.scaled == (ROLE_SCALERS, Key("serving", "llm-decode"))
    assert scaler_of(there.key, "decode") == Key("serving", "llm-decode")
    found = judged(there, said=Word.DEFAULT)
    assert (found.take_over, found.scale_to) == (5, None)
    assert found.pod_selector == "disaggregatedset.x-k8s.io/name=llm"
    assert found.selector is not None
    assert found.selector.startswith(
        "disaggregatedset.x-k8s.io/name=llm,disaggregatedset.x-k8s.io/role=decode,"
    )


def test_what_somebody_asks_goes_to_the_scaler() -> None:
    one = service(scaling=BOUNDS, replicas=7)
    found = attachment(one, as_role(EXTERNAL, by=scaler(5)), api_served=True, said=Word.MANIFEST)
    assert found.scale_to == 7


@pytest.mark.parametrize(
    ("there", "words"),
    [
        (as_role(a_set(role("prefill"), role("decode", replicas=4))), "set its scaling.mode to External"),
        (as_role(EXTERNAL), "has not created the DisaggregatedSetRoleScaler of role decode yet"),
    ],
    ids=["its own spec", "no scaler yet"],
)
def test_a_role_without_a_scaler_is_told_and_not_moved(there: ForeignWorkload, words: str) -> None:
    found = judged(there, said=Word.MANIFEST)
    finding = found.findings[ConditionType.SCALING_READY]
    assert (finding.so, finding.reason, found.scale_to, found.take_over) == (
        False,
        Reason.NOT_SCALABLE,
        None,
        None,
    )
    assert words in finding.text


def test_a_role_of_its_own_spec_counts_in_every_slice() -> None:
    assert as_role(a_set(role("prefill"), role("decode", replicas=4), slices=3)).asked == 12
    assert as_role(a_set(role("prefill"), role("decode"))).asked == 1


@pytest.mark.parametrize(("named", "there"), [(None, ("prefill", "work")), ("verify", ("prefill", "decode"))])
def test_a_role_that_is_not_there_is_named_with_those_that_are(
    named: str | None, there: tuple[str, ...]
) -> None:
    workload = a_set(*map(role, there))
    assert chosen(workload, named) is None
    finding = judged(workload, role=named).findings[ConditionType.ATTACHED]
    assert (finding.so, finding.reason) == (False, Reason.NO_ROLE)
    assert f"no role {named or 'decode'}" in finding.text
    assert ", ".join(sorted(there)) in finding.text


@pytest.mark.parametrize(("available", "so"), [("True", True), ("False", False), (None, None)])
def test_a_set_serves_when_it_says_so_whatever_one_role_counts(
    available: str | None, so: bool | None
) -> None:
    there = as_role(a_set(role("prefill"), role("decode", replicas=3), available=available))
    assert judged(there).findings[ConditionType.WORKLOADS_READY].so is so


def test_another_role_is_another_count() -> None:
    there = a_set(role("prefill", replicas=1), role("decode", replicas=4))
    assert as_role(there, "prefill").uid != as_role(there, "decode").uid


def test_an_autoscaler_of_the_scaler_scales_the_role_itself() -> None:
    found = judged(as_role(EXTERNAL, by=scaler(5)), scaler="HorizontalPodAutoscaler theirs")
    finding = found.findings[ConditionType.SCALING_READY]
    assert finding.reason is Reason.OTHER_SCALER
    assert f"{INFERENCE_SERVICES.plural}" in finding.text
