"""
The node's end of the wire: one report out, one lease back, whoever leads.

A node doesn't watch who is elected. It asks a candidate, and one that doesn't lead
says who does; one that doesn't answer in time is passed over for the next. Each
candidate gets a connection of its own, whose TLS context trusts that candidate's
certificate and no other, so that nobody answers in somebody else's name; a report
out of turn opens a second one beside the held one.

A coordinator of a large row may have a thousand handshakes to do before one's own, and a
handshake costs it as much as a dozen exchanges. Members that give theirs up, and begin again at the
end of the queue, leave it with work for nobody: once that fills its processor none gets in any
more, however long they try. So an attempt to connect is never given up because a report can't wait
for it: it goes on in the background, while other candidates are asked, and what it brings
serves a later report. And a late answer is waited for as long as it can be of use, because
giving it up closes its connection.

aiohttp's client is used here, although httpx speaks to the API server: for one
exchange a second it was measured at 0.29 ms of CPU instead of 0.98 ms, a tenth of
the whole agent's budget less, and the server part is loaded anyway.
"""

import asyncio
import json
import random
import ssl
from collections.abc import Awaitable, Callable
from types import TracebackType

import aiohttp

from loadline_agent.domain.peers import Peer
from loadline_api.reports import LONGEST_MESSAGE, VERSION_HEADER, WIRE_VERSION, decode_lease, encode_report
from loadline_policies.errors import InvalidInput, LoadlineError
from loadline_policies.power.protocol.messages import Lease, Report

CONNECT_S, LONGEST_CONNECT_S = 0.5, 1.6
"""How long a report waits for a connection with its handshake, at first and after many in vain. Chosen: a
node of the same row answers in milliseconds."""

ATTEMPT_S = 20.0
"""How long an attempt to connect goes on. As gRPC's MIN_CONNECT_TIMEOUT: a thousand handshakes take 2 s of a
processor, and several times that of one that has leases to give beside them."""

ANSWER_S = 3.0
"""For an exchange over a connection. Chosen: what a lease of 4 s has left when its successor is asked for.
Then the node steps down, whoever it asks: a coordinator that hangs is followed by another after 15 s only,
and one that has given up says so."""

TRIES_IN_A_LEASE, TRY_S = 13, 1.0
"""After so many tries in a row without news, each takes so long at least, as one does that is held. Chosen:
with the pause between two, so many take the 4 s of a lease. Then the node has stepped down, and a try that is
refused costs as much as one that is answered."""

LOOK_AGAIN_S = (1.0, 8.0)
"""Between two looks for the candidates' addresses while one can't be reached: doubling. Chosen."""

IDLE_S, WARM_EVERY_S = 60.0, 40.0
"""How long an idle connection is kept, and how often the second one is used: before it is that old."""

WARM_AFTER_S = (2.0, 12.0)
"""When the second one is opened, after a candidate's first lease. Chosen: a new coordinator has first
connections to make for all, and these take a fifth of its processor in the largest row."""

_HEADERS = {VERSION_HEADER: str(WIRE_VERSION), "Content-Type": "application/json"}


