"""What goes wrong with pods is told as it is, once, with the pod's name; and no write follows a write."""

import datetime
import time
from functools import partial
from typing import Any

import pytest

from loadline_api import names
from loadline_api.kv_retention import REFUSAL
from testbed.api_callers import eventually
from testbed.cluster import nodes
from testbed.cluster.bed import Bed
from testbed.cluster.clients import STRATEGIC, Object
from testbed.doubles.operators import lines_of, pods_of, says, service, status_of, written

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("operator")]

SINCE = "2026-01-01T00:00:00Z"


@pytest.fixture(scope="module")
def idle(harbour: Bed) -> str:
    """A node on which nobody plays kubelet: its pods are what a test says they are."""
    node = nodes.node("idle", gpus=64, labels={"idle": "yes"})
    taint = {"key": "idle", "effect": "NoSchedule"}
    harbour.client.create("/api/v1/nodes", {**node, "spec": {"taints": [taint]}})
    return "idle"


def on(node: str, **spec: Any) -> Object:
    """A spec whose pods go to that node."""
    place = {"nodeSelector": {node: "yes"}, "tolerations": [{"key": node, "operator": "Exists"}]}
    return {**spec, "template": {"spec": place}}


def bound(bed: Bed, name: str, namespace: str) -> Object:
    """The service's one pod, once it has a node."""
    found = pods_of(bed, name=name, namespace=namespace)
    assert [bool(pod["spec"].get("nodeName")) for pod in found] == [True]
    return found[0]


def kubelet_says(bed: Bed, pod: Object, container: Object, **conditions: str) -> None:
    """Write a pod's status as its kubelet would."""
    name = pod["spec"]["containers"][0]["name"]
    told = {"name": name, "image": "x", "imageID": "", "ready": False, "restartCount": 0, **container}
    types = {"PodScheduled": "True", "Initialized": "True", "Ready": "False", **conditions}
    status = {
        "phase": "Running",
        "containerStatuses": [told],
        "conditions": [
            {"type": type, "status": so, "lastTransitionTime": SINCE} for type, so in types.items()
        ],
    }
    metadata = pod["metadata"]
    path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/status"
    bed.client.patch(path, {"status": status}, content_type=STRATEGIC)


def running(restarts: int, last: Object) -> Object:
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"restartCount": restarts, "state": {"running": {"startedAt": now}}, "lastState": last}


def warnings(bed: Bed, namespace: str) -> list[str]:
    found = bed.client.get(f"/api/v1/namespaces/{namespace}/events", fieldSelector="type=Warning")["items"]
    return [one["reason"] for one in found if one["involvedObject"]["kind"] == "InferenceService"]


@pytest.mark.usefixtures("idle")
def test_a_crash_loop_is_told_once_whatever_turn_it_is_in(harbour: Bed, namespace: str) -> None:
    harbour.apply([service("chat", namespace=namespace, **on("idle"))])
    eventually(lambda: bound(harbour, "chat", namespace))
    pod = bound(harbour, "chat", namespace)
    last = {"terminated": {"exitCode": 1, "reason": "Error", "startedAt": SINCE, "finishedAt": SINCE}}
    back_off = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed"}}
    kubelet_says(harbour, pod, {"restartCount": 1, "state": back_off, "lastState": last})
    eventually(lambda: says(harbour, "chat", "Ready", namespace=namespace, reason="CrashLoop"))
    says(harbour, "chat", "WorkloadsReady", namespace=namespace, reason="CrashLoop")
    before = says(harbour, "chat", "Ready", namespace=namespace, reason="CrashLoop")
    assert pod["metadata"]["name"] in before["message"]
    assert "exit code 1 (Error)" in before["message"]
    eventually(lambda: has_warned(harbour, namespace, ["CrashLoop"]))
    eventually(lambda: is_counted(status_of(harbour, name="chat", namespace=namespace)))
    since = lines_of(harbour)
    for restarts in (2, 3, 4):
        kubelet_says(harbour, pod, running(restarts, last))
        kubelet_says(harbour, pod, {"restartCount": restarts, "state": last, "lastState": last})
        kubelet_says(harbour, pod, {"restartCount": restarts, "state": back_off, "lastState": last})
    time.sleep(2.0)  # what would be written, would be by now
    assert [one for one in written(harbour, since) if namespace in one[1]] == []
    assert warnings(harbour, namespace) == ["CrashLoop"]


def is_counted(status: Object) -> None:
    assert status["pools"] == [{"name": "main", "replicas": 1, "updatedReplicas": 1}]


