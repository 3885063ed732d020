"""
The one hand that writes: server-side apply of objects and statuses, under one name.

Plans say what should be; this makes it so, and nothing else in the operator sends a
request that changes anything. Applying takes over the fields in the manifest and gives
back those left out, so an apply is the whole of our opinion of an object. Where the
manifest carries a uid, an object that was deleted meanwhile isn't made again.

What a plan compares with is `holds`: whether an object has all that a manifest says.
Reads go through here too, so that one place counts requests and names failures.
"""

import json
from collections.abc import Mapping
from typing import Any

import aiohttp
from kubernetes.aio.client import ApiClient
from kubernetes.utils.quantity import parse_quantity

from loadline_api.names import OPERATOR_MANAGER
from loadline_operator.errors import ApiRefused, ApiUnavailable
from loadline_operator.kinds import Key, Kind, Manifest
from loadline_operator.metrics import Metrics

APPLY = "application/apply-patch+yaml"
METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"

TIMEOUT_S = 15.0
"""Far above any answer of a healthy server; a hung one is tried again by the worklist."""

PROBE_TIMEOUT_S = 2.0
"""Below the kubelet's own patience with a readiness probe of ours."""

PAGE = 500
"""Objects of one page of a listing, as kubectl asks for."""

LATER = frozenset({401, 429, 500, 502, 503, 504})
"""Statuses that say nothing about what was sent."""


class Applier:
    """Requests to the API server in the operator's name."""

    def __init__(self, client: ApiClient, metrics: Metrics) -> None:
        self._client, self._metrics = client, metrics

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()  # type: ignore[no-untyped-call]

    async def get(self, kind: Kind, key: Key) -> Manifest | None:
        """The object as it is now, or None."""
        try:
            return await self._request("get", "GET", kind.path(key))
        except ApiRefused as error:
            if error.code == 404:
                return None
            raise

    async def uids(self, kind: Kind, namespace: str = "") -> dict[Key, str]:
        """Every object of a kind that is watched, by key, with its uid; metadata alone is sent."""
        uids: dict[Key, str] = {}
        query = {"limit": str(PAGE), "labelSelector": kind.selector}
        while True:
            page = await self._request(
                "list", "GET", kind.path(namespace=namespace), query=query, accept=METADATA_ONLY
            )
            uids.update((Key.of(item), item["metadata"]["uid"]) for item in page["items"] or ())
            query["continue"] = page["metadata"].get("continue", "")
            if not query["continue"]:
                return uids

    async def apply(self, kind: Kind, manifest: Manifest) -> Manifest:
        """Make the object have what the manifest says; the object as it then is."""
        return await self._apply("apply", kind.path(Key.of(manifest)), manifest)

    async def apply_status(self, kind: Kind, manifest: Manifest) -> Manifest:
        """As `apply`, for the status alone; an object that is gone is refused with 404."""
        return await self._apply("status", kind.path(Key.of(manifest), subresource="status"), manifest)

    async def create_event(self, kind: Kind, event: Manifest) -> None:
        """Post an Event unless there is one of its name already."""
        namespace = event["metadata"]["namespace"]
        try:
            await self._request("event", "POST", kind.path(namespace=namespace), body=event)
        except ApiRefused as error:
            if error.code != 409:
                raise

    async def answers(self, kind: Kind) -> bool:
        """Whether the API server answers us about a kind, within a moment."""
        try:
            await self._request(
                "list",
                "GET",
                kind.path(),
                query={"limit": "1"},
                accept=METADATA_ONLY,
                limit_s=PROBE_TIMEOUT_S,
            )
        except (ApiRefused, ApiUnavailable):
            return False
        return True

    async def _apply(self, verb: str, path: str, manifest: Manifest) -> Manifest:
        query = {"fieldManager": OPERATOR_MANAGER, "force": "true"}
        return await self._request(verb, "PATCH", path, body=manifest, query=query, content=APPLY)

    async def _request(
        self,
        verb: str,
        method: str,
        path: str,
        *,
        body: Manifest | None = None,
        query: Mapping[str, str] | None = None,
        content: str = "application/json",
        accept: str = "application/json",
        limit_s: float = TIMEOUT_S,
    ) -> Manifest:
        """One request; ApiRefused and ApiUnavailable say what came of it."""
        try:
            status, text = await self._send(method, path, body, query or {}, content, accept, limit_s)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._metrics.requests.labels(verb, "unavailable").inc()
            raise ApiUnavailable(f"{method} {path}: {type(error).__name__}: {error}") from error
        if 200 <= status < 300:
            self._metrics.requests.labels(verb, "ok").inc()
            return dict(json.loads(text))
        later = status in LATER
        self._metrics.requests.labels(verb, "unavailable" if later else "refused").inc()
        sentence = _message(text)
        if later:
            raise ApiUnavailable(f"{method} {path}: {status}: {sentence}")
        raise ApiRefused(status, sentence)

    async def _send(
        self,
        method: str,
        path: str,
        body: Manifest | None,
        query: Mapping[str, str],
        content: str,
        accept: str,
        limit_s: float,
    ) -> tuple[int, bytes]:
        headers = {"Accept": accept, "Content-Type": content}
        parameters = [(key, value) for key, value in query.items() if value]
        request = await self._client.param_serialize(
            method,
            path,
            query_params=parameters,
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        response = await self._client.call_api(
            *request, _request_timeout=aiohttp.ClientTimeout(total=limit_s)
        )
        return int(response.status), await response.read()  # type: ignore[no-untyped-call]


def holds(wanted: Any, observed: Any) -> bool:
    """Whether `observed` has everything that `wanted` says; what else it has is somebody else's.

    Lists must be as long, since an apply owns a list's entries; amounts compare as the API
    server does (`1000m` is `1`), and what is empty equals what is absent.
    """
    if isinstance(wanted, Mapping):
        there = observed if isinstance(observed, Mapping) else {}
        return all(holds(value, there.get(key)) for key, value in wanted.items())
    if isinstance(wanted, list):
        entries = observed if isinstance(observed, list) else []
        return len(wanted) == len(entries) and all(map(holds, wanted, entries))
    return wanted == observed or (not wanted and not observed) or _same_amount(wanted, observed)


def _same_amount(wanted: object, observed: object) -> bool:
    if not (isinstance(wanted, str | int) and isinstance(observed, str | int)):
        return False
    try:
        same = parse_quantity(wanted) == parse_quantity(observed)  # type: ignore[no-untyped-call]
    except ValueError:
        return False
    return bool(same)


def _message(text: bytes) -> str:
    """The API server's own sentence about a failure."""
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text.decode(errors="replace")[:200]
