"""Deployments and StatefulSets of somebody else: attached, told, scaled, and otherwise left alone."""

from typing import Any

import pytest

from loadline_api import names
from loadline_api.names import OPERATOR_MANAGER
from testbed.api_callers import eventually, refusal
from testbed.cluster.bed import Bed
from testbed.cluster.clients import Object
from testbed.cluster.errors import ApiError
from testbed.doubles.operators import lines_of, says, service, status_of, written

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("operator")]

KINDS = pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
BOUNDS = {"minReplicas": 1, "maxReplicas": 3}


def theirs(kind: str, namespace: str, *, replicas: int = 2, **pod: Any) -> Object:
    """A workload as its owner writes it."""
    labels = {"app": "llm"}
    spec = {"containers": [{"name": "engine", "image": "theirs"}], **pod}
    body = {
        "replicas": replicas,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": spec},
    }
    metadata = {"name": "llm", "namespace": namespace}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": body}


def path_of(kind: str, namespace: str) -> str:
    return f"/apis/apps/v1/namespaces/{namespace}/{kind.lower()}s/llm"


def attached(kind: str, namespace: str, name: str = "mine", **spec: Any) -> Object:
    ref = {"apiVersion": "apps/v1", "kind": kind, "name": "llm"}
    return service(name, namespace=namespace, workloadRef=ref, **spec)


def is_there(found: Object, **wanted: Any) -> None:
    assert {key: found.get(key) for key in wanted} == wanted, found


def our_part(found: Object) -> list[str | None]:
    """The subresources by which the operator has written to an object; None is the object itself."""
    entries = found["metadata"]["managedFields"]
    return [one.get("subresource") for one in entries if one["manager"] == OPERATOR_MANAGER]


def has_replicas(bed: Bed, path: str, wanted: int) -> None:
    eventually(lambda: is_there(bed.client.get(path)["spec"], replicas=wanted))


def has_seen(bed: Bed, name: str, namespace: str, *, generation: int) -> None:
    eventually(
        lambda: is_there(status_of(bed, name=name, namespace=namespace), observedGeneration=generation)
    )


@KINDS
def test_a_workload_may_come_later_go_and_come_again(harbour: Bed, namespace: str, kind: str) -> None:
    harbour.apply([attached(kind, namespace)])
    eventually(lambda: says(harbour, "mine", "Attached", namespace=namespace, reason="NoWorkload"))
    for _ in range(2):
        harbour.apply([theirs(kind, namespace)])
        eventually(lambda: says(harbour, "mine", "Ready", namespace=namespace, status="True"))
        is_there(
            status_of(harbour, name="mine", namespace=namespace),
            replicas=2,
            readyReplicas=2,
            selector="app=llm",
        )
        harbour.client.delete(path_of(kind, namespace))
        eventually(lambda: says(harbour, "mine", "Attached", namespace=namespace, reason="NoWorkload"))
        assert "selector" not in status_of(harbour, name="mine", namespace=namespace)


@KINDS
def test_only_its_replicas_are_moved_and_only_when_asked(harbour: Bed, namespace: str, kind: str) -> None:
    harbour.apply([theirs(kind, namespace), attached(kind, namespace, scaling=BOUNDS)])
    eventually(lambda: says(harbour, "mine", "ScalingReady", namespace=namespace, reason="NotAsked"))
    assert our_part(harbour.client.get(path_of(kind, namespace))) == []
    for asked, wanted in ((3, 3), (9, 3), (1, 1), (0, 1)):
        harbour.kubectl("scale", "llsvc/mine", f"--replicas={asked}", "-n", namespace)
        has_replicas(harbour, path_of(kind, namespace), wanted)
    assert our_part(harbour.client.get(path_of(kind, namespace))) == ["scale"]


