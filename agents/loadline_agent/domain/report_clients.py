"""
The node's end of the wire: one report out, one lease back, whoever leads.

A node doesn't watch who is elected. It asks a candidate, and one that doesn't lead
says who does; one that doesn't answer in time is passed over for the next. Each
candidate gets connections of its own (`peer_connections`), so that nobody answers in
somebody else's name. A report doesn't wait for long for one; the attempt to connect goes on
without it.
"""

import asyncio
import json
import random
import ssl
from collections.abc import Awaitable, Callable
from types import TracebackType

from loadline_agent.domain.peer_connections import FAULTS, PeerConnections
from loadline_agent.domain.peers import Peer
from loadline_api.reports import decode_lease, encode_report
from loadline_policies.errors import LoadlineError
from loadline_policies.power.protocol.messages import Lease, Report

CONNECT_S, LONGEST_CONNECT_S = 0.5, 1.6
"""How long a report waits for a connection with its handshake, at first and after many in vain. Chosen: a
node of the same row answers in milliseconds."""

TRIES_IN_A_LEASE, TRY_S = 13, 1.0
"""After so many tries in a row without news, each takes so long at least, as one does that is held. Chosen:
with the pause between two, so many take the 4 s of a lease. Then the node has stepped down, and a try that is
refused costs as much as one that is answered."""

LOOK_AGAIN_S = (1.0, 8.0)
"""Between two looks for the candidates' addresses while one can't be reached: doubling. Chosen."""


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
        self._candidates, self._relist = candidates, relist
        self._connections = PeerConnections(context)
        self._relisting: asyncio.Future[None] | None = None
        self._relist_from_s, self._looks = float("-inf"), 0
        self._missed = self._in_vain = 0
        self._named = ""
        self._passed_over = self._unreached = ""
        self._over = False

    async def __aenter__(self) -> "ReportClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over = True
        if self._relisting is not None:
            self._relisting.cancel()
        await self._connections.close()

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
            within_s = patience_s(self._missed, candidates=len(peers))
            await self._connections.reach(peer, within_s=within_s)
            status, body = await self._connections.post(peer, "/v1/reports", encode_report(report))
            return self._read(peer, status, body=body)
        except FAULTS as error:
            self._miss(peer)
            raise Unanswered(
                "Unreachable", f"reporting to {peer.node} ({peer.address}): {error!r}"
            ) from error

    def _miss(self, peer: Peer) -> None:
        self._missed, self._in_vain, self._unreached = self._missed + 1, self._in_vain + 1, peer.node
        self._connections.missed(peer)
        self._pass_over(peer)
        self._look_again()

    def _look_again(self) -> None:
        """Have the candidates' addresses looked up in the background, ever more seldom until one answers."""
        now, (first_s, longest_s) = asyncio.get_running_loop().time(), LOOK_AGAIN_S
        busy = self._relisting is not None and not self._relisting.done()
        if self._relist is None or busy or now < self._relist_from_s:
            return
        self._relist_from_s = now + min(longest_s, first_s * 2**self._looks) * random.uniform(0.5, 1.0)
        self._looks = min(self._looks + 1, 8)
        self._relisting = asyncio.ensure_future(self._relist())

    async def _peer(self, domain: str, peers: tuple[Peer, ...]) -> Peer:
        await self._connections.keep(set(peers))
        if self._over:
            raise Unanswered("Over", "this agent is shutting down, so it opens no new connection")
        if not peers:
            raise Unanswered("NoCandidates", f"domain {domain!r} has no candidate with a certificate yet")
        return chosen(peers, named=self._named, passed_over=self._passed_over)

    def _read(self, peer: Peer, status: int, *, body: bytes) -> Lease | None:
        if status == 200:
            self._named = peer.node
            self._connections.leased(peer)
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


def _coordinator_in(body: bytes) -> str:
    """The node that a 421 names; empty if it names none."""
    try:
        named = json.loads(body).get("coordinator")
    except (ValueError, AttributeError):
        return ""
    return named if isinstance(named, str) else ""
