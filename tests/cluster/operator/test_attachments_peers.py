"""
Workloads of KServe and LeaderWorkerSet, by their own definitions and real controllers.

The bed is its own: LeaderWorkerSet's webhooks see every pod of a cluster. KServe's
controllers don't run here, so a test writes the conditions that they would.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from loadline_api import names
from loadline_api.names import OPERATOR_MANAGER
from testbed import charts, peers
from testbed.api_callers import eventually
from testbed.cluster.bed import Bed
from testbed.cluster.clients import Object
from testbed.doubles.operators import (
    LoneOperator,
    lines_of,
    own_namespace,
    pods_of,
    says,
    service,
    status_of,
    written,
)

pytestmark = pytest.mark.cluster

PATIENCE_S = 60.0
"""A group's pods come one after the other, through webhooks."""

SETS = "leaderworkersets"
LWS = "leaderworkerset.x-k8s.io/v1"
KSERVE = "serving.kserve.io"
BOUNDS = {"minReplicas": 1, "maxReplicas": 3}
CONTAINER: Object = {"name": "vllm", "image": "theirs", "resources": {"limits": {"nvidia.com/gpu": "8"}}}


@pytest.fixture(scope="module")
def roads() -> Iterator[Bed]:
    """A bed with the chart and LeaderWorkerSet; KServe comes later."""
    with Bed(audit=True) as bed:
        bed.apply(charts.control_plane_objects())
        bed.add_nodes([f"mole-{index}" for index in range(6)])
        peers.start_leader_worker_sets(bed)
        yield bed


@pytest.fixture(scope="module", autouse=True)
def operator(roads: Bed) -> Iterator[LoneOperator]:
    """The running operator."""
    one = LoneOperator(roads)
    one.start()
    yield one
    assert one.stop() == 0


@pytest.fixture(scope="module")
def kserve(roads: Bed) -> str:
    """KServe's group, its two kinds defined."""
    peers.install(roads, peers.KSERVE_SERVICES, peers.KSERVE_LLM_SERVICES)
    return KSERVE


def ref(api_version: str, kind: str, name: str) -> Object:
    return {"apiVersion": api_version, "kind": kind, "name": name}


def a_set(name: str, *, size: int = 2, replicas: int = 1) -> Object:
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [CONTAINER]}}
    spec = {"replicas": replicas, "leaderWorkerTemplate": {"size": size, "workerTemplate": template}}
    head = {"apiVersion": LWS, "kind": "LeaderWorkerSet"}
    return {**head, "metadata": {"name": name, "namespace": "default"}, "spec": spec}


def set_path(name: str) -> str:
    return f"/apis/{LWS}/namespaces/default/{SETS}/{name}"


def is_there(found: Object, **wanted: Any) -> None:
    assert {key: found.get(key) for key in wanted} == wanted, found


def selected(bed: Bed, selector: str) -> list[Object]:
    return list(bed.client.get("/api/v1/namespaces/default/pods", labelSelector=selector)["items"])


def our_part(found: Object) -> list[str | None]:
    """The subresources by which the operator has written to an object; None is the object itself."""
    entries = found["metadata"]["managedFields"]
    return [one.get("subresource") for one in entries if one["manager"] == OPERATOR_MANAGER]


def test_a_service_over_two_nodes_becomes_groups_that_run(roads: Bed) -> None:
    roads.apply([service("wide", parallelism={"tensor": 8, "pipeline": 2, "nodes": 2})])
    eventually(lambda: says(roads, "wide", "Ready", status="True"), patience_s=PATIENCE_S)
    made = roads.client.get(set_path("wide"))
    assert made["spec"]["leaderWorkerTemplate"]["size"] == 2
    pods = pods_of(roads, name="wide")
    indices = [pod["metadata"]["labels"]["leaderworkerset.sigs.k8s.io/worker-index"] for pod in pods]
    assert sorted(indices) == ["0", "1"]
    assert len({pod["spec"]["nodeName"] for pod in pods}) == 2
    (worker,) = (pod for pod in pods if pod["metadata"]["name"].endswith("-1"))
    environment = {one["name"]: one.get("value") for one in worker["spec"]["containers"][0]["env"]}
    assert environment["LWS_LEADER_ADDRESS"] == "wide-0.wide-0.default"
    group = roads.client.get("/api/v1/namespaces/default/services/wide-0")["spec"]
    assert (group["clusterIP"], group["publishNotReadyAddresses"]) == ("None", True)
    front = roads.client.get("/api/v1/namespaces/default/services/wide")
    assert [one["kind"] for one in front["metadata"]["ownerReferences"]] == ["InferenceService"]
    assert front["spec"]["clusterIP"] != "None"


