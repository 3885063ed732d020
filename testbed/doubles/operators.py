"""
The real operator as a process on a test bed, under the chart's account and RBAC.

Tests and benchmarks start it, stop it, kill it and ask it for what it serves. Beside it
are the few words in which they speak of services: a manifest to apply, the conditions
that came of it, and what the operator has sent to the API server since.
"""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx

from loadline_api import names
from testbed.cluster.bed import Bed
from testbed.cluster.clients import Object
from testbed.cluster.processes import Process

USER = f"system:serviceaccount:{names.SYSTEM_NAMESPACE}:{names.OPERATOR_ACCOUNT}"
WRITES = frozenset({"create", "update", "patch", "delete"})


class LoneOperator:
    """The operator's process, to be stopped and started, with the port that it serves."""

    def __init__(self, bed: Bed, *options: str) -> None:
        self._bed, self._options = bed, options
        self._identity = bed.identity(names.OPERATOR_ACCOUNT, names.SYSTEM_NAMESPACE)
        self._runs = 0
        self.process: Process | None = None
        self.url = ""

    def launch(self) -> None:
        """Start the process and learn its port."""
        self._runs += 1
        command = [sys.executable, "-m", "loadline_operator.main", "--metrics-port", "0", *self._options]
        command += ["--kubeconfig", str(self._identity.kubeconfig)]
        self.process = self._bed.spawn(f"operator-{self._runs}", command, environment=dict(os.environ))
        self.process.until(lambda: bool(self.logged("the operator listens")), timeout_s=60)
        self.url = f"http://127.0.0.1:{self.logged('the operator listens')[0]['port']}"

    def start(self) -> None:
        """Start the process and wait until it is ready."""
        self.launch()
        assert self.process is not None
        self.process.until(lambda: self.readiness()[0] == 200, timeout_s=60)

    def stop(self) -> int:
        """Ask it to end; the exit status."""
        assert self.process is not None
        return self.process.stop()

    def restart(self) -> None:
        """End it and start another."""
        self.stop()
        self.start()

    def readiness(self) -> tuple[int, str]:
        """What a readiness probe sees."""
        try:
            answer = httpx.get(f"{self.url}/readyz", timeout=5.0)
        except httpx.TransportError as error:
            return 0, str(error)
        return answer.status_code, answer.text.strip()

    def metric(self, series: str) -> float:
        """The value of one series, written as Prometheus does."""
        lines = httpx.get(f"{self.url}/metrics").text.splitlines()
        return next(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"{series} "))

    def journal(self) -> list[dict[str, Any]]:
        """The journal's entries."""
        return [json.loads(line) for line in httpx.get(f"{self.url}/v1/journal").text.splitlines()]

    def logged(self, sentence: str) -> list[dict[str, Any]]:
        """Lines of this run's log with that sentence."""
        assert self.process is not None
        lines = self.process.log.read_text().splitlines() if self.process.log.exists() else []
        entries = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        return [entry for entry in entries if entry["event"] == sentence]


def service(name: str, *, namespace: str = "default", **spec: Any) -> Object:
    """An InferenceService to apply; with a model unless it is attached."""
    whole = spec if "workloadRef" in spec else {"model": {"uri": "hf://org/llm"}, **spec}
    head = {"apiVersion": names.API_VERSION, "kind": names.INFERENCE_SERVICES.kind}
    return {**head, "metadata": {"name": name, "namespace": namespace}, "spec": whole}


def status_of(bed: Bed, *, name: str, namespace: str = "default") -> Object:
    """A service's status, its conditions by type."""
    found = dict(bed.client.get(names.INFERENCE_SERVICES.path(name, namespace=namespace)).get("status") or {})
    return {**found, "conditions": {one["type"]: one for one in found.get("conditions", ())}}


def says(bed: Bed, name: str, type: str, *, namespace: str = "default", **wanted: str) -> Object:
    """The condition of a service, which must have these values; AssertionError otherwise."""
    found: Object = status_of(bed, name=name, namespace=namespace)["conditions"].get(type, {})
    assert {key: found.get(key) for key in wanted} == wanted, found
    return found


def warnings_of(bed: Bed, *, name: str, namespace: str) -> set[str]:
    """Reasons of the Warning Events about the objects of that name."""
    path = f"/api/v1/namespaces/{namespace}/events"
    found = bed.client.get(path, fieldSelector=f"involvedObject.name={name}")["items"]
    return {one["reason"] for one in found if one["type"] == "Warning"}


def lines_of(bed: Bed) -> int:
    """How long the audit log is, to count from there."""
    assert bed.audit_log is not None
    return len(bed.audit_log.read_text().splitlines())


def written(bed: Bed, since: int, *, user: str = USER) -> list[tuple[str, str, int]]:
    """What the operator has sent to change anything, with each answer's code, from a line of the log on."""
    assert bed.audit_log is not None
    entries = (json.loads(line) for line in bed.audit_log.read_text().splitlines()[since:])
    return [
        (one["verb"], one["requestURI"], one.get("responseStatus", {}).get("code", 0))
        for one in entries
        if one["user"]["username"] == user and one["verb"] in WRITES
    ]


def forbidden(bed: Bed) -> set[tuple[str, str]]:
    """Verbs and resources that the operator was always refused, so that it has no right to them.

    An API server that has just started refuses everything for a moment.
    """
    assert bed.audit_log is not None
    decided: dict[tuple[str, str], set[str]] = {}
    for one in map(json.loads, bed.audit_log.read_text().splitlines()):
        if one["user"]["username"] == USER and "objectRef" in one:
            about = one["objectRef"]
            what = "/".join(filter(None, (about["resource"], about.get("subresource"))))
            decision = one.get("annotations", {}).get("authorization.k8s.io/decision", "")
            decided.setdefault((one["verb"], what), set()).add(decision)
    return {what for what, decisions in decided.items() if decisions == {"forbid"}}


def pods_of(bed: Bed, *, name: str, namespace: str = "default", pools: Sequence[str] = ()) -> list[Object]:
    """A service's pods, those of some pools if told, that aren't being deleted."""
    selector = f"{names.SERVICE_LABEL}={name}"
    if pools:
        selector += f",{names.POOL_LABEL} in ({','.join(pools)})"
    found = bed.client.get(f"/api/v1/namespaces/{namespace}/pods", labelSelector=selector)["items"]
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def autoscaler(
    namespace: str, target: tuple[str, str], *, least: int, most: int, name: str = "auto", of: str = "chat"
) -> Object:
    """A HorizontalPodAutoscaler of the object `of` of this API version and kind.

    Its metric is one that nobody serves: its bounds are all it has.
    """
    api_version, kind = target
    cpu = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}
    spec = {
        "scaleTargetRef": {"apiVersion": api_version, "kind": kind, "name": of},
        "minReplicas": least,
        "maxReplicas": most,
        "metrics": [{"type": "Resource", "resource": cpu}],
    }
    head = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler"}
    return {**head, "metadata": {"name": name, "namespace": namespace}, "spec": spec}


@contextmanager
def own_namespace(bed: Bed, name: str) -> Iterator[str]:
    """A namespace while the block lasts; what is in it goes with it, services first."""
    bed.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}])
    yield name
    for one in bed.client.get(names.INFERENCE_SERVICES.path(namespace=name))["items"]:
        bed.client.delete(names.INFERENCE_SERVICES.path(one["metadata"]["name"], namespace=name))
    bed.client.delete(f"/api/v1/namespaces/{name}")
