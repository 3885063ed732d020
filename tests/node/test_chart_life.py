"""
The chart's life on a real node: installed, tested, enforcing, upgraded, removed.

One story is lived through once, and every test looks at a moment of it: the hooks are
real Jobs of the real image, the agent sets limits on (fake) GPUs, a service serves.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from demos.serving.clusters import Engine, ServingCluster
from loadline_api import names
from testbed import api_callers
from testbed.cluster.clients import Object

SERVICE = {
    "apiVersion": names.API_VERSION,
    "kind": "InferenceService",
    "metadata": {"name": "chat"},
    "spec": {"model": {"uri": "file:///models/tiny"}},
}
ROW = {
    "apiVersion": names.API_VERSION,
    "kind": "PowerDomain",
    "metadata": {"name": "row-a"},
    "spec": {
        "mode": "Enforce",
        "budgetWatts": 3650,
        "nodeSelector": {"matchLabels": {f"{names.NODE_RESTRICTION_PREFIX}row": "a"}},
        "hostWatts": {"max": 2600},
    },
}

THEIRS_PATH = "/apis/apps/v1/namespaces/default/deployments/theirs"
LABELS = {"app": "theirs"}
THEIRS = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "theirs", "namespace": "default"},
    "spec": {
        "replicas": 0,
        "selector": {"matchLabels": LABELS},
        "template": {
            "metadata": {"labels": LABELS},
            "spec": {"containers": [{"name": "engine", "image": "theirs"}]},
        },
    },
}
"""A workload of somebody else, at rest, to which a service attaches."""

ATTACHED = {
    "apiVersion": names.API_VERSION,
    "kind": "InferenceService",
    "metadata": {"name": "mine"},
    "spec": {
        "workloadRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "theirs"},
        "scaling": {"minReplicas": 1, "maxReplicas": 4},
    },
}

SURGE_WATTS, CALM_WATTS = 390.0, 60.0
"""Draws of a GPU of two: near the row's budget, where clocks are held back, and far below it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What was seen, moment by moment."""

    hooks_left: list[str]
    trial: str
    found: list[tuple[float, float]]
    armed: list[tuple[float, float]]
    upgraded: list[tuple[float, float]]
    released: list[tuple[float, float]]
    mode_left: str
    served_before: set[str]
    served_after: set[str]
    completed_after: bool
    theirs_before: Object
    theirs_after: Object
    left: list[str]


@pytest.fixture(scope="module")
def story() -> Iterator[Story]:
    """Install, test, enforce, upgrade, uninstall."""
    with ServingCluster(Engine.STANDIN, gpus=2) as cluster:
        cluster.install(tests={"service": "default/chat"})
        cluster.apply(SERVICE)
        chat = cluster.service("chat")
        chat.until("Ready", "True")
        trial = cluster.helm("test", "loadline", "--logs")
        found = limits(cluster)
        theirs = attached(cluster)
        hooks_left = named(cluster, "crds") + named(cluster, "test")
        cluster.apply(ROW)
        cluster.gpus.board.set_sensors(watts=SURGE_WATTS)
        api_callers.eventually(lambda: slowed(cluster), patience_s=90.0)
        armed, served = limits(cluster), engines(cluster)
        cluster.install(tests={"service": "default/chat"})
        upgraded = limits(cluster)
        cluster.gpus.board.set_sensors(watts=CALM_WATTS)
        cluster.helm("uninstall", "loadline")
        row = cluster.bed.client.get(names.POWER_DOMAINS.path("row-a"))
        api_callers.eventually(lambda: gone(cluster), patience_s=60.0)
        yield Story(
            hooks_left=hooks_left,
            trial=trial,
            found=found,
            armed=armed,
            upgraded=upgraded,
            released=limits(cluster),
            mode_left=row["spec"]["mode"],
            served_before=served,
            served_after=engines(cluster),
            completed_after=bool(chat.complete("hello")),
            theirs_before=theirs,
            theirs_after=cluster.bed.client.get(THEIRS_PATH),
            left=[
                name for component in ("operator", "agent", "release") for name in named(cluster, component)
            ],
        )


def test_helms_test_asked_the_operator_the_api_and_the_service(story: Story) -> None:
    assert "the operator is ready" in story.trial
    assert "the API server serves inferenceservices, powerdomains, nodecapacities" in story.trial
    assert re.search(r"http://chat.default:8000 completed \d+ tokens of chat in [\d.]+ s", story.trial)


def test_the_jobs_of_definitions_and_of_helms_test_are_gone(story: Story) -> None:
    assert story.hooks_left == []


def test_limits_were_in_force_before_the_removal(story: Story) -> None:
    assert any(mhz > 0 for _, mhz in story.armed)


def test_an_upgrade_of_the_same_wire_version_found_the_row_and_left_it_in_force(story: Story) -> None:
    """Its job fails where an armed agent publishes another version, or none."""
    assert any(mhz > 0 for _, mhz in story.upgraded)


def test_the_removal_gave_back_the_limits_that_were_found(story: Story) -> None:
    assert story.released == story.found
    assert story.mode_left == "Observe"


def test_nothing_of_loadline_runs_any_more(story: Story) -> None:
    assert story.left == []


def test_what_served_goes_on_serving(story: Story) -> None:
    assert story.served_after == story.served_before != set()
    assert story.completed_after


def test_an_attached_workload_is_as_it_was(story: Story) -> None:
    """Attached, through an upgrade, and after Loadline was removed: nobody has written to it."""
    assert story.theirs_after == story.theirs_before


def attached(cluster: ServingCluster) -> Object:
    """A workload of somebody else, as it is once its controller has looked; then a service attaches to it."""
    cluster.bed.apply([THEIRS])

    def looked() -> None:
        status = cluster.bed.client.get(THEIRS_PATH).get("status", {})
        assert {one["type"] for one in status.get("conditions", ())} == {"Available", "Progressing"}
        assert status.get("observedGeneration") == 1

    api_callers.eventually(looked, patience_s=60.0)
    before: Object = cluster.bed.client.get(THEIRS_PATH)
    cluster.apply(ATTACHED)
    cluster.service("mine").until("Attached", "True")
    return before


def limits(cluster: ServingCluster) -> list[tuple[float, float]]:
    """What the GPUs obey: watts and locked clock of each, 0 where none is locked."""
    board = cluster.gpus.board
    watts, clocks = board.enforced_watts().ravel(), board.locked_mhz().ravel()
    return [(float(w), float(mhz)) for w, mhz in zip(watts, clocks, strict=True)]


def slowed(cluster: ServingCluster) -> None:
    """The service's GPU is; the other draws for nobody that is known, and so is slowed last."""
    assert any(mhz > 0 for _, mhz in limits(cluster))


def engines(cluster: ServingCluster) -> set[str]:
    """The pods of the service."""
    selector = f"{names.SERVICE_LABEL}=chat"
    listed = cluster.bed.client.get("/api/v1/namespaces/default/pods", labelSelector=selector)
    return {pod["metadata"]["uid"] for pod in listed["items"]}


def named(cluster: ServingCluster, component: str) -> list[str]:
    """What there is of one of the chart's components."""
    selector = f"app.kubernetes.io/name=loadline,app.kubernetes.io/component={component}"
    kinds = "pods,jobs,deployments,daemonsets,serviceaccounts"
    told = cluster.bed.kubectl("get", kinds, "-n", names.SYSTEM_NAMESPACE, "-l", selector, "-o", "json")
    return [one["metadata"]["name"] for one in json.loads(told)["items"]]


def gone(cluster: ServingCluster) -> None:
    assert not named(cluster, "agent")
    assert not named(cluster, "operator")
