"""
One request to the API server, counted, and its failure put into a class of `api_errors`.

Every way to the API server that isn't one of kopf's watches goes through here: answers
come back as JSON, what the server refuses as `Refused` with its own sentence, and
whatever says nothing about the request (an outage, a full queue) as `Unavailable`.
Which requests there are is told by `apply` and `list_watches`.
"""

import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import aiohttp
from kubernetes.aio.client import ApiClient

from loadline_api.api_errors import Invalid, Refused, Unavailable, by_status
from loadline_api.request_bodies import request_body
from loadline_operator.kube import refusals
from loadline_operator.kube.kinds import Manifest
from loadline_operator.metrics import Metrics

JSON = "application/json"
APPLY = "application/apply-patch+yaml"

TIMEOUT_S = 15.0
"""Far above any answer of a healthy server; a hung one is tried again by the work queue."""


class ApiRequests:
    """Requests in the operator's name."""

    def __init__(self, client: ApiClient, metrics: Metrics) -> None:
        self._client, self._metrics = client, metrics

    async def close(self) -> None:
        await self._client.close()  # type: ignore[no-untyped-call]

    async def send(
        self,
        verb: str,
        method: str,
        path: str,
        *,
        body: object = None,
        query: Mapping[str, str] | None = None,
        content: str = JSON,
        accept: str = JSON,
        limit_s: float = TIMEOUT_S,
    ) -> Manifest:
        """The answer to one request; `verb` is the word by which it is counted."""
        head = {"Accept": accept, "Content-Type": content}
        timeout = aiohttp.ClientTimeout(total=limit_s)
        try:
            response = await self._open(
                method, path, query=query or {}, head=head, body=body, timeout=timeout
            )
            status, text = int(response.status), await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._lost(verb, f"{method} {path}", error=error) from error
        self._judge(verb, f"{method} {path}", status=status, text=text)
        try:
            return dict(json.loads(text))
        except (ValueError, TypeError) as error:
            raise Unavailable(f"{method} {path}: the answer is not an object ({error})") from error

    async def lines(
        self, path: str, *, query: Mapping[str, str], accept: str, timeout: aiohttp.ClientTimeout
    ) -> AsyncGenerator[Manifest, None]:
        """The events of a watch, until the server ends it or nothing came for too long."""
        try:
            response = await self._open(
                "GET", path, query=query, head={"Accept": accept}, body=None, timeout=timeout
            )
            try:
                if response.status != 200:
                    self._judge(
                        "watch", f"GET {path}", status=int(response.status), text=await response.read()
                    )
                async for line in response.response.content:
                    yield json.loads(line)
            finally:
                response.response.close()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._lost("watch", f"GET {path}", error=error) from error

    async def _open(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str],
        head: Mapping[str, str],
        body: object,
        timeout: aiohttp.ClientTimeout,
    ) -> Any:
        head = dict(head)
        if body is not None and head.get("Content-Type") == APPLY:
            # The client would write surrogate pairs, and passes over bytes of a type that it doesn't know.
            body, head["Content-Type"] = request_body(body), f"{APPLY}; charset=utf-8"
        request = await self._client.param_serialize(
            method,
            path,
            query_params=[(key, value) for key, value in query.items() if value],
            header_params=head,
            body=body,
            auth_settings=["BearerToken"],
        )
        return await self._client.call_api(*request, _request_timeout=timeout)

    def _lost(self, verb: str, what: str, *, error: Exception) -> Unavailable:
        self._metrics.requests.labels(verb, "unavailable").inc()
        return Unavailable(f"{what}: {type(error).__name__}: {error}")

    def _judge(self, verb: str, what: str, *, status: int, text: bytes) -> None:
        """Count an answer, and raise what it means unless it is good.

        An apply that doesn't fit the kind's schema is answered with 500, though trying again is no use.
        """
        if 200 <= status < 300:
            self._metrics.requests.labels(verb, "ok").inc()
            return
        sentence = refusals.sentence(text)
        error = Invalid if refusals.MISFIT.match(sentence) else by_status(status)
        refused = issubclass(error, Refused)
        self._metrics.requests.labels(verb, "refused" if refused else "unavailable").inc()
        raise error(sentence if refused else f"{what}: {status}: {sentence}", status)
