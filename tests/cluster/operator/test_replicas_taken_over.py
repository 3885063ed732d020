"""Attaching loses nothing: a workload keeps its count until somebody asks for another."""

import json
from functools import partial
from typing import Any

import pytest

from loadline_api import names
from loadline_api.names import OPERATOR_MANAGER
from testbed.api_callers import eventually
from testbed.cluster.bed import Bed
from testbed.cluster.clients import Object
from testbed.doubles.operators import LoneOperator, autoscaler, says, service, status_of

pytestmark = pytest.mark.cluster

OURS = (names.API_VERSION, names.INFERENCE_SERVICES.kind)
THEIRS = ("apps/v1", "Deployment")
BOUNDS = {"minReplicas": 1, "maxReplicas": 10}
ROUND_S = 60.0
"""HPAs look every 15 s."""

KINDS = pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])


@pytest.fixture(autouse=True)
def running(operator: LoneOperator) -> LoneOperator:
    """The operator, which a test may stop and start."""
    return operator


def theirs(
    namespace: str, replicas: int | None, *, name: str = "chat", kind: str = "Deployment", **more: Any
) -> Object:
    """A workload as its owner writes it; its pods are nobody's concern here, so they wait at a gate."""
    labels = {"app": name}
    pod = {"containers": [{"name": "engine", "image": "theirs"}], "schedulingGates": [{"name": "test/none"}]}
    spec: Object = {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    head = {"apiVersion": "apps/v1", "kind": kind}
    return {
        **head,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {**spec, **({"replicas": replicas} if replicas is not None else {}), **more},
    }


def attached(namespace: str, *, name: str = "chat", kind: str = "Deployment", **spec: Any) -> Object:
    ref = {"apiVersion": "apps/v1", "kind": kind, "name": name}
    return service("chat", namespace=namespace, workloadRef=ref, **{"scaling": BOUNDS, **spec})


def path_of(namespace: str, *, name: str = "chat", kind: str = "Deployment") -> str:
    return f"/apis/apps/v1/namespaces/{namespace}/{kind.lower()}s/{name}"


def scale_of(namespace: str) -> str:
    return names.INFERENCE_SERVICES.path("chat", namespace=namespace, subresource="scale")


def asks(bed: Bed, path: str, replicas: int) -> None:
    assert bed.client.get(path)["spec"].get("replicas", 0) == replicas, bed.client.get(path)["spec"]


def settled(bed: Bed, namespace: str) -> None:
    """The operator has looked at the service as it is, and at its workload as that is."""
    found = bed.client.get(names.INFERENCE_SERVICES.path("chat", namespace=namespace))
    assert found.get("status", {}).get("observedGeneration") == found["metadata"]["generation"]


def shows(bed: Bed, namespace: str, replicas: int) -> None:
    """`/scale` of the service comes to tell this count, and that moves nothing."""
    eventually(lambda: asks(bed, scale_of(namespace), replicas))
    eventually(lambda: settled(bed, namespace))


def scaled(bed: Bed, namespace: str, replicas: int) -> None:
    bed.kubectl("scale", "llsvc/chat", f"--replicas={replicas}", "-n", namespace)


@pytest.mark.parametrize(
    ("kind", "count", "more"),
    [
        ("Deployment", 8, {}),
        ("Deployment", 1, {}),
        ("Deployment", 0, {}),
        ("Deployment", None, {}),
        ("Deployment", 40, {}),
        ("Deployment", 3, {"paused": True}),
        ("Deployment", 3, {"strategy": {"type": "Recreate"}, "minReadySeconds": 30}),
        ("StatefulSet", 8, {}),
        ("StatefulSet", None, {}),
        ("StatefulSet", 3, {"podManagementPolicy": "Parallel", "serviceName": "chat"}),
        ("StatefulSet", 3, {"updateStrategy": {"type": "OnDelete"}}),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else str(value),
)
def test_scale_tells_the_count_that_was_found_and_later_values_are_wishes(
    harbour: Bed, namespace: str, kind: str, count: int | None, more: dict[str, Any]
) -> None:
    path, found = path_of(namespace, kind=kind), 1 if count is None else count
    harbour.apply([theirs(namespace, count, kind=kind, **more), attached(namespace, kind=kind)])
    shows(harbour, namespace, found)
    before = harbour.client.get(path)
    noted = status_of(harbour, name="chat", namespace=namespace)["workload"]
    assert noted == {"uid": before["metadata"]["uid"], "replicas": found}
    assert before["metadata"]["generation"] == 1
    for wish in (9, 8, 1, 4):
        scaled(harbour, namespace, wish)
        eventually(partial(asks, harbour, path, wish))
    harbour.client.delete(path)
    eventually(lambda: says(harbour, "chat", "Attached", namespace=namespace, reason="NoWorkload"))
    harbour.apply([theirs(namespace, 5, kind=kind, **more)])
    shows(harbour, namespace, 5)
    assert harbour.client.get(path)["metadata"]["generation"] == 1
    harbour.client.delete(names.INFERENCE_SERVICES.path("chat", namespace=namespace))
    after = harbour.client.get(path)
    assert after["metadata"]["generation"] == 1
    assert not {"finalizers", "ownerReferences", "labels"} & after["metadata"].keys()
    assert OPERATOR_MANAGER not in {one["manager"] for one in after["metadata"]["managedFields"]}


@KINDS
def test_a_reference_that_moves_takes_the_other_count_over_and_leaves_the_first_alone(
    harbour: Bed, namespace: str, kind: str
) -> None:
    both = [theirs(namespace, 8, kind=kind), theirs(namespace, 3, name="next", kind=kind)]
    harbour.apply([*both, attached(namespace, kind=kind)])
    shows(harbour, namespace, 8)
    scaled(harbour, namespace, 7)
    eventually(lambda: asks(harbour, path_of(namespace, kind=kind), 7))
    harbour.apply([attached(namespace, name="next", kind=kind)])
    shows(harbour, namespace, 3)
    counts = {"chat": 7, "next": 3}
    for name, count in counts.items():
        asks(harbour, path_of(namespace, name=name, kind=kind), count)
    before = {name: harbour.client.get(path_of(namespace, name=name, kind=kind)) for name in counts}
    harbour.client.delete(names.INFERENCE_SERVICES.path("chat", namespace=namespace))
    harbour.apply([attached(namespace, kind=kind)])
    shows(harbour, namespace, 7)
    for name, was in before.items():
        there = harbour.client.get(path_of(namespace, name=name, kind=kind))
        assert (there["spec"], there["metadata"]["generation"]) == (
            was["spec"],
            was["metadata"]["generation"],
        )


MADE = pytest.mark.parametrize("way", ["create", "apply", "apply --server-side"])
"""Ways in which a service is made: each leaves other managed fields, or none, for `replicas`."""


@MADE
def test_however_a_service_was_made_nothing_moves_but_what_is_asked(
    harbour: Bed, namespace: str, way: str
) -> None:
    harbour.apply([theirs(namespace, 8)])
    manifest = json.dumps(attached(namespace))
    harbour.kubectl(*way.split(), "-f", "-", input=manifest)
    shows(harbour, namespace, 8)
    harbour.kubectl("scale", "deployment/chat", "--replicas=6", "-n", namespace)
    shows(harbour, namespace, 6)
    if way != "create":
        harbour.kubectl(*way.split(), "-f", "-", input=manifest)
    shows(harbour, namespace, 6)
    assert harbour.client.get(path_of(namespace))["metadata"]["generation"] == 2
    for wish in (9, 6, 1):
        scaled(harbour, namespace, wish)
        eventually(partial(asks, harbour, path_of(namespace), wish))
    patch = {"spec": {"replicas": 3}}
    harbour.client.patch(names.INFERENCE_SERVICES.path("chat", namespace=namespace), patch)
    eventually(lambda: asks(harbour, path_of(namespace), 3))
    scaled(harbour, namespace, 1)
    eventually(lambda: asks(harbour, path_of(namespace), 1))


@pytest.mark.parametrize("way", ["apply", "apply --server-side"])
def test_replicas_taken_out_of_a_manifest_leave_the_count_however_it_is_applied(
    harbour: Bed, namespace: str, way: str
) -> None:
    harbour.apply([theirs(namespace, 8)])
    harbour.kubectl(*way.split(), "-f", "-", input=json.dumps(attached(namespace, replicas=6)))
    eventually(lambda: asks(harbour, path_of(namespace), 6))
    eventually(lambda: settled(harbour, namespace))
    harbour.kubectl(*way.split(), "-f", "-", input=json.dumps(attached(namespace)))
    shows(harbour, namespace, 6)
    asks(harbour, path_of(namespace), 6)


def test_an_owner_who_moves_his_count_is_followed_until_somebody_asks(harbour: Bed, namespace: str) -> None:
    harbour.apply([theirs(namespace, 8), attached(namespace)])
    shows(harbour, namespace, 8)
    for count in (3, 1, 12):
        harbour.kubectl("scale", "deployment/chat", f"--replicas={count}", "-n", namespace)
        shows(harbour, namespace, count)
        asks(harbour, path_of(namespace), count)


def test_replicas_that_a_manifest_gives_are_a_wish_from_the_start(harbour: Bed, namespace: str) -> None:
    harbour.apply([theirs(namespace, 8), attached(namespace, replicas=1)])
    eventually(lambda: asks(harbour, path_of(namespace), 1))
    asks(harbour, scale_of(namespace), 1)


def test_an_autoscaler_that_is_handed_over_goes_on_from_the_count_that_it_left(
    harbour: Bed, namespace: str
) -> None:
    """Handed over as OtherScaler advises. The HPA sees no metrics here, so its bounds are all that acts."""
    harbour.apply([theirs(namespace, 2), autoscaler(namespace, THEIRS, least=8, most=10)])
    eventually(lambda: asks(harbour, path_of(namespace), 8), patience_s=ROUND_S)
    harbour.apply([attached(namespace)])
    eventually(lambda: says(harbour, "chat", "ScalingReady", namespace=namespace, reason="OtherScaler"))
    shows(harbour, namespace, 8)
    harbour.apply([autoscaler(namespace, THEIRS, least=9, most=10)])
    eventually(lambda: asks(harbour, path_of(namespace), 9), patience_s=ROUND_S)
    shows(harbour, namespace, 9)
    generation = harbour.client.get(path_of(namespace))["metadata"]["generation"]
    harbour.apply([autoscaler(namespace, OURS, least=2, most=10)])
    eventually(lambda: says(harbour, "chat", "ScalingReady", namespace=namespace, reason="NotAsked"))
    eventually(lambda: has_looked(harbour, namespace), patience_s=ROUND_S)
    assert harbour.client.get(path_of(namespace))["metadata"]["generation"] == generation
    harbour.apply([autoscaler(namespace, OURS, least=10, most=10)])
    eventually(lambda: asks(harbour, path_of(namespace), 10), patience_s=ROUND_S)


def has_looked(bed: Bed, namespace: str) -> None:
    """The HPA has read `/scale` of the service."""
    found = bed.client.get(f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers/auto")
    conditions = {one["type"]: one for one in found["status"].get("conditions", ())}
    assert conditions["AbleToScale"]["status"] == "True"
    assert found["spec"]["scaleTargetRef"]["kind"] == names.INFERENCE_SERVICES.kind
    assert found["status"].get("currentReplicas") == 9


def test_an_upgrade_moves_nothing(harbour: Bed, namespace: str, running: LoneOperator) -> None:
    """The version before noted nothing, and an HPA has counted from the default while none ran."""
    path = names.INFERENCE_SERVICES.path("chat", namespace=namespace)
    harbour.apply([theirs(namespace, 8), attached(namespace)])
    shows(harbour, namespace, 8)
    status = harbour.client.get(path)["status"]
    status.pop("workload", None)
    running.stop()
    harbour.client.delete(path)
    harbour.apply([attached(namespace), autoscaler(namespace, OURS, least=2, most=10)])
    harbour.client.patch(f"{path}/status", {"status": status}, fieldManager=OPERATOR_MANAGER)
    eventually(lambda: asks(harbour, scale_of(namespace), 2), patience_s=ROUND_S)
    running.start()
    shows(harbour, namespace, 8)
    assert harbour.client.get(path_of(namespace))["metadata"]["generation"] == 1


def test_an_operator_that_ended_between_write_and_note_goes_on_from_there(
    harbour: Bed, namespace: str, running: LoneOperator
) -> None:
    path = names.INFERENCE_SERVICES.path("chat", namespace=namespace)
    harbour.apply([theirs(namespace, 8), attached(namespace)])
    shows(harbour, namespace, 8)
    running.stop()
    harbour.kubectl("scale", "deployment/chat", "--replicas=5", "-n", namespace)
    harbour.client.patch(scale_of(namespace), {"spec": {"replicas": 5}}, fieldManager=OPERATOR_MANAGER)
    running.start()
    shows(harbour, namespace, 5)
    assert status_of(harbour, name="chat", namespace=namespace)["workload"]["replicas"] == 5
    eventually(lambda: settled_for_good(harbour, path))
    before = harbour.client.get(path)["metadata"]["resourceVersion"]
    running.restart()
    eventually(lambda: has_reconciled(running))
    assert harbour.client.get(path)["metadata"]["resourceVersion"] == before
    asks(harbour, path_of(namespace), 5)


def settled_for_good(bed: Bed, path: str) -> None:
    """The Deployment's controller has made all pods, so no more is to be told of them."""
    assert bed.client.get(path)["status"].get("replicas") == 5


def has_reconciled(running: LoneOperator) -> None:
    assert running.metric('loadline_operator_reconciles_total{loop="services",result="ok"}') > 0
    assert running.metric('loadline_operator_queue_objects{loop="services"}') == 0
