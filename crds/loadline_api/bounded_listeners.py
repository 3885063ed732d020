"""
Listening at a port so that strangers cost little: few connections, and none for long.

Whoever reaches a port may open connections as fast as it likes and say nothing. asyncio gives
each a minute for its handshake and counts none, until the process has no descriptor left for its
own files. Here handshakes have a few seconds. Where too many are under way, the oldest gives way
once it has had the time that a member's takes; until then nobody else is let in, and whoever comes
waits in the kernel; who has gone by its turn costs nothing. So a row that comes at once gets in, and
strangers cost no more than that many connections in that time. What is established is bounded for
each certificate, so that no member can take another's place; on a plain port, where nobody shows
one, for each address or for everybody together. What failed handshakes may cost is in `failure_budgets`.
"""

import asyncio
import resource
import select
import socket
import ssl
from asyncio import sslproto
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from loadline_api.failure_budgets import FailureBudget, source_of

HANDSHAKE_S: Final = 5.0
"""For a handshake from its first byte to its last, and for the end of a connection. Chosen."""

MOST_HANDSHAKES: Final = 256
"""Handshakes under way at a time. Chosen: 0.5 s of a processor; a row that comes at once has its turns."""

GIVE_WAY_S: Final = 1.0
"""How old a handshake has to be to give way. Chosen: twice what all of them take together."""

MOST_DESCRIPTORS: Final = 16384
"""Descriptors to ask for. Chosen: three times what the coordinator of the largest row holds."""

TLS_BUFFER_BYTES: Final = 32 * 1024
"""What a TLS connection reads at once. Chosen: two records; a report has some KiB."""

MOST_PER_PEER: Final = 4
"""Connections of one certificate: an agent holds two, and those of its life before may still stand."""

MOST_ADDRESSES: Final = 256
"""Addresses with connections to a plain port that counts by address: twice the pods of a node. Chosen."""

MOST_PLAIN: Final = 64
"""Connections to a port without TLS: probes, scrapes, and a few people. Chosen."""

MOST_GIVEN_UP: Final = 64
"""Connections that are closed in one turn because their clients have gone. Chosen: a millisecond."""

REST_S: Final = 1.0
"""Until there is another try to accept when there are no descriptors left. As asyncio does."""

BACKLOG: Final = 1024
"""Connections that the kernel holds until they are accepted: half of a full row. Chosen."""


