"""Fake GPUs are offered, given and taken as real ones are, and pynvml in a pod sees its own."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from loadline_agent.workloads import pod_resources
from testbed.cluster.clients import Object
from testbed.cluster.errors import KubectlFailed
from testbed.cluster.gpus import RUNTIME_CLASS, Gpus
from testbed.cluster.node_beds import NodeBed
from testbed.cluster.waits import eventually
from testbed.cluster.workloads import Namespace, pod

SEEN = """
import pynvml as p, time
p.nvmlInit()
handles = map(p.nvmlDeviceGetHandleByIndex, range(p.nvmlDeviceGetCount()))
print(*map(p.nvmlDeviceGetUUID, handles), flush=True)
time.sleep(1000)
"""
PYTHON = sys.executable
FOLDERS = sorted(
    {"/usr", "/lib", "/lib64", *(f"/{Path(os.path.realpath(p)).parts[1]}" for p in (PYTHON, sys.prefix))}
)


def asks(count: int) -> Object:
    return {"resources": {"limits": {"nvidia.com/gpu": str(count)}}}


def with_python() -> tuple[list[Object], list[Object]]:
    """This very Python in a pod: volumes and mounts of the folders in which it lies."""
    there = [folder for folder in FOLDERS if Path(folder).is_dir()]
    volumes = [{"name": f"f{n}", "hostPath": {"path": folder}} for n, folder in enumerate(there)]
    mounts = [{"name": f"f{n}", "mountPath": folder, "readOnly": True} for n, folder in enumerate(there)]
    return volumes, mounts


def seen_by(space: Namespace, name: str, *, container: Object, **spec: object) -> list[str]:
    """The UUIDs that pynvml lists in a pod."""
    volumes, mounts = with_python()
    command = f"exec {PYTHON} -c '{SEEN}'"
    space.run(name, command, container={"volumeMounts": mounts, **container}, volumes=volumes, **spec)
    assert eventually(lambda: bool(space.kubectl("logs", name)))
    return space.kubectl("logs", name).split()


def test_the_node_offers_its_gpus(node_bed: NodeBed, gpus: Gpus) -> None:
    status = node_bed.client.get(f"/api/v1/nodes/{node_bed.node.name}")["status"]
    assert status["capacity"]["nvidia.com/gpu"] == status["allocatable"]["nvidia.com/gpu"] == "4"


def test_a_pod_is_told_which_gpus_are_its_own(space: Namespace, gpus: Gpus) -> None:
    space.run("one", "sleep 1000", container=asks(1))
    space.run("two", "sleep 1000", container=asks(2))
    given = [space.exec(name, "echo $NVIDIA_VISIBLE_DEVICES").split(",") for name in ("one", "two")]
    assert [len(uuids) for uuids in given] == [1, 2]
    assert len({*given[0], *given[1]}) == 3
    assert {*given[0], *given[1]} <= set(gpus.board.uuids(0))


def test_pynvml_in_a_pod_sees_those_alone(space: Namespace, gpus: Gpus) -> None:
    seen = seen_by(space, "two", container=asks(2))
    assert set(seen) == set(space.exec("two", "echo $NVIDIA_VISIBLE_DEVICES").split(","))
    assert len(seen) == 2


def test_a_pod_of_the_runtime_class_sees_all(space: Namespace, gpus: Gpus) -> None:
    """As an agent's does, which asks for none."""
    everything = {"env": [{"name": "NVIDIA_VISIBLE_DEVICES", "value": "all"}]}
    seen = seen_by(space, "agent", container=everything, runtimeClassName=RUNTIME_CLASS)
    assert seen == list(gpus.board.uuids(0))


def test_a_pod_of_neither_sees_no_driver(space: Namespace, gpus: Gpus) -> None:
    space.run("plain", "sleep 1000")
    with pytest.raises(KubectlFailed, match="No such file"):
        space.exec("plain", "ls /run/fakegpu")


def test_a_pod_for_which_none_is_left_waits(space: Namespace, gpus: Gpus) -> None:
    space.run("three", "sleep 1000", container=asks(3))
    space.apply(pod("late", "sleep 1000", container=asks(2)))
    why = "jsonpath={.status.conditions[?(@.type=='PodScheduled')].message}"
    assert eventually(lambda: "Insufficient nvidia.com/gpu" in space.kubectl("get", "pod", "late", "-o", why))
    space.kubectl("delete", "pod", "three")
    space.wait("wait", "pod/late", "--for=condition=Ready")


async def test_the_agent_learns_which_pod_has_which_gpu(
    node_bed: NodeBed, space: Namespace, gpus: Gpus
) -> None:
    await asyncio.to_thread(space.run, "one", "sleep 1000", container=asks(1))
    known = await pod_resources.ask(node_bed.node.pod_resources)
    told = await asyncio.to_thread(space.exec, "one", "echo $NVIDIA_VISIBLE_DEVICES")
    assert list(known[f"{space.name}/one"]) == [told]


def test_a_lost_gpu_is_no_longer_offered(gpus: Gpus) -> None:
    gpus.board.lose(0, 3)
    assert eventually(lambda: gpus.allocatable() == 3)
    gpus.board.heal(0, 3)
    assert eventually(lambda: gpus.allocatable() == 4)


def test_gpus_are_given_after_a_restart_of_the_kubelet(
    node_bed: NodeBed, space: Namespace, gpus: Gpus
) -> None:
    space.run("before", "sleep 1000", container=asks(1))
    node_bed.node.restart_kubelet()
    assert eventually(lambda: gpus.allocatable() == 4)
    space.run("after", "sleep 1000", container=asks(3))
    first, rest = (space.exec(name, "echo $NVIDIA_VISIBLE_DEVICES") for name in ("before", "after"))
    assert first not in rest.split(",")