def has_warned(bed: Bed, namespace: str, reasons: list[str]) -> None:
    assert sorted(warnings(bed, namespace)) == reasons


@pytest.mark.usefixtures("idle")
def test_faults_are_told_by_their_reasons_and_end(harbour: Bed, namespace: str) -> None:
    harbour.apply([service("chat", namespace=namespace, **on("idle"))])
    eventually(lambda: bound(harbour, "chat", namespace))
    pod = bound(harbour, "chat", namespace)
    killed = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    said = 'Back-off pulling image "x": ErrImagePull: not found'
    for container, reason in (
        ({"state": {"waiting": {"reason": "ImagePullBackOff", "message": said}}}, "ImageUnavailable"),
        ({"restartCount": 1, "state": killed, "lastState": killed}, "OutOfMemory"),
    ):
        kubelet_says(harbour, pod, container)
        eventually(partial(says, harbour, "chat", "Ready", namespace=namespace, reason=reason))
    serving = {**running(1, killed), "ready": True, "started": True}
    kubelet_says(harbour, pod, serving, Ready="True", ContainersReady="True")
    eventually(lambda: says(harbour, "chat", "Ready", namespace=namespace, status="True"))
    eventually(lambda: has_warned(harbour, namespace, ["ImageUnavailable", "OutOfMemory"]))


@pytest.mark.usefixtures("idle")
def test_an_engine_that_refuses_to_start_without_bounds_says_why(harbour: Bed, namespace: str) -> None:
    bounded = {"retention": {"mode": "Enforce", "budgetTokens": 512, "onProbeFailure": "Refuse"}}
    harbour.apply([service("chat", namespace=namespace, kvCache=bounded, **on("idle"))])
    eventually(lambda: bound(harbour, "chat", namespace))
    pod = bound(harbour, "chat", namespace)
    text = f"{REFUSAL}Attention: serve a model in which all layers have full attention"
    ended = {"terminated": {"exitCode": 1, "reason": "Error", "message": f"{text}\n"}}
    kubelet_says(harbour, pod, {"restartCount": 0, "state": ended})
    eventually(lambda: says(harbour, "chat", "Ready", namespace=namespace, reason="CrashLoop"))
    told = says(harbour, "chat", "Ready", namespace=namespace, status="False")
    assert f"refuses to start: {text}" in told["message"]
    says(harbour, "chat", "RetentionActive", namespace=namespace, status="Unknown")


def test_gpus_that_are_missing_limit_the_capacity(harbour: Bed, namespace: str) -> None:
    spread = {"tensor": 8, "pipeline": 8, "data": 8}
    harbour.apply([service("vast", namespace=namespace, parallelism=spread)])
    eventually(lambda: says(harbour, "vast", "Ready", namespace=namespace, reason="GpuMissing"))
    text = says(harbour, "vast", "CapacityLimited", namespace=namespace, status="True")["message"]
    assert "512 nvidia.com/gpu" in text
    harbour.apply([service("vast", namespace=namespace, parallelism={"tensor": 1})])
    eventually(lambda: says(harbour, "vast", "CapacityLimited", namespace=namespace, status="False"))
    eventually(lambda: says(harbour, "vast", "Ready", namespace=namespace, status="True"))


def test_a_quota_is_told_by_its_name(harbour: Bed, namespace: str) -> None:
    hard = {"requests.nvidia.com/gpu": "1"}
    head = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few", "namespace": namespace}}
    harbour.apply([{**head, "spec": {"hard": hard}}])
    path = f"/api/v1/namespaces/{namespace}/resourcequotas/few"
    eventually(lambda: counted(harbour.client.get(path)))
    harbour.apply([service("chat", namespace=namespace, replicas=2)])
    eventually(lambda: says(harbour, "chat", "Ready", namespace=namespace, reason="QuotaExceeded"))
    text = says(harbour, "chat", "CapacityLimited", namespace=namespace, status="True")["message"]
    assert "ResourceQuota few, which allows requests.nvidia.com/gpu=1" in text
    text = says(harbour, "chat", "Ready", namespace=namespace, status="False")["message"]
    assert "ResourceQuota few allows requests.nvidia.com/gpu=1" in text
    eventually(lambda: are_ready(status_of(harbour, name="chat", namespace=namespace), 1))


def are_ready(status: Object, replicas: int) -> None:
    assert status["readyReplicas"] == replicas


def counted(quota: Object) -> None:
    assert quota.get("status", {}).get("used")


