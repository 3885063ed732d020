"""Kinds of other projects come and go while the operator runs; it uses them while they are there."""

from typing import Any

import pytest

from loadline_api.api_errors import NotFound, by_status
from loadline_operator.kube.kinds import LEADER_WORKER_SETS, POD_MONITORS, Kind
from testbed.api_callers import eventually
from testbed.cluster.bed import Bed
from testbed.cluster.clients import Object
from testbed.cluster.errors import ApiError
from testbed.doubles.operators import LoneOperator, lines_of, says, service, written

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("operator")]

KSERVE = Kind(
    group="serving.kserve.io", version="v1beta1", plural="inferenceservices", kind="InferenceService"
)


def definition(kind: Kind, *, refuses: str = "") -> Object:
    """A CustomResourceDefinition that takes anything, or refuses everything in these words."""
    anything: Object = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    if refuses:
        anything["x-kubernetes-validations"] = [{"rule": "false", "message": refuses}]
    scale = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{kind.plural}.{kind.group}",
            "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"},
        },
        "spec": {
            "group": kind.group,
            "scope": "Namespaced",
            "names": {"plural": kind.plural, "kind": kind.kind, "singular": kind.kind.lower()},
            "versions": [
                {
                    "name": kind.version,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": anything},
                    "subresources": {"status": {}, "scale": scale},
                }
            ],
        },
    }


def uninstall(bed: Bed, kind: Kind) -> None:
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{kind.plural}.{kind.group}"
    bed.client.delete(path)
    eventually(lambda: not_served(bed, kind))


def not_served(bed: Bed, kind: Kind) -> None:
    try:
        bed.client.get(kind.path())
    except ApiError as error:
        assert error.code == 404
        return
    raise AssertionError(f"{kind.plural} are still served")


def objects(bed: Bed, kind: Kind, namespace: str) -> list[str]:
    return [one["metadata"]["name"] for one in bed.client.get(kind.path(namespace=namespace))["items"]]


def are(found: Any, wanted: Any) -> None:
    assert found == wanted


def test_groups_of_nodes_wait_for_the_api_that_makes_them(
    harbour: Bed, operator: LoneOperator, namespace: str
) -> None:
    spread = {"tensor": 8, "pipeline": 2, "nodes": 2}
    harbour.apply([service("wide", namespace=namespace, parallelism=spread)])
    eventually(lambda: says(harbour, "wide", "Ready", namespace=namespace, reason="ApiMissing"))
    text = says(harbour, "wide", "Ready", namespace=namespace, status="False")["message"]
    assert "install LeaderWorkerSet or set nodes to 1" in text
    harbour.apply([definition(LEADER_WORKER_SETS)])
    eventually(lambda: are(objects(harbour, LEADER_WORKER_SETS, namespace), ["wide"]))
    eventually(lambda: says(harbour, "wide", "Ready", namespace=namespace, reason="Progressing"))
    _roll_out(harbour, namespace, "wide")
    eventually(lambda: says(harbour, "wide", "Ready", namespace=namespace, status="True"))
    uninstall(harbour, LEADER_WORKER_SETS)
    eventually(lambda: says(harbour, "wide", "Ready", namespace=namespace, reason="ApiMissing"))
    assert operator.readiness() == (200, "ok")
    assert operator.process is not None
    assert operator.process.running
    harbour.apply([definition(LEADER_WORKER_SETS)])
    eventually(lambda: are(objects(harbour, LEADER_WORKER_SETS, namespace), ["wide"]))
    uninstall(harbour, LEADER_WORKER_SETS)


def _roll_out(bed: Bed, namespace: str, name: str) -> None:
    """What LeaderWorkerSet's own controller would write."""
    path = f"{LEADER_WORKER_SETS.path(namespace=namespace)}/{name}"
    counts = {"replicas": 1, "readyReplicas": 1, "updatedReplicas": 1, "observedGeneration": 99}
    bed.client.patch(f"{path}/status", {"status": counts})