def test_such_a_service_is_scaled_by_whole_groups(roads: Bed) -> None:
    roads.kubectl("scale", "llsvc/wide", "--replicas=2", "-n", "default")
    eventually(
        lambda: is_there(status_of(roads, name="wide"), replicas=2, readyReplicas=2), patience_s=PATIENCE_S
    )
    assert len(pods_of(roads, name="wide")) == 4
    scale = roads.client.get(names.INFERENCE_SERVICES.path("wide", namespace="default", subresource="scale"))
    assert len(selected(roads, scale["status"]["selector"])) == 2, "an HPA takes one pod for one replica"
    roads.client.delete(names.INFERENCE_SERVICES.path("wide", namespace="default"))
    eventually(lambda: is_there({"pods": pods_of(roads, name="wide")}, pods=[]), patience_s=PATIENCE_S)


def test_a_set_of_somebody_else_is_attached_and_scaled(roads: Bed) -> None:
    roads.apply([a_set("theirs")])
    roads.apply([service("mine", workloadRef=ref(LWS, "LeaderWorkerSet", "theirs"), scaling=BOUNDS)])
    eventually(lambda: says(roads, "mine", "Ready", status="True"), patience_s=PATIENCE_S)
    status = status_of(roads, name="mine")
    assert len(selected(roads, status["podSelector"])) == 2, "agents find leader and worker"
    assert len(selected(roads, status["selector"])) == 1, "an HPA takes one pod for one replica"
    assert our_part(roads.client.get(set_path("theirs"))) == []
    roads.kubectl("scale", "llsvc/mine", "--replicas=2", "-n", "default")
    eventually(
        lambda: is_there(status_of(roads, name="mine"), replicas=2, readyReplicas=2), patience_s=PATIENCE_S
    )
    assert our_part(roads.client.get(set_path("theirs"))) == ["scale"]
    roads.kubectl("scale", "llsvc/mine", "--replicas=1", "-n", "default")
    eventually(
        lambda: is_there(status_of(roads, name="mine"), replicas=1, readyReplicas=1), patience_s=PATIENCE_S
    )


def test_a_set_outlives_the_service_that_was_attached_to_it(roads: Bed) -> None:
    before = roads.client.get(set_path("theirs"))["metadata"]
    since = lines_of(roads)
    roads.client.delete(names.INFERENCE_SERVICES.path("mine", namespace="default"))
    roads.apply([service("after", workloadRef=ref(LWS, "LeaderWorkerSet", "theirs"))])
    eventually(lambda: says(roads, "after", "ScalingReady", reason="ReadOnly"))
    after = roads.client.get(set_path("theirs"))["metadata"]
    assert (after["uid"], after["generation"]) == (before["uid"], before["generation"])
    assert not [path for _, path, _ in written(roads, since) if SETS in path]
    roads.client.delete(set_path("theirs"))
    eventually(lambda: says(roads, "after", "Attached", reason="NoWorkload"))


def test_what_loadline_made_is_no_workload_of_somebody_else(roads: Bed) -> None:
    roads.apply([service("own", parallelism={"tensor": 2, "nodes": 2})])
    roads.apply([service("thief", workloadRef=ref(LWS, "LeaderWorkerSet", "own"))])
    eventually(lambda: says(roads, "thief", "Attached", reason="OwnWorkload"))
    text = says(roads, "thief", "Ready", status="False")["message"]
    assert "was created by Loadline for inferenceservices.loadline.dev/own" in text
    assert "selector" not in status_of(roads, name="thief")
    for name in ("own", "thief"):
        roads.client.delete(names.INFERENCE_SERVICES.path(name, namespace="default"))


def quota(bed: Bed, namespace: str, **hard: str) -> None:
    """A quota that counts at once, since no controller of quotas runs here."""
    path = f"/api/v1/namespaces/{namespace}/resourcequotas"
    head = {"apiVersion": "v1", "kind": "ResourceQuota"}
    bed.apply([{**head, "metadata": {"name": "few", "namespace": namespace}, "spec": {"hard": hard}}])
    bed.client.patch(f"{path}/few/status", {"status": {"hard": hard, "used": dict.fromkeys(hard, "0")}})