class Unanswered(LoadlineError):
    """No lease came of an exchange; try again, elsewhere. `reason` counts it in a metric."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


class ReportClient:
    """Speaks to the coordinator among `candidates()`, and finds it again when it moves.

    `context` makes the TLS context for one peer; `relist` looks for the candidates anew, since one whose
    pod was replaced has another address. Use it as an async context manager.
    """

    def __init__(
        self,
        candidates: Callable[[str], tuple[Peer, ...]],
        *,
        context: Callable[[Peer], ssl.SSLContext],
        relist: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._candidates, self._context, self._relist = candidates, context, relist
        self._relisting: asyncio.Future[None] | None = None
        self._relist_from_s, self._looks = float("-inf"), 0
        self._missed = self._in_vain = 0
        self._sessions: dict[Peer, aiohttp.ClientSession] = {}
        self._named = ""
        self._passed_over = self._unreached = ""
        self._answered_s: dict[Peer, float] = {}
        self._attempts: dict[Peer, asyncio.Task[Exception | None]] = {}
        self._warm_from_s: dict[Peer, float] = {}
        self._over = False

    async def __aenter__(self) -> "ReportClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over = True
        for task in (*self._attempts.values(), self._relisting):
            if task is not None:
                task.cancel()
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()

    @property
    def coordinator(self) -> str:
        """The node that last answered with a lease, or was named as the one who leads; empty if unknown."""
        return self._named

    async def exchange(self, report: Report) -> Lease | None:
        """The lease for `report`; None if a later report of this node was answered instead.

        Raises Unanswered, after which the next candidate's turn has come.
        """
        began_s = asyncio.get_running_loop().time()
        try:
            lease = await self._exchange(report)
        except Unanswered:
            if self._in_vain > TRIES_IN_A_LEASE:
                await asyncio.sleep(began_s + TRY_S - asyncio.get_running_loop().time())
            raise
        self._missed = self._looks = self._in_vain = 0
        return lease

    async def _exchange(self, report: Report) -> Lease | None:
        peers = self._candidates(report.domain)
        peer = await self._peer(report.domain, peers)
        try:
            await self._reach(peer, within_s=patience_s(self._missed, candidates=len(peers)))
            async with self._sessions[peer].post("/v1/reports", data=encode_report(report)) as response:
                body = await _bounded(response)
                self._answered_s[peer] = asyncio.get_running_loop().time()
                return self._read(peer, response.status, body=body)
        except (aiohttp.ClientError, TimeoutError, InvalidInput, KeyError) as error:
            self._miss(peer)
            raise Unanswered(
                "Unreachable", f"reporting to {peer.node} ({peer.address}): {error!r}"
            ) from error

    def _miss(self, peer: Peer) -> None:
        self._missed, self._in_vain, self._unreached = self._missed + 1, self._in_vain + 1, peer.node
        self._answered_s.pop(peer, None)
        self._warm_from_s.pop(peer, None)
        self._pass_over(peer)
        self._look_again()

    async def _reach(self, peer: Peer, *, within_s: float) -> None:
        """Return once a connection stands; TimeoutError if that takes longer, and the attempt goes on."""
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

    def _look_again(self) -> None:
        """Have the candidates' addresses looked up in the background, ever more seldom until one answers."""
        now, (first_s, longest_s) = asyncio.get_running_loop().time(), LOOK_AGAIN_S
        busy = self._relisting is not None and not self._relisting.done()
        if self._relist is None or busy or now < self._relist_from_s:
            return
        self._relist_from_s = now + min(longest_s, first_s * 2**self._looks) * random.uniform(0.5, 1.0)
        self._looks = min(self._looks + 1, 8)
        self._relisting = asyncio.ensure_future(self._relist())

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
        except (aiohttp.ClientError, TimeoutError, InvalidInput, KeyError) as error:
            return error
        self._answered_s[peer] = asyncio.get_running_loop().time()
        return None

    async def _peer(self, domain: str, peers: tuple[Peer, ...]) -> Peer:
        await self._forget(set(peers))
        if self._over:
            raise Unanswered("Over", "this agent is shutting down, so it opens no new connection")
        if not peers:
            raise Unanswered("NoCandidates", f"domain {domain!r} has no candidate with a certificate yet")
        peer = chosen(peers, named=self._named, passed_over=self._passed_over)
        if peer not in self._sessions:
            self._sessions[peer] = self._session(peer)
        return peer

    async def _forget(self, peers: set[Peer]) -> None:
        for peer in self._sessions.keys() - peers:
            session = self._sessions.pop(peer, None)  # another exchange may have been quicker
            if session is not None:
                await session.close()
            self._answered_s.pop(peer, None)
            self._warm_from_s.pop(peer, None)

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

    def _read(self, peer: Peer, status: int, *, body: bytes) -> Lease | None:
        if status == 200:
            self._named = peer.node
            now = asyncio.get_running_loop().time()
            self._warm_from_s.setdefault(peer, now + random.uniform(*WARM_AFTER_S))
            return decode_lease(body)
        if status == 204:
            return None
        self._pass_over(peer)
        if status == 421:
            self._named = _coordinator_in(body)
            news = self._named not in ("", peer.node, self._unreached)
            self._in_vain = 0 if news else self._in_vain + 1
            raise Unanswered(
                "NotLeading", f"{peer.node} is not the coordinator; it names {self._named or 'none'}"
            )
        self._in_vain += 1
        raise Unanswered(f"Refused{status}", f"{peer.node}: {body[:300].decode(errors='replace')}")

    def _pass_over(self, peer: Peer) -> None:
        """Ask the candidate after this one from now on."""
        self._named, self._passed_over = "", peer.node


def patience_s(missed: int, *, candidates: int) -> float:
    """How long a handshake is waited for after so many exchanges were missed since the last lease.

    It is doubled with as many as there are candidates, so that who waits for one that is busy doesn't ask
    the others without end. Their answer doesn't end that count: it only names the coordinator.
    """
    rounds = min(missed // max(1, candidates), 8)
    return min(LONGEST_CONNECT_S, CONNECT_S * 2.0**rounds)


def chosen(peers: tuple[Peer, ...], *, named: str, passed_over: str) -> Peer:
    """The named candidate; else the first, by name, after the one that was passed over."""
    in_order = sorted(peers, key=lambda peer: (peer.node <= passed_over, peer.node))
    return next((peer for peer in in_order if peer.node == named), in_order[0])


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    if response.status == 204:
        return b""
    if response.content_length is None or response.content_length > LONGEST_MESSAGE:
        raise InvalidInput(
            "answer", response.content_length, fix=f"give a length of at most {LONGEST_MESSAGE}"
        )
    return await response.read()


def _coordinator_in(body: bytes) -> str:
    """The node that a 421 names; empty if it names none."""
    try:
        named = json.loads(body).get("coordinator")
    except (ValueError, AttributeError):
        return ""
    return named if isinstance(named, str) else ""