def test_what_nodes_tell_becomes_conditions(harbour: Bed, row: Any, namespace: str) -> None:
    one = row("telling")
    (node,) = one.add(1)
    one.tell([node])
    kv = {"admission": {"mode": "Observe"}}
    harbour.apply([service("chat", namespace=namespace, slo={"itlMs": 50}, kvCache=kv)])
    eventually(lambda: says(harbour, "chat", "PowerCapped", namespace=namespace, reason="NotTold"))
    eventually(lambda: says(harbour, "chat", "Ready", namespace=namespace, status="True"))
    told = {"service": f"{namespace}/chat", "pods": 1, "gpus": 1, "capped": True, "sloMet": False}
    one.tell([node], services=[{**told, "plugin": False}])
    eventually(lambda: says(harbour, "chat", "PowerCapped", namespace=namespace, reason="Limited"))
    eventually(lambda: says(harbour, "chat", "SLOMet", namespace=namespace, reason="ObjectiveMissed"))
    eventually(lambda: says(harbour, "chat", "PluginMissing", namespace=namespace, reason="PluginAbsent"))
    says(harbour, "chat", "Ready", namespace=namespace, status="True")
    since = lines_of(harbour)
    one.tell([node], services=[{**told, "pods": 2, "gpus": 2, "plugin": False}])
    time.sleep(1.0)  # a count moves nothing
    assert [each for each in written(harbour, since) if namespace in each[1]] == []
    one.tell([node], services=[{**told, "capped": False, "sloMet": True, "plugin": True}])
    eventually(lambda: says(harbour, "chat", "PowerCapped", namespace=namespace, reason="Unlimited"))
    eventually(lambda: says(harbour, "chat", "SLOMet", namespace=namespace, reason="ObjectiveMet"))
    eventually(lambda: says(harbour, "chat", "PluginMissing", namespace=namespace, reason="PluginPresent"))


def test_what_a_dead_agent_has_said_is_believed_no_more(harbour: Bed, row: Any, namespace: str) -> None:
    one = row("dying")
    (node,) = one.add(1)
    harbour.apply([agent_pod(node)])
    harbour.apply([service("chat", namespace=namespace, slo={"itlMs": 50})])
    one.tell([node], services=[{"service": f"{namespace}/chat", "pods": 1, "capped": False, "sloMet": True}])
    eventually(lambda: says(harbour, "chat", "SLOMet", namespace=namespace, reason="ObjectiveMet"))
    time.sleep(3.0)  # longer than a silence is borne
    says(harbour, "chat", "SLOMet", namespace=namespace, reason="ObjectiveMet")
    harbour.kubectl("delete", "pod", f"agent-{node}", "-n", names.SYSTEM_NAMESPACE, "--force")
    eventually(
        lambda: says(harbour, "chat", "SLOMet", namespace=namespace, status="Unknown", reason="NotTold")
    )
    says(harbour, "chat", "PowerCapped", namespace=namespace, reason="NotTold")
    harbour.apply([agent_pod(node)])
    eventually(lambda: says(harbour, "chat", "SLOMet", namespace=namespace, reason="ObjectiveMet"))
    harbour.kubectl("delete", "pod", f"agent-{node}", "-n", names.SYSTEM_NAMESPACE, "--force")


def agent_pod(node: str) -> Object:
    """A pod as the DaemonSet of the agents would put it on a node."""
    labels = dict(label.split("=") for label in names.AGENT_SELECTOR.split(","))
    metadata = {"name": f"agent-{node}", "namespace": names.SYSTEM_NAMESPACE, "labels": labels}
    spec = {"nodeName": node, "containers": [{"name": "agent", "image": "agent"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def test_a_node_is_freed_of_its_taint_when_its_agent_tells(harbour: Bed, row: Any) -> None:
    one = row("born")
    (name,) = one.add(1)
    path = f"/api/v1/nodes/{name}"
    taints = [
        {"key": names.STARTUP_TAINT, "effect": "NoSchedule"},
        {"key": "theirs", "effect": "NoSchedule"},
    ]
    harbour.client.patch(path, {"spec": {"taints": taints}})
    one.tell([name])
    time.sleep(1.0)  # its agent is there, but hasn't seen its GPUs
    assert harbour.client.get(path)["spec"]["taints"] == taints
    one.tell([name], conditions=[{"type": "GpusReady", "status": "True", "reason": "AllSeen"}])
    eventually(lambda: has_taints(harbour.client.get(path), taints[1:]))


def has_taints(node: Object, wanted: list[Object]) -> None:
    assert node["spec"].get("taints") == wanted
