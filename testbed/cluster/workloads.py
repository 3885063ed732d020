"""
Small workloads that really run: busybox pods, a probed web server and its Service.

Builders of objects, and `Namespace`, which says in a test's words what is wanted on a
bed with a real node and what has come of it. Nothing here knows what it is for.
"""

import json
from collections.abc import Mapping

import httpx

from testbed.cluster import images
from testbed.cluster.bed import Bed
from testbed.cluster.clients import Object

SERVE = "echo serving; hostname >/www/index.html; exec httpd -f -p 8080 -h /www"
PORT = 8080


def pod(name: str, command: str, *, container: Mapping[str, object], **spec: object) -> Object:
    """A pod of one busybox container with a shell command; both specs can be added to."""
    main = {"name": "main", "image": images.BUSYBOX, "command": ["sh", "-c", command], **container}
    whole = {"containers": [main], "terminationGracePeriodSeconds": 0, "restartPolicy": "Never", **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": whole}


def deployment(name: str, *, replicas: int = 1, command: str = SERVE) -> Object:
    """A Deployment whose pods serve their host name, and are ready once they do."""
    container = {
        "name": "main",
        "image": images.BUSYBOX,
        "command": ["sh", "-c", command],
        "readinessProbe": {"httpGet": {"path": "/index.html", "port": PORT}, "periodSeconds": 1},
    }
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": spec},
        },
    }


def service(name: str) -> Object:
    """The Service of such a Deployment, on port 80."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": PORT}]},
    }


def fetched(url: str) -> str | None:
    """What this machine gets from a URL; None when nobody answers."""
    try:
        return httpx.get(url, timeout=2.0, trust_env=False).text.strip()
    except httpx.TransportError:
        return None


class Namespace:
    """One namespace of a bed."""

    def __init__(self, bed: Bed, name: str) -> None:
        self.bed, self.name = bed, name

    def kubectl(self, *arguments: str) -> str:
        """What kubectl prints about this namespace."""
        return self.bed.kubectl("--namespace", self.name, *arguments)

    def wait(self, *arguments: str, standstill_s: float = 30.0) -> None:
        """Wait as `Bed.wait` does, for something in this namespace."""
        self.bed.wait(*arguments, namespace=self.name, standstill_s=standstill_s)

    def apply(self, *objects: Object) -> None:
        """Apply objects; they come into this namespace."""
        self.bed.apply({**o, "metadata": {"namespace": self.name, **o["metadata"]}} for o in objects)

    def run(
        self, name: str, command: str, *, container: Mapping[str, object] | None = None, **spec: object
    ) -> None:
        """Run a pod, and return when it is ready."""
        self.apply(pod(name, command, container=container or {}, **spec))
        self.wait("wait", f"pod/{name}", "--for=condition=Ready")

    def serve(self, name: str, *, replicas: int = 1) -> None:
        """Run a web server behind a Service, and return when all of it is ready."""
        self.apply(deployment(name, replicas=replicas), service(name))
        self.wait("rollout", "status", f"deployment/{name}")

    def exec(self, pod: str, command: str) -> str:
        """What a shell command prints in a pod."""
        return self.kubectl("exec", pod, "--", "sh", "-c", command).strip()

    def pods(self, app: str) -> list[Object]:
        """The pods of a Deployment that are not on their way out."""
        found = json.loads(self.kubectl("get", "pods", "-l", f"app={app}", "-o", "json"))["items"]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def address(self, service: str) -> str:
        return self.kubectl("get", "service", service, "-o", "jsonpath={.spec.clusterIP}")