@KINDS
def test_without_scaling_nothing_is_ever_written(harbour: Bed, namespace: str, kind: str) -> None:
    harbour.apply([theirs(kind, namespace), attached(kind, namespace, replicas=7)])
    eventually(lambda: says(harbour, "mine", "ScalingReady", namespace=namespace, reason="ReadOnly"))
    eventually(lambda: says(harbour, "mine", "Ready", namespace=namespace, status="True"))
    is_there(harbour.client.get(path_of(kind, namespace))["spec"], replicas=2)
    assert our_part(harbour.client.get(path_of(kind, namespace))) == []


@KINDS
def test_a_workload_stays_when_the_service_goes(harbour: Bed, namespace: str, kind: str) -> None:
    harbour.apply([theirs(kind, namespace), attached(kind, namespace, replicas=1, scaling=BOUNDS)])
    has_replicas(harbour, path_of(kind, namespace), 1)
    eventually(lambda: is_there(status_of(harbour, name="mine", namespace=namespace), replicas=1))
    before, since = harbour.client.get(path_of(kind, namespace)), lines_of(harbour)
    harbour.client.delete(names.INFERENCE_SERVICES.path("mine", namespace=namespace))
    harbour.apply([attached(kind, namespace, "next")])
    eventually(lambda: says(harbour, "next", "Ready", namespace=namespace, status="True"))
    after = harbour.client.get(path_of(kind, namespace))
    assert after["spec"] == before["spec"]
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert not [path for _, path, _ in written(harbour, since) if "/llm" in path]


def test_two_services_on_one_workload_do_nothing_and_name_each_other(harbour: Bed, namespace: str) -> None:
    harbour.apply([theirs("Deployment", namespace)])
    for name in ("one", "two"):
        harbour.apply([attached("Deployment", namespace, name, replicas=3, scaling=BOUNDS)])
    for name, other in (("one", "two"), ("two", "one")):
        is_claimed_twice(harbour, name=name, other=other, namespace=namespace)
    since = lines_of(harbour)
    for name in ("one", "two"):
        harbour.kubectl("scale", f"llsvc/{name}", "--replicas=1", "-n", namespace)
        has_seen(harbour, name, namespace, generation=2)
    assert not [path for _, path, _ in written(harbour, since) if "/llm" in path]
    harbour.client.delete(names.INFERENCE_SERVICES.path("two", namespace=namespace))
    eventually(lambda: says(harbour, "one", "Attached", namespace=namespace, status="True"))
    has_replicas(harbour, path_of("Deployment", namespace), 1)


def is_claimed_twice(bed: Bed, *, name: str, other: str, namespace: str) -> None:
    def check() -> None:
        says(bed, name, "Attached", namespace=namespace, reason="ClaimedTwice")
        found = says(bed, name, "Ready", namespace=namespace, reason="ClaimedTwice")
        assert f"is also named by {other}" in found["message"]

    eventually(check)
    assert "selector" not in status_of(bed, name=name, namespace=namespace)


def test_an_autoscaler_of_the_workload_itself_is_not_fought(harbour: Bed, namespace: str) -> None:
    harbour.apply([theirs("Deployment", namespace)])
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "llm"}
    cpu = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}
    spec = {"scaleTargetRef": target, "maxReplicas": 4, "metrics": [{"type": "Resource", "resource": cpu}]}
    head = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler"}
    harbour.apply([{**head, "metadata": {"name": "theirs", "namespace": namespace}, "spec": spec}])
    harbour.apply([attached("Deployment", namespace, replicas=3, scaling=BOUNDS)])
    eventually(lambda: says(harbour, "mine", "ScalingReady", namespace=namespace, reason="OtherScaler"))
    text = says(harbour, "mine", "ScalingReady", namespace=namespace)["message"]
    assert "HorizontalPodAutoscaler theirs scales Deployment" in text
    assert our_part(harbour.client.get(path_of("Deployment", namespace))) == []
    harbour.kubectl("delete", "hpa", "theirs", "-n", namespace)
    has_replicas(harbour, path_of("Deployment", namespace), 3)