WIDE: Object = {"parallelism": {"tensor": 2, "nodes": 2}}
GHOST: Object = {"template": {"serviceAccountName": "ghost"}}


SET_LABELS = "disaggregatedset.x-k8s.io"

ON_SET: Object = {"workloadRef": ref(LWS, "LeaderWorkerSet", "theirs")}


def apply_in(bed: Bed, namespace: str, *bodies: Object) -> None:
    bed.apply([{**one, "metadata": {**one["metadata"], "namespace": namespace}} for one in bodies])


def test_what_keeps_the_pods_of_groups_away_is_told(roads: Bed) -> None:
    """Neither LeaderWorkerSets nor StatefulSets have a condition for it."""
    with own_namespace(roads, "refused") as namespace:
        quota(roads, namespace, pods="0")
        apply_in(roads, namespace, service("wide", **WIDE), a_set("theirs"), service("on-set", **ON_SET))
        for name in ("wide", "on-set"):
            text = told_of(roads, name, "Ready", namespace, reason="QuotaExceeded")
            assert "ResourceQuota few allows pods=0 and a pod asks for pods=1: raise the quota" in text
            text = told_of(roads, name, "CapacityLimited", namespace, reason="QuotaExceeded", status="True")
            assert "which allows pods=0" in text
        roads.kubectl("delete", "resourcequota", "few", "-n", namespace)
        told_of(roads, "wide", "Ready", namespace, status="True")


def test_a_missing_account_of_groups_is_told(roads: Bed) -> None:
    theirs = a_set("theirs")
    theirs["spec"]["leaderWorkerTemplate"]["workerTemplate"]["spec"]["serviceAccountName"] = "ghost"
    with own_namespace(roads, "ghosts") as namespace:
        apply_in(roads, namespace, service("wide", **WIDE, **GHOST), theirs, service("on-set", **ON_SET))
        for name in ("wide", "on-set"):
            text = told_of(roads, name, "Ready", namespace, reason="TemplateRefused")
            assert 'serviceaccount "ghost" not found: create it, or correct serviceAccountName' in text
            told_of(roads, name, "CapacityLimited", namespace, status="Unknown")


def test_a_worker_that_is_refused_is_told_though_its_leader_runs(roads: Bed) -> None:
    with own_namespace(roads, "halves") as namespace:
        quota(roads, namespace, pods="1")
        apply_in(roads, namespace, a_set("theirs"), service("on-set", **ON_SET))
        text = told_of(roads, "on-set", "Ready", namespace, reason="QuotaExceeded")
        assert "ResourceQuota few allows pods=1" in text


def told_of(bed: Bed, name: str, type: str, namespace: str, **wanted: str) -> str:
    """The message of a condition, once it has these values."""
    eventually(partial(says, bed, name, type, namespace=namespace, **wanted), patience_s=PATIENCE_S)
    return str(says(bed, name, type, namespace=namespace, **wanted)["message"])


def test_attaching_waits_for_kserve_to_be_installed(roads: Bed) -> None:
    missing = ref(f"{KSERVE}/v1alpha2", "LLMInferenceService", "llama")
    roads.apply([service("early", workloadRef=missing)])
    eventually(lambda: says(roads, "early", "Attached", reason="ApiMissing"))
    text = says(roads, "early", "Ready", status="False")["message"]
    assert "the cluster serves no LLMInferenceService of serving.kserve.io/v1alpha2: install it" in text


def theirs(kind: str, version: str, name: str) -> Object:
    """A workload of KServe as its users write it."""
    spec: Object = {"model": {"uri": "hf://org/llama", "name": "llama"}, "replicas": 2}
    if kind == "InferenceService":
        model = {"modelFormat": {"name": "huggingface"}, "storageUri": "hf://org/llama"}
        spec = {"predictor": {"minReplicas": 2, "model": model}}
    head = {"apiVersion": f"{KSERVE}/{version}", "kind": kind}
    return {**head, "metadata": {"name": name, "namespace": "default"}, "spec": spec}


def path_of(body: Object) -> str:
    plural = f"{body['kind'].lower()}s"
    return f"/apis/{body['apiVersion']}/namespaces/default/{plural}/{body['metadata']['name']}"


def kserve_says(
    bed: Bed,
    body: Object,
    *,
    status: str,
    reason: str = "",
    message: str = "",
    url: str = "http://llama.example.com",
) -> None:
    """Write the status that KServe's controller would."""
    told = {"type": "Ready", "status": status, "reason": reason, "message": message}
    bed.client.patch(f"{path_of(body)}/status", {"status": {"url": url, "conditions": [told]}})


