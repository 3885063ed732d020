"""Whom a pod without a node is told to wait for: GPUs only where nothing else lacks on the same nodes."""

from typing import Any

import pytest

from loadline_api.reasons import Reason
from loadline_operator.kube.kinds import Manifest
from loadline_operator.services.facts.faults import PodFault
from loadline_operator.services.facts.scheduling_faults import is_gpu, unplaced, unseen

ENGINE = {"cpu": "206", "memory": "1500Gi", "nvidia.com/gpu": "8"}


def pod(message: Any, *containers: Manifest, reason: str = "Unschedulable", **spec: Any) -> Manifest:
    """A pod that its scheduler says this of."""
    told = {"type": "PodScheduled", "status": "False", "reason": reason, "message": message}
    made = containers or ({"name": "vllm", "resources": {"requests": ENGINE}},)
    return {
        "metadata": {"name": "chat-0", "namespace": "serving"},
        "spec": {"containers": list(made), **spec},
        "status": {"phase": "Pending", "conditions": [told]},
    }


def asking(**amounts: Any) -> Manifest:
    return {
        "name": "vllm",
        "resources": {
            "limits": {name.replace("__", "/").replace("_", "."): said for name, said in amounts.items()}
        },
    }


def fault(one: Manifest) -> PodFault:
    found = unplaced(one)
    assert found is not None
    return found


GPU, CPU, MEMORY = "Insufficient nvidia.com/gpu", "Insufficient cpu", "Insufficient memory"


@pytest.mark.parametrize(
    ("message", "reason", "words"),
    [
        (
            f"0/8 nodes are available: 2 {GPU}, 8 {CPU}, 8 {MEMORY}.",
            "Unschedulable",
            "206 cpu and 1500Gi memory,",
        ),
        (f"0/8 nodes are available: 8 {GPU}.", "GpuMissing", "asks for 8 nvidia.com/gpu,"),
        (f"0/8 nodes are available: 2 {GPU}, 6 {CPU}.", "GpuMissing", "asks for 8 nvidia.com/gpu,"),
        (f"0/8 nodes are available: 8 {GPU}, 6 {CPU}.", "GpuMissing", "asks for 8 nvidia.com/gpu,"),
        (f"0/8 nodes are available: 8 {GPU}, 8 {CPU}.", "Unschedulable", "206 cpu and 8 nvidia.com/gpu,"),
        (
            f"0/8 nodes are available: 4 {GPU}, 4 {CPU}, 4 {MEMORY}.",
            "Unschedulable",
            "no node can take pod chat-0",
        ),
        (
            f"0/8 nodes are available: 2 {GPU}, 3 {CPU}, 5 node(s) had untolerated taint {{gpu: yes}}.",
            "Unschedulable",
            "asks for 206 cpu,",
        ),
        (
            f"0/8 nodes are available: 3 {GPU}, 5 node(s) didn't match Pod's node affinity/selector.",
            "GpuMissing",
            "no node that otherwise fits",
        ),
        (f"0/8 nodes are available: 3 {GPU}, 8 Too many pods.", "Unschedulable", "room for one more pod"),
        (f"0/3 nodes are unavailable: 3 {GPU}.", "GpuMissing", "asks for 8 nvidia.com/gpu,"),
        (f"nodes are unavailable: 1 {CPU}, 2 {GPU}", "Unschedulable", "no node can take"),
        (
            "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector.",
            "Unschedulable",
            "affinity",
        ),
        ("0/3 nodes are available: 3 Insufficient rdma/hca_shared.", "Unschedulable", "rdma/hca_shared"),
        ("pod group is not ready, 1 Pending, 2 minAvailable", "Unschedulable", "pod group is not ready"),
        ("no nodes available to schedule pods", "Unschedulable", "no nodes available"),
        ("", "Unschedulable", "gives no reason"),
        (None, "Unschedulable", "gives no reason"),
    ],
)
def test_what_lacks_wherever_the_pod_fits_otherwise_is_named(message: Any, reason: str, words: str) -> None:
    found = fault(pod(message))
    assert (found.reason, found.lasting) == (reason, True)
    assert words in found.text
    assert found.waits_for
    assert found.waits_for not in found.text or reason != "Unschedulable" or "asks for" in found.text


