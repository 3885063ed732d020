"""
How the agent opens a port: an aiohttp application at an address, with or without TLS.

Both of its servers do it here, the one for peers (`domain.report_servers`) and the one for
probes and Prometheus (`status_servers`).
"""

import ssl
from typing import Any

from aiohttp import web

from loadline_api.listeners import start_or_close

KEEP_ALIVE_S = 75.0
"""Idle seconds after which a connection is closed: a new handshake costs ten exchanges."""


async def serve(
    app: web.Application, host: str, *, port: int, context: ssl.SSLContext | None = None
) -> tuple[web.AppRunner, int]:
    """Listen; the runner to close it by, and the port that it got."""
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=KEEP_ALIVE_S, shutdown_timeout=0.5)
    await runner.setup()
    site = web.TCPSite(runner, host, port, ssl_context=context, reuse_address=True)
    await start_or_close(site.start(), runner.cleanup)
    address: Any = runner.addresses[0]
    return runner, int(address[1])
