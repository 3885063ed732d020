"""
The bed's own way to the API server, as its administrator, over httpx.

Small on purpose: a request, an answer, one error class, and the mapping from an
object's kind to its path that a server-side apply needs. Objects are plain JSON here;
what they mean is the caller's affair. Whatever a person would type goes through the
real kubectl instead (`Bed.kubectl`).
"""

import ssl
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import httpx

from testbed.cluster.certificates import Pair
from testbed.cluster.errors import ApiError, BedError
from testbed.cluster.waits import wait_for

Object = dict[str, Any]
"""A Kubernetes object as the API sends it."""

APPLY = "application/apply-patch+yaml"
STRATEGIC = "application/strategic-merge-patch+json"
MERGE = "application/merge-patch+json"

FIELD_MANAGER = "loadline-testenv"

TIMEOUT_S = 20.0
"""Far above any answer of an idle server, far below a test's limit."""

SERVED_WITHIN_S = 60.0
"""A large definition of many versions takes seconds, on a busy machine many of them."""


def tls(ca: Path, client: Pair | None = None) -> ssl.SSLContext:
    """Trust the bed's authority alone; show the client's certificate if there is one."""
    context = ssl.create_default_context(cafile=str(ca))
    if client is not None:
        context.load_cert_chain(client.certificate, client.key)
    return context


def checked(response: httpx.Response) -> Object:
    """The answer's object; raises ApiError with the server's own sentence for a failure."""
    if response.is_success:
        return dict(response.json())
    try:
        status = dict(response.json())
    except ValueError:
        status = {"reason": response.reason_phrase, "message": response.text}
    sentence = f"{response.request.method} {response.request.url.path}: {status.get('message')}"
    raise ApiError(response.status_code, reason=str(status.get("reason", "")), sentence=sentence)


class Client:
    """Requests to one API server as one identity; may be shared by threads."""

    def __init__(self, server: str, context: ssl.SSLContext, *, token: str | None = None) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(
            base_url=server, verify=context, timeout=TIMEOUT_S, headers=headers, trust_env=False
        )
        self._kinds: dict[tuple[str, str], tuple[str, bool]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def get(self, path: str, **parameters: str) -> Object:
        return checked(self._http.get(path, params=parameters))

    def create(self, path: str, body: Mapping[str, object]) -> Object:
        """Post an object to its collection's path."""
        return checked(self._http.post(path, json=body))

    def patch(self, path: str, body: object, *, content_type: str = MERGE, **parameters: str) -> Object:
        """Patch the object at a path, a JSON merge patch unless said otherwise."""
        headers = {"Content-Type": content_type}
        return checked(self._http.patch(path, json=body, headers=headers, params=parameters))

    def delete(self, path: str, **parameters: str) -> Object:
        return checked(self._http.delete(path, params=parameters))

    def healthy(self) -> bool:
        """Whether the API server says that it is ready."""
        try:
            return self._http.get("/readyz", timeout=2.0).is_success
        except httpx.TransportError:
            return False

    def apply(self, objects: Iterable[Mapping[str, Any]], *, manager: str = FIELD_MANAGER) -> list[Object]:
        """Server-side apply in the order given, taking over fields; a CRD is waited for.

        Raises ApiError, with the server's sentence, for the first object that is refused.
        """
        return [self._apply(body, manager) for body in objects]

    def await_definition(self, path: str, *, timeout_s: float = SERVED_WITHIN_S) -> None:
        """Return once all versions of the CustomResourceDefinition at a path are served and discovered.

        Raises GaveUp after `timeout_s` seconds.
        """
        wait_for(
            lambda: self._is_served(self.get(path)) or None,
            f"{path} is served",
            standstill_s=timeout_s,
            why=lambda: "read its conditions",
            every_s=0.05,
        )

    def path_of(self, body: Mapping[str, Any]) -> str:
        """Where an object lives, by its apiVersion, kind, namespace and name."""
        version, kind, metadata = body["apiVersion"], body["kind"], body["metadata"]
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        plural, namespaced = self._kind(root, kind)
        if not namespaced:
            return f"{root}/{plural}/{metadata['name']}"
        return f"{root}/namespaces/{metadata.get('namespace', 'default')}/{plural}/{metadata['name']}"

    def _apply(self, body: Mapping[str, Any], manager: str) -> Object:
        path = self.path_of(body)
        applied = self.patch(path, body, content_type=APPLY, fieldManager=manager, force="true")
        if body["kind"] == "CustomResourceDefinition":
            self.await_definition(path)
        return applied

    def _kind(self, root: str, kind: str) -> tuple[str, bool]:
        """Plural and scope; asked of the server once a kind, and again while it doesn't know it."""
        if (root, kind) not in self._kinds:
            for resource in self.get(root)["resources"]:
                if "/" not in resource["name"]:
                    self._kinds[root, resource["kind"]] = (resource["name"], resource["namespaced"])
        if (root, kind) not in self._kinds:
            raise BedError(f"kind is {kind!r}: the API server knows none at {root}; apply its CRD first")
        return self._kinds[root, kind]

    def _is_served(self, crd: Object) -> bool:
        spec, conditions = crd["spec"], crd.get("status", {}).get("conditions") or []
        if not any(c["type"] == "Established" and c["status"] == "True" for c in conditions):
            return False
        served = [v["name"] for v in spec["versions"] if v["served"]]
        return all(self._lists(f"/apis/{spec['group']}/{name}", spec["names"]["plural"]) for name in served)

    def _lists(self, root: str, plural: str) -> bool:
        """Whether discovery knows the kind, and its storage answers: either may come first."""
        found = self._http.get(root)
        known = found.is_success and any(one["name"] == plural for one in found.json()["resources"])
        return known and self._http.get(f"{root}/{plural}", params={"limit": "1"}).is_success
