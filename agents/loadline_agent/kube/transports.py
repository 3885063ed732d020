"""
httpx's way to a server, with no connection left behind on the way out.

httpcore, which does the work, opens a TCP connection and then shakes hands over it. Two
ends of that it doesn't close. A request that is cancelled in the handshake, and one whose
time is over is no other, leaves its socket to the collector: `start_tls` of httpcore 1.0
closes for an `Exception` only. And a connection that is ready only after its pool was
closed serves its one request and then belongs to nobody. A server that takes connections
and is too busy for handshakes would cost a socket with each attempt.

So each request carries httpcore's `trace` extension, by which it is told of every step,
and the two are closed here. It asks for no part of httpcore that isn't documented.
"""

from collections.abc import Mapping
from typing import Any, Final

import httpx

OPENED: Final = frozenset({"connection.connect_tcp.complete", "connection.start_tls.complete"})
CUT_OFF: Final = "connection.start_tls.failed"
"""Of a cancellation too."""


class Transport(httpx.AsyncHTTPTransport):
    """As its base, and closes what is still being opened when a request or the client ends."""

    closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, and see what becomes of its connection."""
        request.extensions = {**request.extensions, "trace": _Opening(self).see}
        return await super().handle_async_request(request)

    async def aclose(self) -> None:
        """Close all connections, and those that come of requests under way."""
        self.closed = True
        await super().aclose()


class _Opening:
    """The connection that one request opens, if it opens any."""

    def __init__(self, transport: Transport) -> None:
        self._transport, self._stream = transport, None

    async def see(self, event: str, info: Mapping[str, Any]) -> None:
        """Take notice of a step of the request."""
        if event in OPENED:
            self._stream = info["return_value"]
        if self._stream is not None and (event == CUT_OFF or (event in OPENED and self._transport.closed)):
            await self._stream.aclose()
