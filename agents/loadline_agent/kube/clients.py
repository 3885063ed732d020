"""
The API server as the agent needs it: a few verbs, errors by what to do, and watches.

A full Kubernetes client costs more memory than all the rest of the agent, so this is
one httpx client and JSON. Paths come from `loadline_api.names`, objects are plain JSON
here and are parsed by whoever asked. Nothing is retried: a caller knows best whether
its request is still worth sending, and `informers` keeps watches alive. What may be raised
is `loadline_api.api_errors`.
"""

import asyncio
import json
import random
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import httpx

from loadline_agent.kube.credentials import Credentials
from loadline_agent.kube.transports import Transport
from loadline_api.api_errors import KubeError, Unavailable, by_status
from loadline_api.request_bodies import request_body

Object: TypeAlias = dict[str, Any]
"""A Kubernetes object as the API sends it; parsed at once by whoever gets it."""

TIMEOUT_S = 5.0
"""For one request as a whole. Chosen: half of the time in which a coordinator must have renewed."""

LIST_TIMEOUT_S = 30.0
"""Lists of a big cluster take longer, and nobody waits for them."""

QUIET_S = 75.0
"""A watch that says nothing for so long is dead: the API server sends a bookmark once a minute."""

WATCH_S = (240, 360)
"""The server ends a watch within these bounds, so that those begun together don't end together."""

KEEP_ALIVE_S = 30.0
"""Longer than any period at which an agent asks, so that a renewal needs no new handshake."""

LONGEST_SENTENCE = 500
"""Characters of a server's answer that are worth a log line."""

_APPLY = {"Content-Type": "application/apply-patch+yaml"}
_JSON = {"Content-Type": "application/json"}


class Listing(NamedTuple):
    """Objects and the version as of which they were so."""

    version: str
    items: list[Object]


@dataclass(frozen=True, slots=True)
class Event:
    """One change: ADDED, MODIFIED, DELETED, or BOOKMARK, which carries a version only."""

    type: str
    object: Object

    @property
    def version(self) -> str:
        """The resource version that a later watch may start from."""
        return str(self.object.get("metadata", {}).get("resourceVersion", ""))


