"""Whatever way an exchange ends, its connections end with it; its peers hear of it at once."""

import asyncio
import ssl
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from loadline_agent.domain.peers import Peer
from loadline_agent.domain.report_clients import ReportClient, Unanswered
from loadline_agent.domain.tls_identity import Identity, client_context, server_context, trust
from loadline_policies.power.protocol.messages import Report
from testbed.connection_counts import Peer as Server
from testbed.connection_counts import at_every_step, peer, uncollected

REPORT = Report(
    node="member", domain="row", sequence=1, age_s=0.0, host_watts=500.0, host_max_watts=500.0, gpus=()
)


@pytest.fixture(autouse=True)
def rest() -> Iterator[None]:
    with uncollected():
        yield


@pytest.fixture
def members(tmp_path: Path) -> tuple[Identity, Identity]:
    """Two who trust each other."""
    leader, member = (
        Identity.load_or_create(tmp_path / name, node=name, address="127.0.0.1:1")
        for name in ("leader", "member")
    )
    return leader, member


def exchanges(server: Server, leader: Identity, member: Identity) -> ReportClient:
    candidates = (Peer(leader.node, f"127.0.0.1:{server.port}", leader.der),)
    return ReportClient(lambda _: candidates, context=lambda peer: client_context(member, peer.certificate))


def trusting(leader: Identity, member: Identity) -> ssl.SSLContext:
    context = server_context(leader)
    trust(context, member.der)
    return context


async def test_an_exchange_that_is_cancelled_at_any_step(members: tuple[Identity, Identity]) -> None:
    async with peer(trusting(*members)) as server:

        async def once() -> None:
            async with exchanges(server, *members) as made:
                with pytest.raises(Unanswered):
                    await made.exchange(REPORT)

        assert await at_every_step(once, server.ended) > 10


async def test_an_exchange_with_one_who_says_nothing_any_more(members: tuple[Identity, Identity]) -> None:
    async with peer(trusting(*members), mute=True) as server:
        async with exchanges(server, *members) as made:
            asked = asyncio.create_task(made.exchange(REPORT))
            await server.heard.wait()
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)
        await server.ended()


async def test_exchanges_that_are_over_open_nothing(members: tuple[Identity, Identity]) -> None:
    async with peer(trusting(*members)) as server:
        async with exchanges(server, *members) as made:
            pass
        with pytest.raises(Unanswered, match="this agent is shutting down"):
            await made.exchange(REPORT)
        assert server.came == 0


async def test_two_exchanges_may_let_go_of_the_same_peers(members: tuple[Identity, Identity]) -> None:
    leader, member = members
    async with peer(trusting(leader, member)) as server:
        address = f"127.0.0.1:{server.port}"
        candidates = [Peer(name, address, leader.der) for name in ("first", "second")]
        contexts = partial(client_context, member)
        async with ReportClient(
            lambda _: tuple(candidates), context=lambda one: contexts(one.certificate)
        ) as made:
            for _ in range(2):
                with pytest.raises(Unanswered, match="field required"):
                    await made.exchange(REPORT)
            candidates.clear()
            both = await asyncio.gather(*(made.exchange(REPORT) for _ in range(2)), return_exceptions=True)
            assert [type(one) for one in both] == [Unanswered, Unanswered]
            await server.ended()
