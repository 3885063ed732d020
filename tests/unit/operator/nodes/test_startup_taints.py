"""The start-up taint goes when this very node's agent tells of its GPUs, unless taints changed meanwhile."""

from typing import Any, cast

import pytest

from loadline_api.api_errors import NotFound
from loadline_api.names import STARTUP_TAINT
from loadline_operator.contexts import Context
from loadline_operator.kube.kinds import NODE_CAPACITIES, NODES, Key, Manifest
from loadline_operator.metrics import Metrics
from loadline_operator.nodes.startup_taints import StartupTaints, untaint
from testbed.agent_specs import agent_spec

OURS, THEIRS = {"key": STARTUP_TAINT, "effect": "NoSchedule"}, {"key": "theirs", "effect": "NoExecute"}


def node(*taints: Manifest, version: str = "1", uid: str = "uid-node") -> Manifest:
    metadata = {"name": "node-0", "uid": uid, "resourceVersion": version}
    return {"metadata": metadata, "spec": {"taints": list(taints)}}


def capacity(status: str = "True", *, version: str = "1", owner: str = "uid-node") -> Manifest:
    owners = [{"kind": "Node", "uid": owner}]
    metadata = {"name": "node-0", "uid": "u", "resourceVersion": version, "ownerReferences": owners}
    condition = {"type": "GpusReady", "status": status, "reason": "AsTold"}
    return {"metadata": metadata, "spec": agent_spec(), "status": {"conditions": [condition]}}


@pytest.fixture
def taints() -> StartupTaints:
    return StartupTaints(
        Context(applier=cast(Any, None), metrics=Metrics(), journal=cast(Any, None), system_namespace="s")
    )


@pytest.fixture
def added(taints: StartupTaints, monkeypatch: pytest.MonkeyPatch) -> list[Key]:
    """What is put on the worklist."""
    keys: list[Key] = []
    monkeypatch.setattr(taints.work_queue, "add", keys.append)
    return keys


def test_a_patch_takes_one_taint_and_tests_all() -> None:
    test, replace = untaint(node(OURS, THEIRS))
    assert test == {"op": "test", "path": "/spec/taints", "value": [OURS, THEIRS]}
    assert replace == {"op": "replace", "path": "/spec/taints", "value": [THEIRS]}
    assert untaint(node(THEIRS)) == []
    assert untaint({"metadata": {}, "spec": {}}) == []


@pytest.mark.parametrize("status", ["True", "False"])
def test_a_node_is_due_once_its_agent_knows_its_gpus(
    taints: StartupTaints, added: list[Key], status: str
) -> None:
    taints.see(NODES, node(OURS), False)
    taints.see(NODE_CAPACITIES, capacity("Unknown"), False)
    assert added == []
    taints.see(NODE_CAPACITIES, capacity(status, version="2"), False)
    assert added == [Key("", "node-0")]


def test_what_the_agent_of_a_former_node_left_proves_nothing(taints: StartupTaints, added: list[Key]) -> None:
    taints.see(NODE_CAPACITIES, capacity(owner="uid-of-a-former-node"), False)
    taints.see(NODES, node(OURS), False)
    assert added == []


def test_a_node_without_the_taint_is_nobodys_business(taints: StartupTaints, added: list[Key]) -> None:
    taints.see(NODES, node(THEIRS), False)
    taints.see(NODE_CAPACITIES, capacity(), False)
    taints.wake()
    assert added == []


class Leaving:
    """An API server from which the node goes between its reading and its patch."""

    async def get(self, *_: object) -> Manifest:
        return node(OURS)

    async def patch(self, *_: object) -> None:
        raise NotFound("gone", 404)


async def test_a_node_that_is_gone_before_its_patch_is_no_failure() -> None:
    context = Context(
        applier=cast(Any, Leaving()), metrics=Metrics(), journal=cast(Any, None), system_namespace="s"
    )
    taints = StartupTaints(context)
    taints.see(NODES, node(OURS), False)
    taints.see(NODE_CAPACITIES, capacity(), False)
    await taints.reconcile(Key("", "node-0"))