def test_monitors_are_made_once_somebody_reads_them(
    harbour: Bed, operator: LoneOperator, namespace: str
) -> None:
    harbour.apply([service("chat", namespace=namespace)])
    eventually(lambda: says(harbour, "chat", "Ready", namespace=namespace, status="True"))
    harbour.apply([definition(POD_MONITORS)])
    eventually(lambda: are(bool(objects(harbour, POD_MONITORS, namespace)), True))
    failed = operator.metric('loadline_operator_reconciles_total{loop="services",result="failed"}')
    since = lines_of(harbour)
    uninstall(harbour, POD_MONITORS)
    eventually(lambda: says(harbour, "chat", "Ready", namespace=namespace, status="True"))
    refused = [code for _, _, code in written(harbour, since) if code >= 400]
    assert set(refused) <= {403, 404}, "while a definition is removed, the API server forbids new objects"
    assert refused.count(404) <= 1, "once a kind is gone, it is asked for once more at most"
    assert {by_status(code) for code in refused} <= {NotFound}
    assert operator.metric('loadline_operator_reconciles_total{loop="services",result="failed"}') == failed
    assert operator.readiness() == (200, "ok")


def test_a_monitor_that_is_refused_is_told_and_does_no_harm(harbour: Bed, namespace: str) -> None:
    harbour.apply([definition(POD_MONITORS, refuses="no monitors here")])
    harbour.apply([service("chat", namespace=namespace)])
    eventually(lambda: tells(harbour, namespace, "1 of 1 replicas are ready; PodMonitor chat was refused"))
    uninstall(harbour, POD_MONITORS)
    eventually(lambda: tells(harbour, namespace, "1 of 1 replicas are ready"))


def tells(bed: Bed, namespace: str, words: str) -> None:
    text: str = says(bed, "chat", "Ready", namespace=namespace, status="True")["message"]
    assert text.partition(":")[0] == words


def test_a_restart_asks_which_kinds_are_served_before_it_judges(
    harbour: Bed, operator: LoneOperator, namespace: str
) -> None:
    harbour.apply([definition(LEADER_WORKER_SETS)])
    spread = {"tensor": 8, "pipeline": 2, "nodes": 2}
    harbour.apply([service("wide", namespace=namespace, parallelism=spread)])
    eventually(lambda: are(objects(harbour, LEADER_WORKER_SETS, namespace), ["wide"]))
    _roll_out(harbour, namespace, "wide")
    eventually(lambda: says(harbour, "wide", "Ready", namespace=namespace, status="True"))
    since = lines_of(harbour)
    operator.restart()
    eventually(lambda: are(operator.metric(WORKED) > 0, True))
    assert [one for one in written(harbour, since) if namespace in one[1]] == []
    uninstall(harbour, LEADER_WORKER_SETS)


WORKED = 'loadline_operator_reconciles_total{loop="services",result="ok"}'


def test_a_workload_of_another_project_is_attached_to_when_its_api_comes(
    harbour: Bed, operator: LoneOperator, namespace: str
) -> None:
    ref = {"apiVersion": KSERVE.api_version, "kind": KSERVE.kind, "name": "theirs"}
    harbour.apply([service("mine", namespace=namespace, workloadRef=ref)])
    eventually(lambda: says(harbour, "mine", "Attached", namespace=namespace, reason="ApiMissing"))
    harbour.apply([definition(KSERVE)])
    eventually(lambda: says(harbour, "mine", "Attached", namespace=namespace, reason="NoWorkload"))
    head = {"apiVersion": KSERVE.api_version, "kind": KSERVE.kind}
    theirs = {**head, "metadata": {"name": "theirs", "namespace": namespace}, "spec": {"predictor": {}}}
    harbour.apply([theirs])
    eventually(lambda: says(harbour, "mine", "Attached", namespace=namespace, status="True"))
    ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    harbour.client.patch(f"{KSERVE.path(namespace=namespace)}/theirs/status", ready)
    eventually(lambda: says(harbour, "mine", "Ready", namespace=namespace, status="True"))
    harbour.client.delete(f"{KSERVE.path(namespace=namespace)}/theirs")
    eventually(lambda: says(harbour, "mine", "Attached", namespace=namespace, reason="NoWorkload"))
    uninstall(harbour, KSERVE)
    eventually(lambda: says(harbour, "mine", "Attached", namespace=namespace, reason="ApiMissing"))
    assert operator.readiness() == (200, "ok")