@pytest.mark.usefixtures("kserve")
@pytest.mark.parametrize(
    ("kind", "version", "selector"),
    [
        ("InferenceService", "v1beta1", "serving.kserve.io/inferenceservice={name}"),
        (
            "LLMInferenceService",
            "v1alpha2",
            "app.kubernetes.io/name={name},app.kubernetes.io/part-of=llminferenceservice",
        ),
        (
            "LLMInferenceService",
            "v1alpha1",
            "app.kubernetes.io/name={name},app.kubernetes.io/part-of=llminferenceservice",
        ),
    ],
)
def test_kserves_own_words_are_passed_on_and_its_object_is_never_written(
    roads: Bed, kind: str, version: str, selector: str
) -> None:
    name = f"{kind.lower()}-{version}"
    body = theirs(kind, version, name)
    ours = f"on-{version}-{len(kind)}"
    roads.apply(
        [service(ours, workloadRef=ref(f"{KSERVE}/{version}", kind, name), scaling=BOUNDS, replicas=3)]
    )
    eventually(lambda: says(roads, ours, "Attached", reason="NoWorkload"))
    roads.apply([body])
    eventually(lambda: says(roads, ours, "Attached", status="True"))
    says(roads, ours, "Ready", status="Unknown", reason="NotTold")
    kserve_says(
        roads,
        body,
        status="False",
        reason="MinimumReplicasUnavailable",
        message="Deployment does not have minimum availability.",
    )
    eventually(lambda: says(roads, ours, "Ready", status="False"))
    assert "MinimumReplicasUnavailable: Deployment does not have" in says(roads, ours, "Ready")["message"]
    kserve_says(roads, body, status="True")
    version_before = roads.client.get(path_of(body))["metadata"]["resourceVersion"]
    eventually(lambda: says(roads, ours, "Ready", status="True"))
    says(roads, ours, "ScalingReady", status="False", reason="NotScalable")
    is_there(status_of(roads, name=ours), selector=selector.format(name=name), url="http://llama.example.com")
    roads.client.delete(names.INFERENCE_SERVICES.path(ours, namespace="default"))
    there = roads.client.get(path_of(body))
    assert there["metadata"]["resourceVersion"] == version_before
    assert our_part(there) == []


@pytest.mark.usefixtures("kserve")
def test_what_kserve_made_is_scaled_by_kserve_and_claimed_with_its_owner(roads: Bed) -> None:
    body = theirs("InferenceService", "v1beta1", "iris")
    owner = {
        **ref(body["apiVersion"], body["kind"], "iris"),
        "uid": made_uid(roads, body),
        "controller": True,
    }
    labels = {"app": "isvc.iris-predictor"}
    spec: Object = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}}}
    spec["template"]["spec"] = {"containers": [CONTAINER]}
    head = {"apiVersion": "apps/v1", "kind": "Deployment"}
    metadata = {"name": "iris-predictor", "namespace": "default", "ownerReferences": [owner]}
    roads.apply([{**head, "metadata": metadata, "spec": {"replicas": 2, **spec}}])
    on_child = ref("apps/v1", "Deployment", "iris-predictor")
    roads.apply([service("child", workloadRef=on_child, replicas=3, scaling=BOUNDS)])
    eventually(lambda: says(roads, "child", "ScalingReady", reason="OwnedByController"))
    text = says(roads, "child", "ScalingReady", status="False")["message"]
    assert "InferenceService iris (serving.kserve.io/v1beta1) owns Deployment default/iris-predictor" in text
    roads.apply([service("parent", workloadRef=ref(body["apiVersion"], body["kind"], "iris"))])
    eventually(lambda: says(roads, "child", "Attached", reason="ClaimedTwice"))
    eventually(lambda: says(roads, "parent", "Attached", reason="ClaimedTwice"))
    assert "is also named by parent (by InferenceService iris)" in says(roads, "child", "Ready")["message"]
    roads.client.delete(names.INFERENCE_SERVICES.path("parent", namespace="default"))
    eventually(lambda: says(roads, "child", "Attached", status="True"))
    there = roads.client.get("/apis/apps/v1/namespaces/default/deployments/iris-predictor")
    assert (there["metadata"]["generation"], our_part(there)) == (1, [])


