"""
The one hand that writes: server-side apply of objects and statuses, under one name.

Plans say what should be; this makes it so, and nothing else in the operator sends a
request that changes anything. Applying takes over the fields in the manifest and gives
back those left out, so an apply is the whole of our opinion of an object. Where the
manifest carries a uid, an object that was deleted meanwhile isn't made again; what is
deleted is deleted by uid, so that a namesake is spared.

Reads go through here too, so that one place knows how the API server is asked. What a
plan compares with is `comparisons.holds`.
"""

from collections.abc import Iterable
from contextlib import suppress

from kubernetes.aio.client import ApiClient

from loadline_api.api_errors import KubeError, NotFound, WriteConflict
from loadline_api.names import OPERATOR_MANAGER
from loadline_operator.kube.api_requests import APPLY, JSON, ApiRequests
from loadline_operator.kube.kinds import EVENTS, Key, Kind, Manifest
from loadline_operator.metrics import Metrics

MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"

PROBE_TIMEOUT_S = 2.0
"""Below the kubelet's own patience with a readiness probe of ours."""

PAGE = 500
"""Objects of one page of a listing, as kubectl asks for."""


class Applier:
    """Requests to the API server in the operator's name."""

    def __init__(self, client: ApiClient, metrics: Metrics) -> None:
        self.requests = ApiRequests(client, metrics)

    async def close(self) -> None:
        await self.requests.close()

    async def get(self, kind: Kind, key: Key) -> Manifest | None:
        """The object as it is now, or None."""
        try:
            return await self.requests.send("get", "GET", kind.path(key))
        except NotFound:
            return None

    async def uids(self, kind: Kind, namespace: str = "") -> dict[Key, str]:
        """Every object of a kind that is watched, by key, with its uid; metadata alone is sent."""
        items = await self._listed(kind, namespace=namespace, selector=kind.selector, accept=METADATA_ONLY)
        return {Key.of(item): item["metadata"]["uid"] for item in items}

    async def selected(self, kind: Kind, *, namespace: str, selector: str) -> list[Manifest]:
        """The objects of one namespace that a label selector matches."""
        return await self._listed(kind, namespace=namespace, selector=selector, accept=JSON)

    async def events(self, namespace: str, fields: Iterable[str]) -> list[Manifest]:
        """The Events of one namespace that any of these field selectors matches."""
        found: list[Manifest] = []
        for one in fields:
            found += await self._listed(EVENTS, namespace=namespace, fields=one, accept=JSON)
        return found

    async def apply(self, kind: Kind, manifest: Manifest) -> Manifest:
        """Make the object have what the manifest says; the object as it then is."""
        return await self._apply("apply", kind.path(Key.of(manifest)), manifest=manifest)

    async def apply_status(
        self, kind: Kind, manifest: Manifest, *, manager: str = OPERATOR_MANAGER
    ) -> Manifest:
        """As `apply`, for the status alone; an object that is gone raises NotFound.

        With a resourceVersion in the manifest, one that has been written since raises WriteConflict.
        """
        path = kind.path(Key.of(manifest), subresource="status")
        return await self._apply("status", path, manifest=manifest, manager=manager)

    async def delete(self, kind: Kind, key: Key, *, uid: str) -> None:
        """Delete this very object and what it owns; one that is gone, or another by now, is left alone."""
        body = {"propagationPolicy": "Background", "preconditions": {"uid": uid}}
        with suppress(NotFound, WriteConflict):
            await self.requests.send("delete", "DELETE", kind.path(key), body=body)

    async def scale(self, kind: Kind, key: Key, *, replicas: int, version: str = "") -> None:
        """Ask for so many replicas of an object by its scale subresource.

        Given a resourceVersion, an object that has been written since raises WriteConflict.
        """
        body: Manifest = {"spec": {"replicas": replicas}}
        if version:
            body["metadata"] = {"resourceVersion": version}
        await self._patch("scale", kind.path(key, subresource="scale"), body=body, content=MERGE)

    async def patch(self, kind: Kind, key: Key, operations: list[Manifest]) -> None:
        """A JSON patch; Invalid where one of its tests fails."""
        await self._patch("patch", kind.path(key), body=operations, content=JSON_PATCH)

    async def create_event(self, kind: Kind, event: Manifest) -> None:
        """Post an Event unless there is one of its name already."""
        namespace = event["metadata"]["namespace"]
        with suppress(WriteConflict):
            await self.requests.send("event", "POST", kind.path(namespace=namespace), body=event)

    async def answers(self, kind: Kind) -> bool:
        """Whether the API server answers us about a kind, within a moment."""
        query, accept = {"limit": "1"}, METADATA_ONLY
        try:
            await self.requests.send(
                "list", "GET", kind.path(), query=query, accept=accept, limit_s=PROBE_TIMEOUT_S
            )
        except KubeError:
            return False
        return True

    async def _listed(
        self, kind: Kind, *, namespace: str, accept: str, selector: str = "", fields: str = ""
    ) -> list[Manifest]:
        items: list[Manifest] = []
        query = {"limit": str(PAGE), "labelSelector": selector}
        if fields:
            query["fieldSelector"] = fields
        path = kind.path(namespace=namespace)
        while True:
            page = await self.requests.send("list", "GET", path, query=query, accept=accept)
            items += page["items"] or ()
            query["continue"] = page["metadata"].get("continue", "")
            if not query["continue"]:
                return items

    async def _apply(
        self, verb: str, path: str, *, manifest: Manifest, manager: str = OPERATOR_MANAGER
    ) -> Manifest:
        return await self._patch(verb, path, body=manifest, content=APPLY, force="true", fieldManager=manager)

    async def _patch(self, verb: str, path: str, *, body: object, content: str, **query: str) -> Manifest:
        query = {"fieldManager": OPERATOR_MANAGER, **query}
        return await self.requests.send(verb, "PATCH", path, body=body, query=query, content=content)