@pytest.mark.parametrize(
    "resource", ["nvidia.com/gpumem", "nvidia.com/mig-1g.10gb", "amd.com/gpu", "habana.ai/gaudi"]
)
@pytest.mark.parametrize("amount", ["8k", 8000, "8e3", "8000"])
def test_an_amount_is_told_as_kubernetes_writes_it(resource: str, amount: Any) -> None:
    container = {"name": "vllm", "resources": {"limits": {resource: amount}}}
    found = fault(pod(f"0/3 nodes are available: 3 Insufficient {resource}.", container))
    assert found.reason is Reason.GPU_MISSING
    assert f"asks for 8k {resource}" in found.text


@pytest.mark.parametrize("amount", ["much", "", "8 k", [], {"a": 1}, True])
def test_an_odd_amount_leaves_the_fault(amount: Any) -> None:
    container = {"name": "vllm", "resources": {"limits": {"nvidia.com/gpu": amount}}}
    found = fault(pod(f"0/3 nodes are available: 3 {GPU}.", container))
    assert found.reason is Reason.GPU_MISSING
    assert "asks for nvidia.com/gpu," in found.text


def test_amounts_of_containers_are_told_together() -> None:
    two = [{"name": name, "resources": {"requests": {"memory": "512Gi", "cpu": "1500m"}}} for name in "ab"]
    sidecar = {"name": "c", "restartPolicy": "Always", "resources": {"requests": {"cpu": "1"}}}
    first = {"name": "d", "resources": {"requests": {"memory": "2Ti"}}}
    one = pod(f"0/3 nodes are available: 3 {CPU}, 3 {MEMORY}.", *two, initContainers=[sidecar, first])
    assert "asks for 4 cpu and 2Ti memory" in fault(one).text


def test_what_a_pod_asks_as_a_whole_counts() -> None:
    one = pod(f"0/3 nodes are available: 3 {CPU}.", resources={"requests": {"cpu": "300"}})
    assert "asks for 300 cpu" in fault(one).text


def test_gates_are_named_and_stand_until_others_open_them() -> None:
    gates = [{"name": "kueue.x-k8s.io/admission"}, {"name": "example.com/licence"}]
    found = fault(pod("Scheduling is blocked", reason="SchedulingGated", schedulingGates=gates))
    assert (found.reason, found.lasting) == (Reason.SCHEDULING_GATED, True)
    assert "(example.com/licence, kueue.x-k8s.io/admission)" in found.text


def test_a_scheduler_that_says_nothing_is_named() -> None:
    one = pod("")
    one["status"] = {"phase": "Pending"}
    found = unseen({**one, "spec": {**one["spec"], "schedulerName": "volcano"}})
    assert found is not None
    assert found.reason is Reason.NOT_SCHEDULED
    assert "the scheduler volcano, which has reported nothing about it" in found.text
    assert unplaced(one) is None
    assert unseen(pod("")) is None, "it has said no"
    assert unseen({**one, "spec": {**one["spec"], "nodeName": "node-0"}}) is None


@pytest.mark.parametrize(
    "resource", ["cpu", "rdma/hca", "nvidia.com/hostdev", "example.com/fuse", "gpu", "intel.com/nic"]
)
def test_what_is_no_gpu_is_never_called_one(resource: str) -> None:
    assert not is_gpu(resource)


@pytest.mark.parametrize(
    "resource", ["nvidia.com/gpu", "nvidia.com/gpu.shared", "gpu.intel.com/i915", "google.com/tpu"]
)
def test_gpus_are_known_by_their_names(resource: str) -> None:
    assert is_gpu(resource)
