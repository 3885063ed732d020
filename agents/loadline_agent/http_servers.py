"""
How the agent opens a port: an aiohttp application at an address, with or without TLS.

All of its servers do it here: the one for peers (`domain.report_servers`), the one for
probes and Prometheus (`status_servers`) and the one for engines (`workers.worker_servers`).
What strangers may cost is bounded by `loadline_api.bounded_listeners` and `loadline_api.http_logs`.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, cast

from aiohttp import web

from loadline_api.bounded_listeners import BoundedListener, bound
from loadline_api.http_logs import HTTP_LOG, say_exhausted
from loadline_api.listeners import start_or_close

KEEP_ALIVE_S = 75.0
"""Idle seconds after which a connection is closed: a new handshake costs ten exchanges."""


async def serve(
    app: web.Application,
    host: str,
    *,
    port: int,
    context: Callable[[], ssl.SSLContext] | None = None,
    failed: Callable[[Exception], None] = lambda error: None,
    by_address: bool = False,
) -> tuple[web.AppRunner, int]:
    """Listen; the runner to close it by, and the port that it got.

    `context` gives the one for the next handshake, and `failed` gets what ended one; `by_address` bounds
    the connections to a plain port for each address.
    """
    runner = web.AppRunner(
        app, access_log=None, logger=HTTP_LOG, keepalive_timeout=KEEP_ALIVE_S, shutdown_timeout=0.5
    )
    await runner.setup()
    site = _Site(runner, host, port=port, context=context, failed=failed, by_address=by_address)
    await start_or_close(site.start(), runner.cleanup)
    address: Any = runner.addresses[0]
    return runner, int(address[1])


class _Site(web.BaseSite):
    """Where aiohttp's own would have asyncio listen, a bounded listener."""

    def __init__(
        self,
        runner: web.AppRunner,
        host: str,
        *,
        port: int,
        context: Callable[[], ssl.SSLContext] | None,
        failed: Callable[[Exception], None],
        by_address: bool,
    ) -> None:
        super().__init__(runner)
        self._host, self._port, self._context, self._failed = host, port, context, failed
        self._by_address = by_address

    @property
    def name(self) -> str:
        return f"{self._host}:{self._port}"

    async def start(self) -> None:
        await super().start()
        handler = self._runner.server
        assert handler is not None
        listener = BoundedListener(
            handler,
            await bound(self._host, self._port),
            context=self._context,
            failed=self._failed,
            exhausted=say_exhausted,
            by_address=self._by_address,
        )
        self._server = cast(asyncio.AbstractServer, listener)  # aiohttp asks for `close` and `sockets`
