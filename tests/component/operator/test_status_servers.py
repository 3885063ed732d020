"""What strangers may cost the operator's port: its probes are answered whoever else is there."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress

import pytest

from loadline_api.bounded_listeners import MOST_PLAIN
from loadline_api.journals import Component, Journal
from loadline_operator.metrics import Metrics
from loadline_operator.status_servers import Server

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _drop(streams: Streams) -> None:
    streams[1].transport.abort()
    with suppress(OSError):
        await streams[1].wait_closed()


async def probe() -> str:
    return ""


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as made:
        yield made


@pytest.fixture
async def port(stack: AsyncExitStack) -> int:
    server = Server(Metrics(), Journal(Component.OPERATOR, wall=time.time), probe=probe, clock=lambda: 0.0)
    stack.push_async_callback(server.stop)
    return await server.start(0)


async def connected(stack: AsyncExitStack, port: int) -> Streams:
    streams = await asyncio.open_connection("127.0.0.1", port)
    stack.push_async_callback(_drop, streams)
    return streams


async def asked(stack: AsyncExitStack, port: int, request: bytes) -> bytes:
    """The first line of the answer; empty if there is none."""
    reader, writer = await connected(stack, port)
    writer.write(request)
    with suppress(OSError):
        return await asyncio.wait_for(reader.readline(), 2.0)
    return b""


async def test_a_probe_is_answered_beside_idle_connections_of_which_the_oldest_end(
    stack: AsyncExitStack, port: int
) -> None:
    idle = [await connected(stack, port) for _ in range(2 * MOST_PLAIN)]
    assert await asked(stack, port, b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n") == b"HTTP/1.1 200 OK\r\n"
    assert await asyncio.wait_for(idle[0][0].read(), 2.0) == b""


async def test_requests_that_are_none_write_one_line_of_log(
    stack: AsyncExitStack, port: int, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(30):
        await asked(stack, port, b"GET / HTTP/9.9 nonsense\r\n\r\n")
    assert len(caplog.records) <= 1