class Kube:
    """One API server, as one identity, over one pool of connections.

    `timeout_s` is for a whole request, `quiet_s` for the silence of a watch; `transport`
    replaces the network in tests.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        timeout_s: float = TIMEOUT_S,
        quiet_s: float = QUIET_S,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._credentials, self._timeout_s, self._quiet_s = credentials, timeout_s, quiet_s
        self._http = httpx.AsyncClient(
            base_url=credentials.server,
            timeout=None,  # whole requests are timed below, at a lower cost than each read and write
            trust_env=False,
            transport=transport
            or Transport(
                verify=credentials.tls() if credentials.server.startswith("https:") else False,
                limits=httpx.Limits(keepalive_expiry=KEEP_ALIVE_S),
            ),
        )

    async def close(self) -> None:
        """Close the connections; watches end."""
        await self._http.aclose()

    async def get(self, path: str) -> Object:
        return await self._ask("GET", path)

    async def list(self, path: str, *, labels: str = "", fields: str = "") -> Listing:
        """The objects of a collection, chosen by label and field selectors."""
        parameters = _selectors(labels, fields)
        answer = await self._ask("GET", path, parameters=parameters, timeout_s=LIST_TIMEOUT_S)
        return Listing(answer.get("metadata", {}).get("resourceVersion", ""), answer.get("items") or [])

    async def create(self, path: str, body: Mapping[str, Any]) -> Object:
        """Post an object to its collection; WriteConflict if it exists."""
        return await self._ask("POST", path, body=body)

    async def replace(self, path: str, body: Mapping[str, Any]) -> Object:
        """Put an object; WriteConflict if its resourceVersion isn't the latest."""
        return await self._ask("PUT", path, body=body)

    async def apply(
        self, path: str, body: Mapping[str, Any], *, manager: str, subresource: str = ""
    ) -> Object:
        """Server-side apply of what `manager` owns, taking over fields that others wrote."""
        where = f"{path}/{subresource}" if subresource else path
        parameters = {"fieldManager": manager, "force": "true"}
        return await self._ask("PATCH", where, body=body, parameters=parameters, headers=_APPLY)

    async def watch(
        self, path: str, version: str, *, labels: str = "", fields: str = ""
    ) -> AsyncGenerator[Event, None]:
        """Changes after `version`, bookmarks among them, until the server ends the watch or falls silent.

        The first event is an empty bookmark, which says that the watch stands.
        Raises Gone when `version` is too old, Unavailable when the connection breaks.
        """
        parameters = {
            **_selectors(labels, fields),
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(random.randint(*WATCH_S)),
        }
        timeout = httpx.Timeout(self._timeout_s, read=self._quiet_s)
        try:
            headers = self._credentials.authorization()
            async with self._http.stream(
                "GET", path, params=parameters, headers=headers, timeout=timeout
            ) as response:
                if response.is_error:
                    await response.aread()
                    raise _error(response)
                yield Event("BOOKMARK", {})
                async with aclosing(_lines(response)) as lines:
                    async for line in lines:
                        yield _event(line, path)
        except httpx.ReadTimeout:
            return
        except (httpx.HTTPError, OSError) as error:
            raise _unreachable("WATCH", path, error=error) from error

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        parameters: Mapping[str, str] | None = None,
        headers: Mapping[str, str] = _JSON,
        timeout_s: float | None = None,
    ) -> Object:
        try:
            async with asyncio.timeout(timeout_s or self._timeout_s):
                response = await self._http.request(
                    method,
                    path,
                    params=parameters,
                    content=None if body is None else request_body(body),
                    headers={**headers, **self._credentials.authorization()},
                )
        except (httpx.HTTPError, OSError) as error:  # asyncio's TimeoutError is an OSError
            raise _unreachable(method, path, error=error) from error
        if response.is_error:
            raise _error(response)
        return _parsed(response.content, f"{method} {path}")


def _selectors(labels: str, fields: str) -> dict[str, str]:
    return {name: text for name, text in (("labelSelector", labels), ("fieldSelector", fields)) if text}


async def _lines(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    """The lines of a watch. httpx's own end at a NEL, too, which JSON may have in a string."""
    begun = b""
    async for some in response.aiter_bytes():
        *lines, begun = (begun + some).split(b"\n")
        for line in lines:
            yield line
    if begun:
        yield begun


def _event(line: bytes, path: str) -> Event:
    content = _parsed(line, f"WATCH {path}")
    change, thing = str(content.get("type", "")), content.get("object")
    if not isinstance(thing, dict):
        raise Unavailable(f"WATCH {path}: an event without an object")
    if change == "ERROR":
        code = thing.get("code")
        status = code if isinstance(code, int) else 0
        raise by_status(status)(f"WATCH {path}: {thing.get('message')}", status)
    if not isinstance(thing.get("metadata"), dict):
        raise Unavailable(f"WATCH {path}: an object without metadata")
    return Event(change, thing)


def _parsed(text: str | bytes, what: str) -> Object:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise Unavailable(f"{what}: the answer isn't JSON ({error})") from error
    if not isinstance(content, dict):
        raise Unavailable(f"{what}: the answer isn't a JSON object")
    return content


def _error(response: httpx.Response) -> KubeError:
    try:
        said = str(response.json().get("message") or response.reason_phrase)
    except (ValueError, AttributeError):
        said = response.text
    request, status = response.request, response.status_code
    sentence = f"{request.method} {request.url.path} answers {status}: {said[:LONGEST_SENTENCE]}"
    return by_status(status)(sentence, status)


def _unreachable(method: str, path: str, *, error: Exception) -> Unavailable:
    said = str(error) or type(error).__name__
    return Unavailable(f"{method} {path}: the API server can't be reached ({said[:LONGEST_SENTENCE]})")
