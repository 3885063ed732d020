"""What strangers may cost a port: connections, seconds and lines of log are all bounded."""

import asyncio
import logging
import socket
import ssl
import subprocess
import sys
import tracemalloc
from asyncio.sslproto import SSLProtocol
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from loadline_agent.domain.tls_identity import Identity, client_context, server_context, trust
from loadline_agent.http_servers import serve
from loadline_api import bounded_listeners, failure_budgets
from loadline_api.failure_budgets import BURST
from testbed.connection_counts import uncollected

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

ASK = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture(autouse=True)
def rest(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with uncollected():
        yield
    assert [one for one in caplog.records if one.name == "asyncio" and one.levelno >= logging.WARNING] == []


async def _drop(streams: Streams) -> None:
    streams[1].transport.abort()
    with suppress(OSError):
        await streams[1].wait_closed()


@dataclass
class Door:
    """A port with one page, its members' contexts, and what came to it."""

    port: int
    contexts: dict[str, ssl.SSLContext]
    stack: AsyncExitStack
    failed: list[Exception] = field(default_factory=list)

    async def connect(self, context: ssl.SSLContext | None = None, *, host: str = "127.0.0.1") -> Streams:
        streams = await asyncio.open_connection("127.0.0.1", self.port, ssl=context, local_addr=(host, 0))
        self.stack.push_async_callback(_drop, streams)
        return streams

    async def knock(self, context: ssl.SSLContext | None = None, *, host: str = "127.0.0.1") -> None:
        """Try to be served as somebody who may not be."""
        with suppress(OSError):
            await self.ask(await self.connect(context, host=host))

    async def ask(self, streams: Streams) -> bytes:
        """The page's status line; empty if the connection is over."""
        reader, writer = streams
        writer.write(ASK)
        line = await asyncio.wait_for(reader.readline(), 2.0)
        while line and await reader.readline() not in (b"\r\n", b""):
            continue
        return line


def pages() -> web.Application:
    async def page(request: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.router.add_get("/", page)
    return app


@pytest.fixture
async def plain() -> AsyncIterator[Door]:
    async with AsyncExitStack() as stack:
        runner, port = await serve(pages(), "127.0.0.1", port=0)
        stack.push_async_callback(runner.cleanup)
        yield Door(port, {}, stack)


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    """A port behind mutual TLS, with two members and a stranger."""
    host, *others = (
        Identity.load_or_create(tmp_path / node, node=node, address="127.0.0.1:1")
        for node in ("host", "member", "other", "stranger")
    )
    context = server_context(host)
    trust(context, *(one.der for one in others[:2]))
    made = Door(0, {one.node: client_context(one, host.der) for one in others}, AsyncExitStack())
    async with made.stack:
        runner, made.port = await serve(
            pages(), "127.0.0.1", port=0, context=lambda: context, failed=made.failed.append
        )
        made.stack.push_async_callback(runner.cleanup)
        yield made


async def ended(streams: Streams, within_s: float = 2.0) -> bool:
    """Whether the other side ends a connection in time."""
    try:
        return await asyncio.wait_for(streams[0].read(), within_s) == b""
    except ConnectionError:
        return True
    except TimeoutError:
        return False


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02\x00\x01"])
async def test_one_that_is_slow_in_its_handshake_is_given_up(
    door: Door, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_listeners, "HANDSHAKE_S", 0.3)
    slow = await door.connect()
    slow[1].write(sent)
    assert await ended(slow)
    assert [type(error) for error in door.failed] == [ConnectionAbortedError]


async def test_of_many_handshakes_under_way_the_oldest_gives_way_and_members_get_in(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_listeners, "MOST_HANDSHAKES", 20)
    monkeypatch.setattr(bounded_listeners, "GIVE_WAY_S", 0.1)
    member = await door.connect(door.contexts["member"])
    silent = [await door.connect() for _ in range(60)]
    other = await door.connect(door.contexts["other"])
    assert all([await ended(one) for one in silent[:40]])
    assert not await ended(silent[-1], within_s=0.1)
    for one in (member, other):
        assert await door.ask(one) == b"HTTP/1.1 200 OK\r\n"


async def test_one_member_with_many_connections_loses_its_own_oldest(door: Door) -> None:
    other = await door.connect(door.contexts["other"])
    assert await door.ask(other) != b""
    many = [await door.connect(door.contexts["member"]) for _ in range(12)]
    for one in many[-bounded_listeners.MOST_PER_PEER :]:
        assert await door.ask(one) == b"HTTP/1.1 200 OK\r\n"
    assert all([await ended(one) for one in many[: -bounded_listeners.MOST_PER_PEER]])
    assert await door.ask(other) == b"HTTP/1.1 200 OK\r\n"


async def test_a_row_that_comes_all_at_once_gets_in(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever there is no room for yet waits, and takes nobody's place."""
    monkeypatch.setattr(bounded_listeners, "MOST_HANDSHAKES", 2)
    monkeypatch.setattr(bounded_listeners, "GIVE_WAY_S", 30.0)
    asked = [door.connect(door.contexts[name]) for name in ("member", "other") * 4]
    assert [await door.ask(one) for one in await asyncio.gather(*asked)] == [b"HTTP/1.1 200 OK\r\n"] * 8


async def test_who_gave_up_before_its_turn_costs_no_handshake(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that follow would wait for handshakes that are done for nobody, until they give up in turn."""
    begun = []
    establish = bounded_listeners.BoundedListener._establish

    async def noted(self: bounded_listeners.BoundedListener, *arguments: Any) -> None:
        begun.append(arguments)
        await establish(self, *arguments)

    monkeypatch.setattr(bounded_listeners.BoundedListener, "_establish", noted)
    gone = [socket.create_connection(("127.0.0.1", door.port)) for _ in range(200)]
    for one in gone:  # in one turn of the loop that accepts, which has seen none of them yet
        one.sendall(b"\x16\x03\x01\x02\x00\x01")
        one.close()
    assert await door.ask(await door.connect(door.contexts["member"])) == b"HTTP/1.1 200 OK\r\n"
    assert len(begun) == 1


async def test_a_connection_of_a_member_takes_little_memory(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A coordinator holds two of each member, in a container that is bounded."""
    monkeypatch.setattr(SSLProtocol, "max_size", SSLProtocol.max_size)
    bounded_listeners.ask_for_small_buffers()
    await door.ask(await door.connect(door.contexts["member"]))
    tracemalloc.start()
    try:
        for name in ("member", "other"):
            for _ in range(bounded_listeners.MOST_PER_PEER - 1):
                assert await door.ask(await door.connect(door.contexts[name])) == b"HTTP/1.1 200 OK\r\n"
        taken_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    both_ends = 2 * 2 * (bounded_listeners.MOST_PER_PEER - 1)
    assert taken_bytes / both_ends <= 2 * bounded_listeners.TLS_BUFFER_BYTES


async def test_failed_handshakes_are_told_and_write_no_log(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(10):
        garbage = await door.connect()
        garbage[1].write(ASK)
        assert await ended(garbage)
        (await door.connect())[1].transport.abort()
        await door.knock(door.contexts["stranger"])
    failed = [error for error in door.failed if isinstance(error, ssl.SSLError)]
    assert [isinstance(error, ssl.SSLCertVerificationError) for error in failed] == [False, True] * 10
    assert caplog.records == []
    assert await door.ask(await door.connect(door.contexts["member"])) != b""


async def test_who_has_failed_too_often_is_turned_away_before_its_handshake_and_no_other_is(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_listeners, "source_of", str)
    monkeypatch.setattr(failure_budgets, "PER_S", 0.0)
    for _ in range(2 * int(BURST)):
        await door.knock(door.contexts["stranger"], host="127.0.0.9")
    computed = [error for error in door.failed if isinstance(error, ssl.SSLError)]
    assert (len(computed), len(door.failed)) == (BURST, 2 * BURST)
    assert await door.ask(await door.connect(door.contexts["member"])) == b"HTTP/1.1 200 OK\r\n"


async def test_of_many_connections_to_a_plain_port_the_oldest_gives_way(plain: Door) -> None:
    idle = [await plain.connect() for _ in range(bounded_listeners.MOST_PLAIN + 10)]
    assert await plain.ask(await plain.connect()) == b"HTTP/1.1 200 OK\r\n"
    assert all([await ended(one) for one in idle[:11]])
    assert not await ended(idle[-1], within_s=0.1)


async def test_a_port_that_counts_by_address_lets_no_address_take_anothers_connections(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bounded_listeners, "source_of", str)
    async with AsyncExitStack() as stack:
        runner, port = await serve(pages(), "127.0.0.1", port=0, by_address=True)
        stack.push_async_callback(runner.cleanup)
        door = Door(port, {}, stack)
        other = await door.connect()
        assert await door.ask(other) != b""
        many = [await door.connect(host="127.0.0.9") for _ in range(12)]
        assert await door.ask(many[-1]) == b"HTTP/1.1 200 OK\r\n"
        assert all([await ended(one) for one in many[: -bounded_listeners.MOST_PER_PEER]])
        assert await door.ask(other) == b"HTTP/1.1 200 OK\r\n"


async def test_of_very_many_addresses_the_one_that_came_first_gives_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bounded_listeners, "source_of", str)
    monkeypatch.setattr(bounded_listeners, "MOST_ADDRESSES", 3)
    async with AsyncExitStack() as stack:
        runner, port = await serve(pages(), "127.0.0.1", port=0, by_address=True)
        stack.push_async_callback(runner.cleanup)
        door = Door(port, {}, stack)
        first, *others = [await door.connect(host=f"127.0.0.{number}") for number in range(2, 6)]
        assert await ended(first)
        for one in others:
            assert await door.ask(one) == b"HTTP/1.1 200 OK\r\n"


async def test_requests_that_are_none_write_one_line_of_log(
    plain: Door, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(30):
        streams = await plain.connect()
        streams[1].write(b"GET / HTTP/9.9 nonsense\r\n\r\n")
        await ended(streams)
    assert len(caplog.records) <= 1


async def test_a_port_that_is_closed_ends_handshakes_under_way(door: Door) -> None:
    slow = await door.connect()
    await asyncio.sleep(0.05)
    closing = asyncio.create_task(door.stack.aclose())
    assert await ended(slow)
    async with asyncio.timeout(1.0):
        await closing


async def test_a_process_without_free_descriptors_serves_again_when_there_are_some(
    plain: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_listeners, "REST_S", 0.1)
    accept = bounded_listeners._accept

    def full(listening: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(bounded_listeners, "_accept", full)
    waiting = await plain.connect()
    await asyncio.sleep(0.3)
    monkeypatch.setattr(bounded_listeners, "_accept", accept)
    assert await plain.ask(waiting) == b"HTTP/1.1 200 OK\r\n"


def test_a_process_asks_for_the_descriptors_of_the_largest_row() -> None:
    code = (
        "from resource import RLIMIT_NOFILE, getrlimit, setrlimit;"
        "from loadline_api.bounded_listeners import ask_for_descriptors;"
        "hard = getrlimit(RLIMIT_NOFILE)[1]; setrlimit(RLIMIT_NOFILE, (128, hard));"
        "ask_for_descriptors(); print(getrlimit(RLIMIT_NOFILE)[0] == min(hard, 16384))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"True\n"