class BoundedListener:
    """Accepts at bound `sockets`, and gives each connection a `handler` once it is established.

    `context` gives the one for the next handshake, and `failed` gets what ended one.
    `exhausted` is told why nothing can be accepted for a moment. `by_address` bounds the connections to a
    plain port for each address.
    """

    def __init__(
        self,
        handler: Callable[[], asyncio.Protocol],
        sockets: list[socket.socket],
        *,
        context: Callable[[], ssl.SSLContext] | None = None,
        failed: Callable[[Exception], None] = lambda error: None,
        exhausted: Callable[[OSError], None] = lambda error: None,
        by_address: bool = False,
    ) -> None:
        self._handler, self.sockets, self._by_address = handler, sockets, by_address
        self._context, self._failed, self._exhausted = context, failed, exhausted
        self._loop = asyncio.get_running_loop()
        self._failures = FailureBudget(self._loop.time)
        self._handshakes: dict[asyncio.Task[None], tuple[socket.socket, float]] = {}
        self._full = False
        self._pausing: asyncio.TimerHandle | None = None
        self._established: dict[bytes, deque[asyncio.Transport]] = {}
        self._peers_when_swept = 0
        for one in sockets:
            one.setblocking(False)
            one.listen(BACKLOG)
        self._resume()

    def close(self) -> None:
        """Accept no more, and end the handshakes under way; what is established stays."""
        self._pause(0.0)
        for one in self.sockets:
            one.close()
        for connection, _ in self._handshakes.values():
            _end(connection)

    def _ready(self, listening: socket.socket) -> None:
        """Take one connection; others have their turn before the next."""
        if not self._has_room():
            return
        try:
            connection, address = _accept_alive(listening)
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            self._exhausted(error)
            self._pause(REST_S)
            return
        source = source_of(str(address[0]))
        if source is not None and not self._failures.allows(source):
            connection.close()
            self._failed(ConnectionAbortedError(f"{source} has failed too often"))
            return
        task = self._loop.create_task(self._establish(connection, source))
        self._handshakes[task] = connection, self._loop.time()
        task.add_done_callback(self._over)

    def _has_room(self) -> bool:
        """Whether one more can be let in now; if not, that is looked at again in time."""
        if len(self._handshakes) < MOST_HANDSHAKES:
            return True
        oldest = next(iter(self._handshakes))
        connection, began_s = self._handshakes[oldest]
        wait_s = began_s + GIVE_WAY_S - self._loop.time()
        if wait_s > 0:
            self._pause(wait_s)
            self._full = True
            return False
        _end(connection)
        del self._handshakes[oldest]
        return True

    def _over(self, task: asyncio.Task[None]) -> None:
        self._handshakes.pop(task, None)
        if self._full:
            self._resume()

    def _pause(self, seconds: float) -> None:
        """Leave whoever comes to the kernel for a while."""
        for one in self.sockets:
            self._loop.remove_reader(one)
        self._pausing = self._loop.call_later(seconds, self._resume)

    def _resume(self) -> None:
        self._full = False
        if self._pausing is not None:
            self._pausing.cancel()
            self._pausing = None
        for one in self.sockets:
            if one.fileno() >= 0:
                self._loop.add_reader(one, self._ready, one)

    async def _establish(self, connection: socket.socket, source: str | None) -> None:
        seconds = HANDSHAKE_S if self._context is not None else None
        try:
            transport, _ = await self._loop.connect_accepted_socket(
                self._handler,
                connection,
                ssl=self._context() if self._context is not None else None,
                ssl_handshake_timeout=seconds,
                ssl_shutdown_timeout=seconds,
            )
        except OSError as error:  # all of TLS's are
            if source is not None and isinstance(error, ssl.SSLError | ConnectionAbortedError):
                self._failures.failed(source)
            self._failed(error)
            return
        shaken: Any = transport.get_extra_info("ssl_object")
        if shaken is not None:
            self._keep(transport, peer=shaken.getpeercert(binary_form=True) or b"")
        else:
            self._keep(transport, peer=(source or "").encode() if self._by_address else b"")

    def _keep(self, transport: asyncio.Transport, *, peer: bytes) -> None:
        """Let a connection stand beside the few youngest of the same peer."""
        most = MOST_PER_PEER if self._context is not None or self._by_address else MOST_PLAIN
        standing = self._established.setdefault(peer, deque())
        standing.append(transport)
        for one in [one for one in standing if one.is_closing()]:
            standing.remove(one)
        while len(standing) > most:
            standing.popleft().abort()
        if len(self._established) > 2 * self._peers_when_swept:
            self._sweep()
        if self._by_address and len(self._established) > MOST_ADDRESSES:
            for one in self._established.pop(next(iter(self._established))):
                one.abort()

    def _sweep(self) -> None:
        """Forget peers that are gone."""
        for peer in [peer for peer, standing in self._established.items() if _gone(standing)]:
            del self._established[peer]
        self._peers_when_swept = len(self._established)


def ask_for_descriptors() -> None:
    """Raise this process's own bound: some container runtimes give 1,024, and a large row takes more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(MOST_DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def ask_for_small_buffers() -> None:
    """Have this process's TLS connections read into a buffer of two records each.

    asyncio gives each 256 KiB and touches all of it, which nothing else can change: with two connections of
    each member the coordinator of a row of 1,024 took 500 MiB for that alone.
    """
    sslproto.SSLProtocol.max_size = TLS_BUFFER_BYTES


async def bound(host: str, port: int) -> list[socket.socket]:
    """Sockets that are bound to all addresses of a host, as asyncio binds them."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(asyncio.Protocol, host, port, reuse_address=True, start_serving=False)
    sockets = [one.dup() for one in server.sockets]
    server.close()
    return sockets


def _accept_alive(listening: socket.socket) -> tuple[socket.socket, tuple[Any, ...]]:
    """The next connection whose client still waits; BlockingIOError if there is none among the next few.

    Those that have given up cost a handshake each, and whoever comes after them the time for it.
    """
    for _ in range(MOST_GIVEN_UP):
        connection, address = _accept(listening)
        if not _given_up(connection):
            return connection, address
        connection.close()
    raise BlockingIOError


def _given_up(connection: socket.socket) -> bool:
    """Whether the client has closed its end, though what it has sent before is still to be read."""
    ends = select.poll()
    ends.register(connection, select.POLLRDHUP)
    return bool(ends.poll(0))


def _accept(listening: socket.socket) -> tuple[socket.socket, tuple[Any, ...]]:
    connection, address = listening.accept()
    connection.setblocking(False)
    return connection, address


def _end(connection: socket.socket) -> None:
    """Let both sides see the end of it; its transport closes the socket then."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _gone(standing: deque[asyncio.Transport]) -> bool:
    return all(one.is_closing() for one in standing)
