"""
A member's connections to its candidates: one for the report that is held, one for a report out of turn.

A coordinator of a large row may have a thousand handshakes to do before one's own, and a
handshake costs it as much as nine exchanges. Members that give theirs up, and begin again at the
end of the queue, leave it with work for nobody: once that fills its processor none gets in any
more, however long they try. So an attempt to connect is never given up because a report can't wait
for it: it goes on in the background, while `report_clients` asks other candidates, and what it brings
serves a later report.

Each candidate has a TLS context of its own, which trusts its certificate and no other. aiohttp's client is
used here, although httpx speaks to the API server: for one exchange a second it was measured at 0.29 ms of
CPU instead of 0.98 ms, a tenth of the whole agent's budget less, and the server part is loaded anyway.
"""

import asyncio
import random
import ssl
from collections.abc import Callable

import aiohttp

from loadline_agent.domain.peers import Peer
from loadline_api.reports import LONGEST_MESSAGE, VERSION_HEADER, WIRE_VERSION
from loadline_policies.errors import InvalidInput

ATTEMPT_S = 20.0
"""How long an attempt to connect goes on. As gRPC's MIN_CONNECT_TIMEOUT: a thousand handshakes take 2 s of a
processor, and several times that of one that has leases to give beside them."""

ANSWER_S = 3.0
"""For an exchange over a connection. Chosen: what a lease of 4 s has left when its successor is asked for.
Then the node steps down, whoever it asks: a coordinator that hangs is followed by another after 15 s only,
and one that has given up says so. Giving an answer up closes its connection."""

IDLE_S, WARM_EVERY_S = 60.0, 40.0
"""How long an idle connection is kept, and how often the second one is used: before it is that old."""

WARM_AFTER_S = (2.0, 12.0)
"""When the second one is opened, after a candidate's first lease. Chosen: a new coordinator has first
connections to make for all, and these take a fifth of its processor in the largest row."""

FAULTS = (aiohttp.ClientError, TimeoutError, InvalidInput, KeyError)
"""What may come of a request: KeyError where its peer was forgotten meanwhile."""

_HEADERS = {VERSION_HEADER: str(WIRE_VERSION), "Content-Type": "application/json"}


class PeerConnections:
    """Connections by peer, made as they are needed; `context` makes the TLS context for one."""

    def __init__(self, context: Callable[[Peer], ssl.SSLContext]) -> None:
        self._context = context
        self._sessions: dict[Peer, aiohttp.ClientSession] = {}
        self._attempts: dict[Peer, asyncio.Task[Exception | None]] = {}
        self._answered_s: dict[Peer, float] = {}
        self._warm_from_s: dict[Peer, float] = {}

    async def close(self) -> None:
        """Close all, and give up what is under way."""
        for attempt in self._attempts.values():
            attempt.cancel()
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()

    async def keep(self, peers: set[Peer]) -> None:
        """Close those to anybody else."""
        for peer in self._sessions.keys() - peers:
            session = self._sessions.pop(peer, None)  # another exchange may have been quicker
            if session is not None:
                await session.close()
            self.missed(peer)

    async def reach(self, peer: Peer, *, within_s: float) -> None:
        """Return once a connection stands; TimeoutError if that takes longer, and the attempt goes on."""
        if peer not in self._sessions:
            self._sessions[peer] = self._session(peer)
        now = asyncio.get_running_loop().time()
        if now - self._answered_s.get(peer, float("-inf")) < IDLE_S:
            self._warm(peer, now)
            return
        attempt = self._attempt(peer)
        await asyncio.wait({attempt}, timeout=within_s)
        if not attempt.done():
            raise TimeoutError(f"no connection within {within_s:g} s; the attempt goes on")
        error = aiohttp.ClientConnectionError("closed") if attempt.cancelled() else attempt.result()
        if error is not None:
            raise error

    async def post(self, peer: Peer, path: str, body: bytes) -> tuple[int, bytes]:
        """Status and body of the answer, over a connection that was reached. Raises FAULTS."""
        async with self._sessions[peer].post(path, data=body) as response:
            answer = await _bounded(response)
            self._answered_s[peer] = asyncio.get_running_loop().time()
            return response.status, answer

    def leased(self, peer: Peer) -> None:
        """A peer leads, so a second connection to it is worth having soon."""
        if peer not in self._warm_from_s:
            self._warm_from_s[peer] = asyncio.get_running_loop().time() + random.uniform(*WARM_AFTER_S)

    def missed(self, peer: Peer) -> None:
        """A peer hasn't answered: whether a connection to it stands isn't known any more."""
        self._answered_s.pop(peer, None)
        self._warm_from_s.pop(peer, None)

    def _warm(self, peer: Peer, now: float) -> None:
        """Keep a second connection at hand beside the one that is held.

        A report out of turn can't wait for a handshake, least of all when a whole row sends one.
        """
        if now >= self._warm_from_s.get(peer, float("inf")):
            self._warm_from_s[peer] = now + WARM_EVERY_S
            self._attempt(peer)

    def _attempt(self, peer: Peer) -> "asyncio.Task[Exception | None]":
        """Knock at a peer in the background, over a connection that no report uses; one attempt at a time."""
        attempt = self._attempts.get(peer)
        if attempt is None:
            attempt = self._attempts[peer] = asyncio.create_task(self._knock(peer))
            attempt.add_done_callback(lambda _: self._attempts.pop(peer, None))
        return attempt

    async def _knock(self, peer: Peer) -> Exception | None:
        """Why a peer can't be reached; None if it answers."""
        try:
            timeout = aiohttp.ClientTimeout(total=ATTEMPT_S)
            async with self._sessions[peer].get("/v1/coordinator", timeout=timeout) as response:
                await _bounded(response)
        except FAULTS as error:
            return error
        self._answered_s[peer] = asyncio.get_running_loop().time()
        return None

    def _session(self, peer: Peer) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            base_url=f"https://{peer.address}",
            connector=aiohttp.TCPConnector(ssl=self._context(peer), limit=2, keepalive_timeout=IDLE_S),
            timeout=aiohttp.ClientTimeout(total=ANSWER_S),
            headers=_HEADERS,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
            auto_decompress=False,
        )


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    if response.status == 204:
        return b""
    if response.content_length is None or response.content_length > LONGEST_MESSAGE:
        raise InvalidInput(
            "answer", response.content_length, fix=f"give a length of at most {LONGEST_MESSAGE}"
        )
    return await response.read()
