"""Eleven shapes of public manifests through all that may befall an attached service: no count moves unasked.

All at once in one namespace, so that each step costs one wait. `generation` tells that nothing moved
in between either: it counts every write of a spec.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from loadline_api import names
from testbed.api_callers import eventually
from testbed.cluster.bed import Bed
from testbed.cluster.clients import Object
from testbed.doubles.operators import LoneOperator, autoscaler, says, service

pytestmark = pytest.mark.cluster

OURS = (names.API_VERSION, names.INFERENCE_SERVICES.kind)
BOUNDS = {"minReplicas": 1, "maxReplicas": 50}
ROUND_S = 60.0
"""HPAs look every 15 s."""

GATED: Object = {
    "containers": [{"name": "engine", "image": "theirs"}],
    "schedulingGates": [{"name": "test/none"}],
}
"""A pod that is nobody's concern here, so it waits at a gate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A workload as its owner writes it; `count` None where the manifest leaves replicas out."""

    name: str
    kind: str = "Deployment"
    count: int | None = None
    spec: Object = field(default_factory=dict)
    pod: Object = field(default_factory=dict)

    @property
    def found(self) -> int:
        """The count that the API server gives it."""
        return 1 if self.count is None else self.count

    def path(self, namespace: str, *, name: str = "") -> str:
        return f"/apis/apps/v1/namespaces/{namespace}/{self.kind.lower()}s/{name or self.name}"

    def manifest(self, namespace: str, *, name: str = "", count: int | None = None) -> Object:
        name, count = name or self.name, self.count if count is None else count
        labels = {"app": name}
        spec = {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {**GATED, **self.pod}},
            **({"replicas": count} if count is not None else {}),
            **self.spec,
        }
        head = {"apiVersion": "apps/v1", "kind": self.kind}
        return {**head, "metadata": {"name": name, "namespace": namespace}, "spec": spec}

    def attached(self, namespace: str, *, name: str = "") -> Object:
        """A service of the shape's name on its workload, or on another one."""
        ref = {"apiVersion": "apps/v1", "kind": self.kind, "name": name or self.name}
        return service(self.name, namespace=namespace, workloadRef=ref, scaling=BOUNDS)


SIDECAR = {"name": "proxy", "image": "theirs", "restartPolicy": "Always"}
SHAPES = (
    Shape(name="eight", count=8),
    Shape(name="one", count=1),
    Shape(name="at-rest", count=0),
    Shape(name="left-out"),
    Shape(name="forty", count=40),
    Shape(name="paused", count=3, spec={"paused": True}),
    Shape(name="recreated", count=3, spec={"strategy": {"type": "Recreate"}, "minReadySeconds": 30}),
    Shape(name="with-sidecar", count=2, pod={"initContainers": [SIDECAR], "hostNetwork": True}),
    Shape(name="set", kind="StatefulSet", count=8),
    Shape(name="set-left-out", kind="StatefulSet"),
    Shape(
        name="set-at-once",
        kind="StatefulSet",
        count=3,
        spec={
            "podManagementPolicy": "Parallel",
            "serviceName": "chat",
            "updateStrategy": {"type": "OnDelete"},
        },
    ),
)


class Counts:
    """What the workloads' counts are to be, and what they are found to be after each step."""

    def __init__(self, bed: Bed, namespace: str) -> None:
        self._bed, self._namespace = bed, namespace
        self.steps, self.changed = 0, list[str]()

    def step(self, word: str, wanted: Callable[[Shape], int], *, generation: int, name: str = "") -> None:
        """Each shape's workload, or the other one of its kind, has this count and as many writes."""
        for shape in SHAPES:
            self.steps += 1
            there = self._bed.client.get(shape.path(self._namespace, name=f"{name}{shape.name}"))
            found = there["spec"].get("replicas", 0), there["metadata"]["generation"]
            if found[0] != wanted(shape) or found[1] > generation:
                self.changed.append(f"{word}: {shape.name} has {found}, wanted {wanted(shape)} {generation}")


def each(check: Callable[[Shape], object], *, patience_s: float = 20.0) -> None:
    """It comes to hold for every shape."""
    for shape in SHAPES:
        eventually(partial(check, shape), patience_s=patience_s)


def test_no_count_moves_unasked(
    harbour: Bed, namespace: str, operator: LoneOperator, record_property: Callable[[str, Any], None]
) -> None:
    counts = Counts(harbour, namespace)

    def scale(shape: Shape) -> int:
        path = names.INFERENCE_SERVICES.path(shape.name, namespace=namespace, subresource="scale")
        return int(harbour.client.get(path)["spec"].get("replicas", 0))

    def told(shape: Shape, count: int) -> None:
        assert scale(shape) == count
        says(harbour, shape.name, "ScalingReady", namespace=namespace, reason="NotAsked")
        found = harbour.client.get(names.INFERENCE_SERVICES.path(shape.name, namespace=namespace))
        assert found["status"]["observedGeneration"] == found["metadata"]["generation"]

    harbour.apply(shape.manifest(namespace) for shape in SHAPES)
    harbour.apply(shape.attached(namespace) for shape in SHAPES)
    each(lambda shape: told(shape, shape.found))
    counts.step("attached", lambda shape: shape.found, generation=1)

    harbour.apply(
        autoscaler(namespace, OURS, least=1, most=50, name=shape.name, of=shape.name) for shape in SHAPES
    )  # bounds that ask for nothing, and a metric that nobody serves
    each(lambda shape: has_looked(harbour, shape, namespace), patience_s=ROUND_S)
    counts.step("handed over", lambda shape: shape.found, generation=1)

    harbour.kubectl("delete", "hpa", "--all", "-n", namespace)
    harbour.kubectl("scale", "llsvc", "--all", "--replicas=1", "-n", namespace)
    each(lambda shape: has_count(harbour, shape, namespace, 1))
    counts.step("scaled to 1", lambda shape: 1, generation=2)

    harbour.apply(shape.manifest(namespace, name=f"next-{shape.name}", count=5) for shape in SHAPES)
    harbour.apply(shape.attached(namespace, name=f"next-{shape.name}") for shape in SHAPES)
    each(lambda shape: told(shape, 5))
    counts.step("left", lambda shape: 1, generation=2)
    counts.step("moved to", lambda shape: 5, generation=1, name="next-")

    for shape in SHAPES:
        harbour.client.delete(shape.path(namespace, name=f"next-{shape.name}"))
    each(lambda one: says(harbour, one.name, "Attached", namespace=namespace, reason="NoWorkload"))
    harbour.apply(shape.manifest(namespace, name=f"next-{shape.name}", count=7) for shape in SHAPES)
    each(lambda shape: told(shape, 7))
    counts.step("made anew", lambda shape: 7, generation=1, name="next-")

    harbour.kubectl("delete", "llsvc", "--all", "-n", namespace)
    counts.step("detached", lambda shape: 7, generation=1, name="next-")
    record_property("steps", counts.steps)
    record_property("changed", len(counts.changed))
    assert counts.changed == []
    assert counts.steps >= 60


def has_looked(bed: Bed, shape: Shape, namespace: str) -> None:
    """The HPA has read `/scale` of the service."""
    path = f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers/{shape.name}"
    found = bed.client.get(path)["status"]
    assert {one["type"]: one["status"] for one in found.get("conditions", ())}.get("AbleToScale") == "True"


def has_count(bed: Bed, shape: Shape, namespace: str, count: int) -> None:
    found = bed.client.get(shape.path(namespace))["spec"]
    assert found.get("replicas", 0) == count, found
