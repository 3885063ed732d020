"""
What the operator serves: metrics, its journal, whether it lives and whether it is of use.

`/healthz` says that the event loop turns; `/readyz` says more, and truly: every watch has
told all that there is, and the API server answers this operator's requests now. The
answer is kept for a second, so that nobody can load the API server through us; what else
strangers may cost is bounded by `bounded_listeners` and `http_logs`.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any, cast

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from loadline_api.bounded_listeners import BoundedListener
from loadline_api.http_logs import HTTP_LOG, say_exhausted
from loadline_api.journals import Journal
from loadline_api.listeners import start_or_close
from loadline_operator.metrics import Metrics
from loadline_policies.errors import InvalidInput

KEPT_S = 1.0

Probe = Callable[[], Awaitable[str]]
"""Why the operator isn't ready; an empty text when it is."""


class Server:
    """The operator's HTTP server."""

    def __init__(
        self, metrics: Metrics, journal: Journal, *, probe: Probe, clock: Callable[[], float]
    ) -> None:
        self._metrics, self._journal, self._probe, self._clock = metrics, journal, probe, clock
        self._asked_s, self._why_not = float("-inf"), ""
        application = web.Application()
        application.router.add_get("/metrics", self._serve_metrics)
        application.router.add_get("/healthz", self._serve_health)
        application.router.add_get("/readyz", self._serve_readiness)
        application.router.add_get("/v1/journal", self._serve_journal)
        self._runner = web.AppRunner(application, access_log=None, logger=HTTP_LOG)

    async def start(self, port: int) -> int:
        """Listen on every address; the port, which is a free one where 0 was asked for."""
        await self._runner.setup()
        await start_or_close(_Site(self._runner, port).start(), self.stop)
        address: Any = self._runner.addresses[0]
        return int(address[1])

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _serve_metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=self._metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _serve_health(self, request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _serve_readiness(self, request: web.Request) -> web.Response:
        if self._clock() - self._asked_s >= KEPT_S:
            self._asked_s = self._clock()
            self._why_not = await self._probe()
        return web.Response(text=f"{self._why_not or 'ok'}\n", status=503 if self._why_not else 200)

    async def _serve_journal(self, request: web.Request) -> web.Response:
        try:
            text = self._journal.asked_for(request.query.get("last", ""))
        except InvalidInput as error:
            return web.Response(text=f"{error}\n", status=400)
        return web.Response(text=text, content_type="application/x-ndjson")


class _Site(web.BaseSite):
    """Where aiohttp's own would have asyncio listen, a bounded listener."""

    def __init__(self, runner: web.AppRunner, port: int) -> None:
        super().__init__(runner)
        self._port = port

    @property
    def name(self) -> str:
        return f":{self._port}"

    async def start(self) -> None:
        await super().start()
        handler = self._runner.server
        assert handler is not None
        listener = BoundedListener(handler, [_listen(self._port)], exhausted=say_exhausted)
        self._server = cast(asyncio.AbstractServer, listener)  # aiohttp asks for `close` and `sockets`


def _listen(port: int) -> socket.socket:
    """One socket for both families where the host has both, so that a free port is one port."""
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", port))
