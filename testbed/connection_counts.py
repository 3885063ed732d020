"""
A server that knows which connections still stand, and work that is cancelled at every step.

A socket that is left open on some rare way out, a cancellation in the middle of a
handshake above all, is seen by nobody: the collector closes it sooner or later, and a
test fails later still, elsewhere. So `Peer` counts the connections to it from their first
byte to their end, `at_every_step` cancels work after each turn of the loop that it takes,
and the collector rests meanwhile, or it would hide what is looked for.
"""

import asyncio
import gc
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field

PATIENCE_S = 5.0
"""For ends that arrive at once. Chosen."""

MOST_STEPS = 1000
"""Turns of the loop that no work here takes."""

TOLD = b"{}\n"
EVENT = b'{"type": "ADDED", "object": {"metadata": {"name": "thing"}}}\n'


@dataclass
class Peer:
    """Answers each request with `{}`, after a handshake if there is a context.

    A `mute` one sends nothing from there on, not even a close_notify; one that `streams` answers with an
    event of a watch, and never ends it.
    """

    context: ssl.SSLContext | None = None
    mute: bool = False
    streams: bool = False
    port: int = 0
    came: int = 0
    open: int = 0
    heard: asyncio.Event = field(default_factory=asyncio.Event)
    _moved: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def ended(self) -> None:
        """Return once no connection stands any more; TimeoutError if one is left open."""
        async with asyncio.timeout(PATIENCE_S), self._moved:
            await self._moved.wait_for(lambda: not self.open)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection from its first byte to its end."""
        self.came, self.open = self.came + 1, self.open + 1
        try:
            with suppress(OSError, EOFError, ssl.SSLError):
                await self._speak(reader, writer)
        finally:
            writer.transport.abort()
            async with self._moved:
                self.open -= 1
                self._moved.notify_all()

    async def _speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.mute:
            await self._listen(reader, writer)
            return
        if self.context is not None:
            await writer.start_tls(self.context)
        while await reader.readuntil(b"\r\n\r\n"):
            self.heard.set()
            length = b"Transfer-Encoding: chunked" if self.streams else b"Content-Length: %d" % len(TOLD)
            body = b"%x\r\n%s\r\n" % (len(EVENT), EVENT) if self.streams else TOLD
            writer.write(b"HTTP/1.1 200 OK\r\n" + length + b"\r\n\r\n" + body)

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read on without an answer; the handshake is by hand: asyncio's TLS would send a close_notify."""
        if self.context is not None:
            heard, said = ssl.MemoryBIO(), ssl.MemoryBIO()
            shaken = self.context.wrap_bio(heard, said, server_side=True)
            while not _shook(shaken):
                writer.write(said.read())
                heard.write(await reader.read(65536) or b"")
            writer.write(said.read())
        while await reader.read(65536):
            self.heard.set()


def _shook(shaken: ssl.SSLObject) -> bool:
    try:
        shaken.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


@asynccontextmanager
async def peer(
    context: ssl.SSLContext | None = None, *, mute: bool = False, streams: bool = False
) -> AsyncIterator[Peer]:
    """A peer on a free port of 127.0.0.1."""
    made = Peer(context, mute, streams)
    async with await asyncio.start_server(made.serve, "127.0.0.1", 0) as server:
        made.port = server.sockets[0].getsockname()[1]
        yield made


async def at_every_step(
    work: Callable[[], Awaitable[object]], after: Callable[[], Awaitable[None]], *, most: int = MOST_STEPS
) -> int:
    """Cancel `work` after one turn of the loop, then after two, and so on until it ends by itself.

    `after` is awaited each time; how many turns the whole work takes. Work that never ends, since
    its peer is mute, is cancelled after `most` turns for the last time.
    """
    for steps in range(1, most):
        task = asyncio.ensure_future(work())
        for _ in range(steps):
            await asyncio.sleep(0)
        done = not task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await after()
        if done:
            return steps
    assert most < MOST_STEPS, f"the work takes more than {MOST_STEPS} turns"
    return most


@contextmanager
def uncollected() -> Iterator[None]:
    """Nothing is closed by the collector while the block lasts."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
