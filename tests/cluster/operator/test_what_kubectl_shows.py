"""What people see of services by kubectl: the reason at once, counts that are so, and each sentence once."""

from typing import Any

import pytest

from loadline_api import names
from loadline_api.names import OPERATOR_MANAGER
from testbed import api_callers
from testbed.api_callers import eventually
from testbed.cluster.bed import Bed
from testbed.cluster.clients import Object
from testbed.doubles.operators import LoneOperator, says, service, status_of

pytestmark = pytest.mark.cluster

LONG = "wide" * 63
COLUMNS = ["NAME", "READY", "REASON", "WORKLOAD", "DESIRED", "AVAILABLE", "PRIORITY", "CAPPED", "AGE"]


def theirs(name: str, namespace: str, *, kind: str = "Deployment", replicas: int = 8, **pod: Any) -> Object:
    labels = {"app": name[:63]}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "e", "image": "x"}], **pod}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": spec}


def on(name: str, *, kind: str = "Deployment") -> Object:
    return {"workloadRef": {"apiVersion": "apps/v1", "kind": kind, "name": name}}


def table(bed: Bed, namespace: str, *options: str) -> tuple[list[str], dict[str, dict[str, str]]]:
    """The columns' names, and the rows by the service's name, each cell by its column."""
    header, *rows = bed.kubectl("get", "llsvc", "-n", namespace, *options).splitlines()
    starts = {word: header.index(word) for word in header.split()}
    ends = [*list(starts.values())[1:], None]
    cells = [
        {word: row[at:end].strip() for (word, at), end in zip(starts.items(), ends, strict=True)}
        for row in rows
    ]
    return header.split(), {one["NAME"]: one for one in cells}


@pytest.mark.usefixtures("operator")
def test_the_table_tells_reason_workload_and_the_count_that_is_asked(harbour: Bed, namespace: str) -> None:
    harbour.apply([theirs("llm", namespace), service("mine", namespace=namespace, **on("llm"))])
    harbour.apply([theirs("held", namespace, replicas=3, nodeSelector={"planet": "mars"})])
    harbour.apply([service("held", namespace=namespace, **on("held"), replicas=1)])
    harbour.apply([service("own", namespace=namespace, replicas=2)])

    def shown() -> None:
        columns, rows = table(harbour, namespace)
        assert columns == COLUMNS
        wanted = {
            "mine": ("True", "AsDeclared", "Deployment/llm", "8", "8"),
            "held": ("False", "Unschedulable", "Deployment/held", "3", ""),
            "own": ("True", "AsDeclared", "", "2", "2"),
        }
        cells = {name: tuple(row[column] for column in COLUMNS[1:6]) for name, row in rows.items()}
        cells["held"] = (*cells["held"][:4], cells["held"][4].strip("0"))
        assert cells == wanted

    eventually(shown)


@pytest.mark.usefixtures("operator")
def test_long_names_do_not_widen_the_table(harbour: Bed, namespace: str) -> None:
    harbour.apply([service("mine", namespace=namespace, **on(LONG, kind="StatefulSet"))])
    harbour.apply([service("own", namespace=namespace, model={"uri": f"hf://org/{LONG[:90]}"})])

    def shown() -> None:
        columns, rows = table(harbour, namespace, "-o", "wide")
        assert columns == [*COLUMNS[:8], "SLO", "MODEL", "AGE"]
        assert rows["mine"]["WORKLOAD"].startswith("StatefulSet/widewide")
        assert rows["own"]["MODEL"].startswith("hf://org/widewide")
        assert max(map(len, (rows["mine"]["WORKLOAD"], rows["own"]["MODEL"]))) <= 40

    eventually(shown)


def described(bed: Bed, name: str, namespace: str) -> list[str]:
    """The types of a service's conditions in the order in which they are shown."""
    text = bed.kubectl("describe", "llsvc", name, "-n", namespace)
    conditions = text.partition("Conditions:")[2].partition("Desired Replicas:")[0]
    return [line.split()[1] for line in conditions.splitlines() if line.strip().startswith("Type:")]


def test_a_description_begins_with_ready_and_says_each_sentence_once(
    harbour: Bed, operator: LoneOperator, namespace: str
) -> None:
    nowhere = {"spec": {"nodeSelector": {"planet": "mars"}}}
    harbour.apply([service("chat", namespace=namespace, template=nowhere, router={}, slo={"itlMs": 50})])
    eventually(lambda: says(harbour, "chat", "Ready", namespace=namespace, reason="Unschedulable"))
    assert described(harbour, "chat", namespace)[:3] == ["Ready", "WorkloadsReady", "RouterReady"]
    told = [
        one["message"] for one in status_of(harbour, name="chat", namespace=namespace)["conditions"].values()
    ]
    assert [text for text in told if any(text in other for other in told if other is not text)] == []


def test_conditions_that_an_older_version_wrote_come_into_order(
    harbour: Bed, operator: LoneOperator, namespace: str
) -> None:
    path = names.INFERENCE_SERVICES.path("chat", namespace=namespace)
    since = {"lastTransitionTime": "2026-01-01T00:00:00Z", "status": "False", "reason": "Progressing"}
    types = ("CapacityLimited", "PluginMissing", "PowerCapped", "Ready", "ScalingReady", "WorkloadsReady")
    head = {"apiVersion": names.API_VERSION, "kind": "InferenceService", "metadata": {"name": "chat"}}
    old = {**head, "status": {"conditions": [{"type": type, **since} for type in types]}}
    operator.stop()
    try:
        harbour.apply([service("chat", namespace=namespace)])
        before = api_callers.caller(harbour, names.OPERATOR_ACCOUNT)
        before.apply_status(path, old, manager=OPERATOR_MANAGER)
        before.http.close()
    finally:
        operator.start()
    eventually(lambda: says(harbour, "chat", "Ready", namespace=namespace, status="True"))
    assert described(harbour, "chat", namespace)[0] == "Ready"
