"""
How the agent opens a port: an aiohttp application at an address, with or without TLS.

Both of its servers do it here, the one for peers (`domain.report_servers`) and the one for
probes and Prometheus (`status_servers`).
"""

import asyncio
import ssl
from typing import Any

from aiohttp import web

KEEP_ALIVE_S = 75.0
"""Idle seconds after which a connection is closed: a new handshake costs ten exchanges."""


async def serve(
    app: web.Application, host: str, *, port: int, context: ssl.SSLContext | None = None
) -> tuple[web.AppRunner, int]:
    """Open a door; the runner to close it by, and the port that it got.

    What is cut off meanwhile is closed: asyncio listens a turn of the loop before it says so.
    """
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=KEEP_ALIVE_S, shutdown_timeout=0.5)
    await runner.setup()
    site = web.TCPSite(runner, host, port, ssl_context=context, reuse_address=True)
    starting = asyncio.ensure_future(site.start())
    try:
        await asyncio.shield(starting)
    except BaseException:
        await asyncio.gather(starting, return_exceptions=True)
        await runner.cleanup()
        raise
    address: Any = runner.addresses[0]
    return runner, int(address[1])
