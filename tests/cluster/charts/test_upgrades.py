"""From the first chart to this one and back: definitions follow, objects stay."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from demos.serving.helms import Helm, HelmFailed
from loadline_api import generate, names
from testbed import api_callers
from testbed.chart_hooks import Hooks
from testbed.cluster.bed import Bed
from testbed.cluster.clients import Object


def test_an_upgrade_brings_new_fields_and_loses_no_object(
    helm: Helm,
    hooks: Hooks,
    old: str,
    new: str,
    quay: Bed,
    fields: Callable[[str], set[str]],
    row: Callable[..., Object],
    service: Callable[[], Object],
) -> None:
    helm("install", "loadline", old, "--create-namespace")
    assert "engine" not in fields("inferenceservices")
    domain, chat = row(), service()
    helm("upgrade", "loadline", new)
    assert "engine" in fields("inferenceservices")
    assert hooks.output["crds"].count("updated") >= 1
    assert quay.client.get(names.POWER_DOMAINS.path("row-a"))["metadata"]["uid"] == domain["metadata"]["uid"]
    there = quay.client.get(names.INFERENCE_SERVICES.path("chat", namespace="default"))
    assert there["metadata"]["uid"] == chat["metadata"]["uid"]


def test_after_the_upgrade_no_release_owns_the_definitions(
    helm: Helm, hooks: Hooks, old: str, new: str, definition: Callable[[str], Object]
) -> None:
    helm("install", "loadline", old, "--create-namespace")
    assert definition("powerdomains")["metadata"]["annotations"]["meta.helm.sh/release-name"] == "loadline"
    helm("upgrade", "loadline", new)
    assert definition("powerdomains")["metadata"]["annotations"] == generate.KEPT


def test_an_upgrade_leaves_policies_and_choices_as_they_were(
    helm: Helm, hooks: Hooks, old: str, new: str, quay: Bed
) -> None:
    chosen = "policies.power.overrides.settings.threshold1Percent=75"
    helm("install", "loadline", old, "--create-namespace", "--set", chosen)
    helm("upgrade", "loadline", new, "--reset-then-reuse-values")
    path = f"/api/v1/namespaces/{names.SYSTEM_NAMESPACE}/configmaps/{names.DEFAULT_POWER_POLICY}"
    assert "threshold1Percent: 75" in quay.client.get(path)["data"][names.POLICY_KEY]


def test_the_values_of_the_old_chart_alone_are_refused_by_name(
    helm: Helm, hooks: Hooks, old: str, new: str
) -> None:
    helm("install", "loadline", old, "--create-namespace")
    with pytest.raises(HelmFailed) as refused:
        helm("upgrade", "loadline", new, "--reuse-values")
    assert "missing properties" in str(refused.value)
    assert "networkPolicy" in str(refused.value)


def test_an_upgrade_whose_hook_can_not_run_changes_nothing(
    helm: Helm, old: str, new: str, quay: Bed, fields: Callable[[str], set[str]]
) -> None:
    helm("install", "loadline", old, "--create-namespace")
    path = f"/apis/apps/v1/namespaces/{names.SYSTEM_NAMESPACE}/deployments/{names.OPERATOR_ACCOUNT}"
    before = quay.client.get(path)["metadata"]["generation"]
    with pytest.raises(HelmFailed) as refused:
        helm("upgrade", "loadline", new, "--timeout", "3s")
    assert "pre-upgrade hooks failed" in str(refused.value)
    assert quay.client.get(path)["metadata"]["generation"] == before
    assert "engine" not in fields("inferenceservices")


def test_back_to_the_old_chart_and_forth_again(
    helm: Helm,
    hooks: Hooks,
    old: str,
    new: str,
    quay: Bed,
    fields: Callable[[str], set[str]],
    row: Callable[..., Object],
) -> None:
    helm("install", "loadline", old, "--create-namespace")
    helm("upgrade", "loadline", new)
    uid = row()["metadata"]["uid"]
    helm("rollback", "loadline", "1")
    assert "engine" not in fields("inferenceservices"), "that chart owns the definitions itself"
    helm("upgrade", "loadline", new)
    assert "engine" in fields("inferenceservices")
    assert quay.client.get(names.POWER_DOMAINS.path("row-a"))["metadata"]["uid"] == uid


def test_back_within_this_chart_leaves_the_definitions_alone(
    helm: Helm, hooks: Hooks, new: str, definition: Callable[[str], Object]
) -> None:
    helm("install", "loadline", new, "--create-namespace")
    helm("upgrade", "loadline", new, "--set", "operator.logLevel=debug")
    before = definition("inferenceservices")["metadata"]["resourceVersion"]
    helm("rollback", "loadline", "1")
    assert definition("inferenceservices")["metadata"]["resourceVersion"] == before


def test_the_same_chart_again_restarts_nothing(helm: Helm, hooks: Hooks, new: str, quay: Bed) -> None:
    helm("install", "loadline", new, "--create-namespace")
    workloads = [
        f"/apis/apps/v1/namespaces/{names.SYSTEM_NAMESPACE}/{plural}/{name}"
        for plural, name in (("deployments", names.OPERATOR_ACCOUNT), ("daemonsets", names.AGENT_ACCOUNT))
    ]
    before = [quay.client.get(path)["metadata"]["generation"] for path in workloads]
    helm("upgrade", "loadline", new, "--set", "monitoring.serviceMonitor.interval=10s")
    assert [quay.client.get(path)["metadata"]["generation"] for path in workloads] == before


def test_no_pod_that_serves_is_replaced_by_an_upgrade(
    helm: Helm, hooks: Hooks, new: str, quay: Bed, service: Callable[[], Object]
) -> None:
    helm("install", "loadline", new, "--create-namespace")
    chat = service()
    as_the_first_operator(quay, chat)
    before = pods(quay)
    account = quay.identity(names.OPERATOR_ACCOUNT, names.SYSTEM_NAMESPACE)
    command = [sys.executable, "-m", "loadline_operator.main", "--metrics-port", "0"]
    quay.spawn("operator", [*command, "--kubeconfig", str(account.kubeconfig)], environment=dict(os.environ))
    path = names.INFERENCE_SERVICES.path("chat", namespace="default")
    api_callers.eventually(lambda: url_of(quay.client.get(path)), patience_s=60.0)
    api_callers.eventually(lambda: same(quay.client.get(DEPLOYMENT)), patience_s=20.0)
    assert pods(quay) == before


DEPLOYMENT = "/apis/apps/v1/namespaces/default/deployments/chat"
FIRST = Path(__file__).parent / "old" / "deployment.yaml"


def as_the_first_operator(bed: Bed, service: Object) -> None:
    """What the operator of the first chart left: a Deployment whose pods run, and a status."""
    operator = api_callers.caller(bed, names.OPERATOR_ACCOUNT)
    manifest = yaml.safe_load(FIRST.read_text().replace("uid: UID", f"uid: {service['metadata']['uid']}"))
    operator.apply(DEPLOYMENT, manifest, manager=names.OPERATOR_MANAGER)
    head = {key: service[key] for key in ("apiVersion", "kind")}
    status = {"observedGeneration": service["metadata"]["generation"], "replicas": 1, "readyReplicas": 1}
    path = names.INFERENCE_SERVICES.path("chat", namespace="default")
    operator.apply_status(path, {**head, "status": status}, manager=names.OPERATOR_MANAGER)
    operator.http.close()
    api_callers.eventually(lambda: same(bed.client.get(DEPLOYMENT)))


def same(deployment: Object) -> None:
    """The Deployment has rolled out: every pod is of its template, and ready."""
    status = deployment["status"]
    assert status.get("observedGeneration") == deployment["metadata"]["generation"]
    assert status.get("updatedReplicas") == status.get("readyReplicas") == status.get("replicas") == 1


def url_of(service: Object) -> None:
    """The operator of this version has told of the service."""
    assert service["status"].get("url"), service["status"]


def pods(bed: Bed) -> set[str]:
    """The service's pods."""
    listed = bed.client.get("/api/v1/namespaces/default/pods", labelSelector=f"{names.SERVICE_LABEL}=chat")
    return {pod["metadata"]["uid"] for pod in listed["items"] if "deletionTimestamp" not in pod["metadata"]}