@pytest.mark.usefixtures("kserve")
def test_pods_of_two_kserve_services_are_told_apart_or_left_alone(roads: Bed) -> None:
    """One renames its pods, as KServe's example for two vendors does."""
    one, two = (theirs("LLMInferenceService", "v1alpha2", name) for name in ("one", "two"))
    renamed = {"app.kubernetes.io/name": "one", "app.kubernetes.io/part-of": "llminferenceservice"}
    two["spec"]["labels"] = renamed
    roads.apply([one, two])
    for name in ("one", "two"):
        reference = ref(f"{KSERVE}/v1alpha2", "LLMInferenceService", name)
        roads.apply([service(f"on-{name}", workloadRef=reference)])
        eventually(partial(says, roads, f"on-{name}", "Attached", reason="PodsShared"))
        assert "selector" not in status_of(roads, name=f"on-{name}")
    two["spec"]["labels"] = {**renamed, "vendor": "amd"}
    roads.apply([two])
    eventually(lambda: says(roads, "on-two", "Attached", status="True"))
    assert status_of(roads, name="on-two")["selector"].endswith(",vendor=amd")
    says(roads, "on-one", "Attached", reason="PodsShared")
    one["spec"]["labels"] = {"vendor": "nvidia"}
    roads.apply([one])
    eventually(lambda: says(roads, "on-one", "Attached", status="True"))
    for body in (one, two):
        roads.client.delete(
            names.INFERENCE_SERVICES.path(f"on-{body['metadata']['name']}", namespace="default")
        )
        roads.client.delete(path_of(body))


def made_uid(bed: Bed, body: Object) -> str:
    """Apply an object; its uid."""
    bed.apply([body])
    return str(bed.client.get(path_of(body))["metadata"]["uid"])


def is_claimed_twice(bed: Bed, name: str, other: str) -> None:
    eventually(lambda: says(bed, name, "Attached", reason="ClaimedTwice"))
    assert f"also named by {other}" in says(bed, name, "Ready")["message"]


@pytest.mark.usefixtures("kserve")
def test_two_versions_of_one_object_are_one_claim(roads: Bed) -> None:
    roads.apply([theirs("LLMInferenceService", "v1alpha2", "llama")])
    eventually(lambda: says(roads, "early", "Attached", status="True"))
    old = ref(f"{KSERVE}/v1alpha1", "LLMInferenceService", "llama")
    roads.apply([service("late", workloadRef=old)])
    for name, other in (("early", "late"), ("late", "early")):
        is_claimed_twice(roads, name, other)
        assert "selector" not in status_of(roads, name=name)
    roads.client.delete(names.INFERENCE_SERVICES.path("late", namespace="default"))
    eventually(lambda: says(roads, "early", "Attached", status="True"))


@pytest.mark.usefixtures("kserve")
def test_whatever_kserve_says_the_status_is_written(roads: Bed, operator: LoneOperator) -> None:
    """With an emoji in a message the status stayed as it was before, for ever, with a failure every 30 s."""
    body = theirs("InferenceService", "v1beta1", "custom-simple")
    attached = ref(f"{KSERVE}/v1beta1", "InferenceService", "custom-simple")
    roads.apply([body, service("mine", workloadRef=attached)])
    failures = len(operator.logged("a reconcile failed and will be tried again"))
    for message, shown in (
        ("model 🚀 failed", "Boom: model 🚀 failed"),
        ("bell\x07, \x1b[31m, two\nlines", r"Boom: bell\x07, \x1b[31m, two\nlines"),
        ("next\x85line\u2028\ufeff\uffff\u202e", r"Boom: next\x85line\u2028\ufeff\uffff\u202e"),
        ("模" * 3000, "Boom: 模模模"),
    ):
        url = f"http://llama.example.com/{'x' * 1200 if '模' in message else ''}"
        kserve_says(roads, body, status="False", reason="Boom", message=message, url=url)

        def written(shown: str = shown) -> None:
            text = says(roads, "mine", "Ready", status="False")["message"]
            assert shown in text
            assert len(text.encode()) <= 1000

        eventually(written)
    assert "url" not in status_of(roads, name="mine")
    assert len(operator.logged("a reconcile failed and will be tried again")) == failures
    roads.client.delete(names.INFERENCE_SERVICES.path("mine", namespace="default"))