def test_an_engine_that_is_told_to_leave_the_plugin_out_is_named(harbour: Bed, namespace: str) -> None:
    engine = {"name": "vllm", "image": "theirs", "env": [{"name": "VLLM_PLUGINS", "value": "lora"}]}
    harbour.apply([theirs("Deployment", namespace, containers=[engine])])
    harbour.apply([attached("Deployment", namespace, experts={"mode": "Observe"})])
    eventually(lambda: says(harbour, "mine", "PluginMissing", namespace=namespace, reason="PluginAbsent"))
    text = says(harbour, "mine", "PluginMissing", namespace=namespace, status="True")["message"]
    assert "experts can't act" in text


def test_a_model_and_a_workload_do_not_take_each_others_place(harbour: Bed, namespace: str) -> None:
    harbour.apply([service("mine", namespace=namespace)])
    path = names.INFERENCE_SERVICES.path("mine", namespace=namespace)
    swapped = {
        "spec": {"model": None, "workloadRef": attached("Deployment", namespace)["spec"]["workloadRef"]}
    }
    with pytest.raises(ApiError, match="delete this InferenceService and create another one"):
        harbour.client.patch(path, swapped)


def refusing(name: str, namespace: str, *, group: str, resource: str) -> list[Object]:
    """An admission policy that lets nobody scale one resource in a namespace, and the sentence why."""
    version = {"apps": "v1", names.GROUP: "v1alpha1"}[group]
    rule = {
        "apiGroups": [group],
        "apiVersions": [version],
        "operations": ["UPDATE"],
        "resources": [f"{resource}/scale"],
    }
    policy = {
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": "false", "message": "the freeze of the 24th"}],
    }
    binding = {
        "policyName": name,
        "validationActions": ["Deny"],
        "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}},
    }
    return [
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": f"ValidatingAdmissionPolicy{suffix}",
            "metadata": {"name": name},
            "spec": spec,
        }
        for suffix, spec in (("", policy), ("Binding", binding))
    ]


def freezes(bed: Bed, path: str, objects: list[Object], *, replicas: int) -> None:
    """Apply the policy, and wait until the API server goes by it."""
    bed.apply(objects)

    asked = {"spec": {"replicas": replicas}}
    eventually(
        lambda: refusal(lambda: bed.client.patch(f"{path}/scale", asked, dryRun="All"), by="the freeze")
    )


@pytest.mark.parametrize(
    ("group", "resource"), [("apps", "deployments"), (names.GROUP, names.INFERENCE_SERVICES.plural)]
)
def test_a_scale_that_admission_refuses_is_told_and_tried_again(
    harbour: Bed, namespace: str, group: str, resource: str
) -> None:
    """The workload's own, which the service asks for, and the service's, by which its count is taken over."""
    path = path_of("Deployment", namespace)
    harbour.apply([theirs("Deployment", namespace)])
    spec: dict[str, Any] = {"scaling": BOUNDS} | ({"replicas": 3} if group == "apps" else {})
    bars = refusing(f"freeze-{namespace}", namespace, group=group, resource=resource)
    if group == "apps":
        freezes(harbour, path, bars, replicas=3)
    else:
        harbour.apply([attached("Deployment", namespace, "other", **spec)])
        other = names.INFERENCE_SERVICES.path("other", namespace=namespace)
        freezes(harbour, other, bars, replicas=3)
        harbour.client.delete(other)
    harbour.apply([attached("Deployment", namespace, **spec)])

    def told() -> None:
        found = says(harbour, "mine", "ScalingReady", namespace=namespace, reason="ScaleRefused")
        assert "the freeze of the 24th" in found["message"]
        says(harbour, "mine", "Attached", namespace=namespace, status="True")

    eventually(told)
    for bar in ("validatingadmissionpolicybindings", "validatingadmissionpolicies"):
        harbour.client.delete(f"/apis/admissionregistration.k8s.io/v1/{bar}/freeze-{namespace}")
    if group == "apps":
        has_replicas(harbour, path, 3)
    else:
        eventually(lambda: says(harbour, "mine", "ScalingReady", namespace=namespace, reason="NotAsked"))
