"""
A whole row that comes to one coordinator at once gets in, however slow that one is.

What a handshake costs is injected: the listener does one after the other, each in its time, whether or not
its member still waits. So the test needs no busy processor, and members that give up and come again are
the same loss as on a machine that is too small.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from loadline_agent.domain import peer_connections, report_clients
from loadline_agent.domain.peers import Peer
from loadline_agent.domain.report_clients import ReportClient, Unanswered
from loadline_agent.domain.tls_identity import Identity, client_context, server_context, trust
from loadline_agent.http_servers import serve
from loadline_api.bounded_listeners import BoundedListener
from loadline_api.reports import decode_report, encode_lease
from loadline_policies.power.protocol.messages import Act, Epoch, Lease, Report
from testbed.connection_counts import uncollected

MEMBERS = 24
HANDSHAKE_S = 0.05
"""Twenty-four take 1.2 s: as a thousand do where each takes its 2 ms and the leases of a row beside."""

ROW_S = MEMBERS * HANDSHAKE_S
RETRY_S = 0.06


@pytest.fixture(autouse=True)
def rest() -> Iterator[None]:
    with uncollected():
        yield


@pytest.fixture(autouse=True)
def quicker(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fifth of the product's times, and a fifth of a large row's handshakes."""
    monkeypatch.setattr(report_clients, "CONNECT_S", 0.1)
    monkeypatch.setattr(report_clients, "LONGEST_CONNECT_S", 0.32)


class Coordinator:
    """Answers each report with a lease; its handshakes take their time one after the other."""

    def __init__(self, identity: Identity, members: list[Identity]) -> None:
        self.identity, self.members, self.shaken = identity, members, 0
        self.stalls_s = 0.0
        self.port = 0
        self._turn = asyncio.Lock()

    async def open(self, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
        establish = BoundedListener._establish

        async def one_by_one(listener: BoundedListener, *arguments: Any) -> None:
            async with self._turn:
                await asyncio.sleep(HANDSHAKE_S)
            self.shaken += 1
            await establish(listener, *arguments)

        monkeypatch.setattr(BoundedListener, "_establish", one_by_one)
        app = web.Application()
        app.router.add_post("/v1/reports", self._lease)
        app.router.add_get("/v1/coordinator", self._name)
        context = server_context(self.identity)
        trust(context, *(one.der for one in self.members))
        runner, self.port = await serve(app, "127.0.0.1", port=0, context=lambda: context)
        stack.push_async_callback(runner.cleanup)

    @property
    def peer(self) -> Peer:
        return Peer(self.identity.node, f"127.0.0.1:{self.port}", self.identity.der)

    async def _lease(self, request: web.Request) -> web.Response:
        report = decode_report(await request.read())
        await asyncio.sleep(self.stalls_s)
        lease = Lease(
            domain="row",
            epoch=Epoch(1, "uid"),
            sequence=1,
            answers=report.sequence,
            lease_s=4.0,
            act=Act.OBSERVE,
            limits=(),
            plan_version=0,
            trigger_watts=1.0,
            heat=0.0,
            level="Normal",
            policy_hash="",
        )
        return web.Response(body=encode_lease(lease), content_type="application/json")

    async def _name(self, request: web.Request) -> web.Response:
        return web.json_response({"coordinator": self.identity.node})


class Member:
    """One that reports until it is answered, as a node does."""

    def __init__(self, identity: Identity, coordinator: Coordinator) -> None:
        contexts = partial(client_context, identity)
        self.client = ReportClient(
            lambda _: (coordinator.peer,), context=lambda peer: contexts(peer.certificate)
        )
        self.node, self.sequence = identity.node, 0

    async def lease(self) -> Lease:
        while True:
            try:
                answer = await self.exchange()
            except Unanswered:
                await asyncio.sleep(RETRY_S)
            else:
                assert answer is not None
                return answer

    async def exchange(self) -> Lease | None:
        self.sequence += 1
        return await self.client.exchange(
            Report(
                node=self.node,
                domain="row",
                sequence=self.sequence,
                age_s=0.0,
                host_watts=500.0,
                host_max_watts=500.0,
                gpus=(),
            )
        )


@pytest.fixture
async def row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Coordinator, list[Member]]]:
    leader, *members = (
        Identity.load_or_create(tmp_path / f"node-{index}", node=f"node-{index}", address="127.0.0.1:1")
        for index in range(MEMBERS + 1)
    )
    coordinator = Coordinator(leader, members)
    async with AsyncExitStack() as stack:
        await coordinator.open(stack, monkeypatch)
        made = [Member(one, coordinator) for one in members]
        for one in made:
            await stack.enter_async_context(one.client)
        yield coordinator, made


async def test_a_row_that_comes_at_once_gets_in_though_its_handshakes_outlast_every_patience(
    row: tuple[Coordinator, list[Member]],
) -> None:
    """Who gives up and comes again leaves a handshake that is done for nobody: then none is ever in time."""
    coordinator, members = row
    async with asyncio.timeout(3 * ROW_S):
        leases = await asyncio.gather(*(member.lease() for member in members))
    assert len(leases) == MEMBERS
    assert coordinator.shaken == MEMBERS, "each handshake was somebody's"


async def test_a_late_answer_costs_no_new_handshake(row: tuple[Coordinator, list[Member]]) -> None:
    """A coordinator that stands still for a moment isn't asked for a row of handshakes after it."""
    coordinator, members = row
    async with asyncio.timeout(3 * ROW_S):
        await asyncio.gather(*(member.lease() for member in members))
    coordinator.stalls_s = 2.0
    assert None not in await asyncio.gather(*(member.exchange() for member in members))
    assert coordinator.shaken == MEMBERS


async def test_the_second_connections_of_a_row_do_not_come_with_its_first(
    row: tuple[Coordinator, list[Member]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer_connections, "WARM_AFTER_S", (0.4, 0.5))
    coordinator, members = row
    for waits_s, shaken in ((0.1, 1), (0.5, 1), (0.1, 2)):
        await members[0].lease()
        await asyncio.sleep(waits_s)
        assert coordinator.shaken == shaken