@pytest.mark.usefixtures("kserve")
def test_a_definition_that_goes_takes_nothing_of_ours_with_it(roads: Bed, operator: LoneOperator) -> None:
    eventually(lambda: says(roads, "early", "Attached", status="True"))
    peers.uninstall(roads, peers.KSERVE_LLM_SERVICES)
    eventually(lambda: says(roads, "early", "Attached", reason="ApiMissing"), patience_s=PATIENCE_S)
    assert operator.readiness() == (200, "ok")
    peers.install(roads, peers.KSERVE_LLM_SERVICES)
    eventually(lambda: says(roads, "early", "Attached", reason="NoWorkload"), patience_s=PATIENCE_S)


@pytest.fixture(scope="module")
def roles(roads: Bed) -> str:
    """Sets of roles as they are defined; their controller doesn't run here, so a test makes what it would."""
    peers.uninstall(roads, peers.DISAGGREGATED_SETS)  # a placeholder, for LeaderWorkerSet's controllers
    peers.install(roads, peers.DISAGGREGATED_SETS, peers.ROLE_SCALERS)
    return "disaggregatedset.x-k8s.io/v1"


def a_set_of_roles(api_version: str, name: str) -> Object:
    def role(name: str, **more: Any) -> Object:
        template = {"size": 1, "workerTemplate": {"spec": {"containers": [CONTAINER]}}}
        return {"name": name, "spec": {"replicas": 2, "leaderWorkerTemplate": template}, **more}

    spec = {"roles": [role("prefill"), role("decode", scaling={"mode": "External"})]}
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": api_version, "kind": "DisaggregatedSet", "metadata": metadata, "spec": spec}


def test_a_set_of_roles_is_scaled_by_the_scaler_of_its_decode_role(roads: Bed, roles: str) -> None:
    roads.apply([a_set_of_roles(roles, "split")])
    roads.apply([service("split", workloadRef=ref(roles, "DisaggregatedSet", "split"), scaling=BOUNDS)])
    eventually(lambda: says(roads, "split", "ScalingReady", reason="NotScalable"), patience_s=PATIENCE_S)
    path = f"/apis/{roles}/namespaces/default/disaggregatedsetrolescalers/split-decode"
    uid = roads.client.get(f"/apis/{roles}/namespaces/default/disaggregatedsets/split")["metadata"]["uid"]
    owner = {"apiVersion": roles, "kind": "DisaggregatedSet", "name": "split", "uid": uid, "controller": True}
    scaler = {
        "apiVersion": roles,
        "kind": "DisaggregatedSetRoleScaler",
        "metadata": {"name": "split-decode", "namespace": "default", "ownerReferences": [owner]},
        "spec": {"replicas": 2},
    }
    roads.apply([scaler])
    eventually(lambda: says(roads, "split", "ScalingReady", reason="NotAsked"), patience_s=PATIENCE_S)
    scale = names.INFERENCE_SERVICES.path("split", namespace="default", subresource="scale")
    eventually(lambda: is_there(roads.client.get(scale)["spec"], replicas=2))
    roads.kubectl("scale", "llsvc/split", "--replicas=3")
    eventually(lambda: is_there(roads.client.get(path)["spec"], replicas=3))
    assert our_part(roads.client.get(path)) == ["scale"]
    assert our_part(roads.client.get(f"/apis/{roles}/namespaces/default/disaggregatedsets/split")) == []
    roads.client.delete(names.INFERENCE_SERVICES.path("split", namespace="default"))
    is_there(roads.client.get(path)["spec"], replicas=3)


def test_what_keeps_the_pods_of_a_role_away_is_told(roads: Bed, roles: str) -> None:
    """A role has LeaderWorkerSets of the controller of sets; that doesn't run, so the test creates one."""
    group = a_set("split-0-7f9b8c-prefill")
    group["metadata"]["labels"] = {f"{SET_LABELS}/name": "split", f"{SET_LABELS}/role": "prefill"}
    attached = service("mine", workloadRef=ref(roles, "DisaggregatedSet", "split"))
    with own_namespace(roads, "roles") as namespace:
        quota(roads, namespace, pods="0")
        apply_in(roads, namespace, a_set_of_roles(roles, "split"), group, attached)
        status = {"type": "Available", "status": "False", "reason": "Waits", "message": "prefill: 0 of 2"}
        status["lastTransitionTime"] = "2026-01-01T12:00:00Z"
        path = f"/apis/{roles}/namespaces/{namespace}/disaggregatedsets/split/status"
        roads.client.patch(path, {"status": {"conditions": [status]}})
        text = told_of(roads, "mine", "Ready", namespace, reason="QuotaExceeded")
        assert "prefill: 0 of 2" in text
        assert "ResourceQuota few allows pods=0 and a pod asks for pods=1: raise the quota" in text
