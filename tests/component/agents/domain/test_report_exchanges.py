"""Reports and leases over real mutual TLS, in one event loop, with reports made by hand."""

import asyncio
import json
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.test_utils import make_mocked_request
from structlog.testing import capture_logs

from loadline_agent.boot_clock import boottime
from loadline_agent.domain import report_clients, report_servers
from loadline_agent.domain.fan_outs import FanOuts
from loadline_agent.domain.leaderships import Leadership
from loadline_agent.domain.peers import Peer
from loadline_agent.domain.report_clients import (
    CONNECT_S,
    LONGEST_CONNECT_S,
    TRIES_IN_A_LEASE,
    ReportClient,
    Unanswered,
    patience_s,
)
from loadline_agent.domain.report_servers import MOST_IN_A_TURN, ReportServer
from loadline_agent.domain.strangers import Strangers
from loadline_agent.domain.tls_identity import Identity, client_context, server_context, trust
from loadline_agent.http_servers import serve
from loadline_api.bounded_listeners import BoundedListener
from loadline_api.journals import Component, Journal
from loadline_api.reports import LONGEST_MESSAGE, VERSION_HEADER, WIRE_VERSION, decode_report, encode_report
from loadline_policies.power.protocol.messages import Act, GpuReport, Lease, Report
from testbed.doubles.agents import FileDeclarations, FileElection, Row, RowFile
from testbed.doubles.rows import free_ports
from testbed.other_versions import PROOFS, without

NODES = ("node-0", "node-1", "node-2")


@dataclass
class Door:
    """One node's server side."""

    leadership: Leadership
    declarations: FileDeclarations
    journal: Journal
    refusals: list[str] = field(default_factory=list)


@dataclass
class Bench:
    """Three identities, a row's file, and the doors opened so far."""

    directory: Path
    stack: AsyncExitStack
    identities: dict[str, Identity]
    row: Row
    servers: dict[str, ReportServer] = field(default_factory=dict)

    def tell(self, **changes: object) -> None:
        self.row = self.row.changed(self.directory / "row.json", **changes)

    async def open(self, node: str) -> Door:
        file = RowFile(self.directory / "row.json")
        declarations = FileDeclarations(file, node)
        journal = Journal(Component.AGENT, node=node, wall=lambda: 0.0)
        leadership = Leadership(declarations, journal, clock=boottime)
        leadership.election = FileElection(file, node, clock=boottime)
        leadership.step()
        door = Door(leadership, declarations, journal)
        reports = ReportServer(leadership, declarations, node=node, refused=door.refusals.append)
        self.servers[node] = reports
        context = server_context(self.identities[node])
        trust(context, *declarations.certificates)
        strangers = Strangers(declarations.relist, door.refusals.append)
        self.stack.callback(strangers.close)
        port = int(self.identities[node].address.rpartition(":")[2])
        runner, _ = await serve(
            reports.app(), "127.0.0.1", port=port, context=lambda: context, failed=strangers.failed
        )
        self.stack.push_async_callback(runner.cleanup)
        return door

    async def node(self, name: str, relist: Callable[[], Awaitable[None]] | None = None) -> ReportClient:
        declarations = FileDeclarations(RowFile(self.directory / "row.json"), name)
        contexts = partial(_context, self.identities[name])
        return await self.stack.enter_async_context(
            ReportClient(declarations.candidates, context=contexts, relist=relist)
        )

    async def post(self, node: str, body: bytes, headers: dict[str, str] | None = None) -> int:
        """A raw request to node-0, with the certificate of `node`."""
        leader = self.identities["node-0"]
        context = client_context(self.identities[node], leader.der)
        url = f"https://{leader.address}/v1/reports"
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, data=body, headers=headers, ssl=context) as response,
        ):
            return response.status


def _context(identity: Identity, peer: Peer) -> ssl.SSLContext:
    return client_context(identity, peer.certificate)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    ports = free_ports(3)
    identities = {
        node: Identity.load_or_create(tmp_path / node, node=node, address=f"127.0.0.1:{port}")
        for node, port in zip(NODES, ports, strict=True)
    }
    nodes = {node: (one.address, one.pem) for node, one in identities.items()}
    row = Row(nodes=nodes, candidates=NODES[:2], holder="node-0", budget_watts=6000.0)
    async with AsyncExitStack() as stack:
        yield Bench(tmp_path, stack, identities, row.write(tmp_path / "row.json"))


def report(node: str, sequence: int = 1, *, watts: float = 200.0, **changes: object) -> Report:
    gpus = tuple(
        GpuReport(
            uuid=f"{node}-{index}",
            watts=watts,
            enforced_watts=400.0,
            min_watts=100.0,
            max_watts=400.0,
            able=True,
            proven=True,
        )
        for index in range(4)
    )
    made = Report(
        node=node,
        domain="row",
        sequence=sequence,
        age_s=0.0,
        host_watts=500.0,
        host_max_watts=500.0,
        gpus=gpus,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def _unreadable() -> aiohttp.StreamReader:
    """A body that is there already."""
    protocol = BaseProtocol(asyncio.get_running_loop())
    body = aiohttp.StreamReader(protocol, limit=1024, loop=asyncio.get_running_loop())
    body.feed_data(b"{}")
    body.feed_eof()
    return body


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    async with asyncio.timeout(seconds):
        yield


async def settled(bench: Bench) -> tuple[list[ReportClient], list[Lease]]:
    """Three members that have been heard, and their first leases."""
    members = [await bench.node(node) for node in NODES]
    pairs = zip(members, NODES, strict=True)
    leases = await asyncio.gather(*(one.exchange(report(node)) for one, node in pairs))
    return members, [lease for lease in leases if lease is not None]


def acknowledged(lease: Lease, node: str, sequence: int, **changes: object) -> Report:
    """A report of a node that has taken this lease."""
    made = report(node, sequence, **changes)  # type: ignore[arg-type]
    safe = {limit.uuid: limit.safe_watts for limit in lease.limits}
    gpus = tuple(replace(gpu, safe_watts=safe.get(gpu.uuid)) for gpu in made.gpus)
    return replace(
        made, gpus=gpus, epoch=lease.epoch, lease_sequence=lease.sequence, armed=lease.act is Act.ENFORCE
    )


async def test_a_report_is_held_and_earns_a_lease(bench: Bench) -> None:
    await bench.open("node-0")
    _, leases = await settled(bench)
    assert [lease.answers for lease in leases] == [1, 1, 1]
    assert len({lease.sequence for lease in leases}) == 3
    assert {lease.act for lease in leases} <= {Act.ENFORCE, Act.OBSERVE}


async def test_a_report_out_of_turn_ends_the_held_one_and_is_answered_at_once(bench: Bench) -> None:
    await bench.open("node-0")
    members, leases = await settled(bench)
    held = asyncio.create_task(members[1].exchange(acknowledged(leases[1], "node-1", 2)))
    await asyncio.sleep(0.1)
    assert not held.done()
    async with within(0.5):
        lease = await members[1].exchange(acknowledged(leases[1], "node-1", 3, watts=210.0))
        assert await held is None
    assert lease is not None
    assert lease.answers == 3


async def test_a_crossing_answers_everybody_who_is_held(bench: Bench) -> None:
    await bench.open("node-0")
    members, leases = await settled(bench)
    held = [
        asyncio.create_task(members[index].exchange(acknowledged(leases[index], NODES[index], 2)))
        for index in (0, 1)
    ]
    await asyncio.sleep(0.1)
    assert not any(one.done() for one in held)
    async with within(0.5):
        await members[2].exchange(acknowledged(leases[2], "node-2", 2, watts=790.0))
        told = [await one for one in held]
    assert {lease.level for lease in told if lease is not None} == {"Brake"}


async def test_a_member_that_went_away_while_it_was_held_is_no_error(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    await bench.open("node-0")
    members, leases = await settled(bench)
    held = asyncio.create_task(members[1].exchange(acknowledged(leases[1], "node-1", 2)))
    await asyncio.sleep(0.1)
    held.cancel()
    await asyncio.sleep(0.1)
    async with within(0.5):
        crossing = await members[2].exchange(acknowledged(leases[2], "node-2", 2, watts=790.0))
    await asyncio.sleep(0.1)
    assert crossing is not None
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []


async def test_how_long_it_took_until_all_were_answered_is_journalled(bench: Bench) -> None:
    door = await bench.open("node-0")
    members, leases = await settled(bench)
    held = [
        asyncio.create_task(members[index].exchange(acknowledged(leases[index], NODES[index], 2)))
        for index in (0, 1)
    ]
    await asyncio.sleep(0.1)
    async with within(0.5):
        await members[2].exchange(acknowledged(leases[2], "node-2", 2, watts=790.0))
        await asyncio.gather(*held)
    entries = [json.loads(line) for line in door.journal.text().splitlines()]
    (entry,) = [one for one in entries if one["decider"] == "leadership/fan-out" and one["reason"] == "Brake"]
    assert entry["observation"] == {"members": 3}
    assert 0.0 <= entry["decision"]["seconds"] < 0.5


def test_a_level_is_told_once_the_last_member_was() -> None:
    now, told = 10.0, list[tuple[str, int, float]]()
    fan_outs = FanOuts(clock=lambda: now, members=lambda: 2, told=lambda *one: told.append(one))
    fan_outs.answered("Brake")
    fan_outs.written("a", "Brake")
    fan_outs.written("a", "Brake")
    assert told == []
    now = 10.5
    fan_outs.written("b", "Brake")
    fan_outs.written("a", "Brake")
    assert told == [("Brake", 2, 0.5)]


def test_a_level_that_is_over_before_all_were_told_is_forgotten() -> None:
    told: list[tuple[str, int, float]] = []
    fan_outs = FanOuts(clock=lambda: 0.0, members=lambda: 2, told=lambda *one: told.append(one))
    fan_outs.answered("Brake")
    fan_outs.written("b", "Brake")
    fan_outs.answered("Normal")
    fan_outs.written("a", "Brake")
    for node in ("a", "b"):
        fan_outs.written(node, "Normal")
    assert [level for level, _, _ in told] == ["Normal"]


async def test_a_report_that_cannot_be_true_is_refused_and_logged(bench: Bench) -> None:
    await bench.open("node-0")
    members, leases = await settled(bench)
    nonsense = replace(acknowledged(leases[1], "node-1", 2), age_s=-1.0)
    with capture_logs() as logged, pytest.raises(Unanswered, match="ageSeconds is -1"):
        await members[1].exchange(nonsense)
    (said,) = (entry for entry in logged if entry["event"] == "a report is implausible")
    assert said["node"] == "node-1"
    assert "ageSeconds" in said["why"]


async def test_reports_that_are_all_there_at_once_are_read_over_several_turns_of_the_loop(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a renewal of the Kubernetes Lease, which takes several, would wait for all of them in each."""
    await bench.open("node-0")
    server, turn, read = bench.servers["node-0"], 0, Counter[int]()

    async def tick() -> None:
        nonlocal turn
        while True:
            await asyncio.sleep(0)
            turn += 1

    def noted(body: bytes) -> Report:
        read[turn] += 1
        return decode_report(body)

    monkeypatch.setattr(report_servers, "decode_report", noted)
    ticking = asyncio.create_task(tick())
    requests = [make_mocked_request("POST", "/v1/reports", payload=_unreadable()) for _ in range(100)]
    answers = await asyncio.gather(*map(server.handle, requests))
    ticking.cancel()
    assert {answer.status for answer in answers} == {400}
    assert read.total() == 100
    assert max(read.values()) <= MOST_IN_A_TURN


async def test_an_overtaken_report_earns_nothing(bench: Bench) -> None:
    await bench.open("node-0")
    members, _ = await settled(bench)
    assert await members[1].exchange(report("node-1", 9)) is not None
    assert await members[1].exchange(report("node-1", 8)) is None


async def test_one_who_does_not_lead_names_the_one_who_does(bench: Bench) -> None:
    bench.tell(holder="node-1", transitions=2)
    await bench.open("node-0")
    await bench.open("node-1")
    member = await bench.node("node-2")
    with pytest.raises(Unanswered, match="names node-1"):
        await member.exchange(report("node-2"))
    assert await member.exchange(report("node-2", 2)) is not None
    assert member.coordinator == "node-1"


async def test_a_dead_candidate_is_passed_over(bench: Bench) -> None:
    bench.tell(holder="node-1", transitions=2)
    await bench.open("node-1")
    member = await bench.node("node-2")
    with pytest.raises(Unanswered, match="reporting to node-0"):
        await member.exchange(report("node-2"))
    assert await member.exchange(report("node-2", 2)) is not None


async def test_two_failures_at_once_pass_over_one_candidate_only(bench: Bench) -> None:
    bench.tell(holder="node-1", transitions=2)
    await bench.open("node-1")
    member = await bench.node("node-2")
    both = [member.exchange(report("node-2", sequence)) for sequence in (1, 2)]
    results = await asyncio.gather(*both, return_exceptions=True)
    assert [type(result) for result in results] == [Unanswered, Unanswered]
    assert await member.exchange(report("node-2", 3)) is not None


async def test_a_coordinator_that_is_over_answers_nobody(bench: Bench) -> None:
    door = await bench.open("node-0")
    members, leases = await settled(bench)
    assert door.leadership.coordinator is not None
    bench.tell(renews=False)
    later = replace(leases[1].epoch, transitions=7)
    claims = [acknowledged(replace(leases[i], epoch=later), f"node-{i}", 2) for i in (1, 2)]
    exchanges = [member.exchange(claim) for member, claim in zip(members[1:], claims, strict=True)]
    for answer in await asyncio.gather(*exchanges, return_exceptions=True):
        assert isinstance(answer, Unanswered)
        assert "is not the coordinator" in str(answer)
    assert door.leadership.coordinator is None
    door.leadership.step()
    assert door.leadership.coordinator is None, "an epoch that has ended is never led again"


async def test_a_report_in_another_nodes_name_is_refused(bench: Bench) -> None:
    door = await bench.open("node-0")
    member = await bench.node("node-2")
    with pytest.raises(Unanswered, match=r"report\.node is 'node-1'"):
        await member.exchange(report("node-1"))
    assert door.refusals == ["WrongNode"]


async def test_a_node_of_another_domain_is_refused(bench: Bench) -> None:
    door = await bench.open("node-0")
    assert await bench.post("node-2", encode_report(report("node-2", domain="elsewhere"))) == 404
    assert door.refusals == ["NotAMember"]


async def test_a_stranger_cannot_connect_and_causes_a_look_for_new_members(bench: Bench) -> None:
    door = await bench.open("node-0")
    bench.identities["node-9"] = Identity.load_or_create(
        bench.directory / "node-9", node="node-9", address="127.0.0.1:1"
    )
    with pytest.raises(aiohttp.ClientError):
        await bench.post("node-9", encode_report(report("node-1")))
    assert door.refusals == ["Stranger"]
    assert door.declarations.relists == 1


async def test_a_candidate_whose_pod_was_replaced_is_found_at_its_new_address(bench: Bench) -> None:
    address, pem = bench.row.nodes["node-0"]
    looked = asyncio.Event()

    async def relist() -> None:
        bench.tell(nodes={**bench.row.nodes, "node-0": (address, pem)})
        looked.set()

    await bench.open("node-0")
    bench.tell(nodes={**bench.row.nodes, "node-0": ("127.0.0.1:1", pem)}, candidates=("node-0",))
    member = await bench.node("node-1", relist)
    with pytest.raises(Unanswered, match=r"127\.0\.0\.1:1"):
        await member.exchange(report("node-1"))
    async with within(5.0):
        await looked.wait()
    lease = await member.exchange(report("node-1", 2))
    assert lease is not None
    assert lease.answers == 2


async def test_a_candidate_that_stays_away_is_looked_for_no_more_than_once_a_second(bench: Bench) -> None:
    looks: list[float] = []

    async def relist() -> None:
        looks.append(boottime())

    member = await bench.node("node-1", relist)
    began_s = boottime()
    for sequence in range(TRIES_IN_A_LEASE):
        with pytest.raises(Unanswered, match="reporting to"):
            await member.exchange(report("node-1", sequence))
    assert 1 <= len(looks) <= 2 + 2 * (boottime() - began_s)


async def test_who_was_answered_by_no_candidate_for_long_tries_at_the_pace_of_exchanges(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node of whose row nobody leads may be in that state for hours."""
    monkeypatch.setattr(report_clients, "TRIES_IN_A_LEASE", 3)
    monkeypatch.setattr(report_clients, "TRY_S", 0.5)
    bench.tell(candidates=NODES[:1])
    member = await bench.node("node-1")

    async def unanswered_s(sequence: int) -> float:
        began_s = boottime()
        with pytest.raises(Unanswered, match="reporting to"):
            await member.exchange(report("node-1", sequence))
        return boottime() - began_s

    assert sum([await unanswered_s(sequence) for sequence in range(3)]) < 0.5, "a lease may still be saved"
    assert await unanswered_s(4) >= 0.5
    await bench.open("node-0")
    assert await member.exchange(report("node-1", 5)) is not None


async def test_a_candidate_that_names_who_cannot_be_reached_tells_no_news_and_another_name_is_some(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a whole row asks the others several times a second, for as long as nobody leads."""
    monkeypatch.setattr(report_clients, "TRIES_IN_A_LEASE", 3)
    monkeypatch.setattr(report_clients, "TRY_S", 0.5)
    bench.tell(candidates=NODES)
    await bench.open("node-1")
    await bench.open("node-2")
    member, sequence = await bench.node("node-2"), count(1)

    async def unanswered_s() -> float:
        began_s = boottime()
        with pytest.raises(Unanswered):
            await member.exchange(report("node-2", next(sequence)))
        return boottime() - began_s

    assert sum([await unanswered_s() for _ in range(3)]) < 0.5, "a lease may still be saved"
    assert [await unanswered_s() >= 0.5 for _ in range(3)] == [True] * 3
    bench.tell(holder="node-2", transitions=2)
    while member.coordinator != "node-2":
        took_s = await unanswered_s()
    assert took_s < 0.5


@pytest.mark.parametrize("candidates", [NODES[:1], NODES[:2]])
async def test_a_handshake_that_comes_too_late_for_a_report_serves_a_later_one(
    bench: Bench, candidates: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another candidate only names the coordinator, whose handshakes take as long."""
    bench.tell(candidates=candidates)
    for node in candidates:
        await bench.open(node)
    late_port = int(bench.identities["node-0"].address.rpartition(":")[2])
    establish = BoundedListener._establish
    shaken = []

    async def late(self: BoundedListener, *arguments: Any) -> None:
        if self.sockets[0].getsockname()[1] == late_port:
            shaken.append(boottime())
            await asyncio.sleep(4 * CONNECT_S)
        await establish(self, *arguments)

    monkeypatch.setattr(BoundedListener, "_establish", late)
    client = await bench.node("node-2")
    with pytest.raises(Unanswered, match="the attempt goes on"):
        await client.exchange(report("node-2"))
    lease, sequence = None, 1
    while lease is None:
        sequence += 1
        with suppress(Unanswered):
            lease = await client.exchange(report("node-2", sequence))
    assert boottime() - shaken[0] < 4 * CONNECT_S + LONGEST_CONNECT_S
    assert len(shaken) == 1


@pytest.mark.parametrize(
    ("missed", "candidates", "seconds"),
    [(0, 3, 0.5), (2, 3, 0.5), (3, 3, 1.0), (6, 3, 1.6), (1000, 3, 1.6), (1, 1, 1.0), (5, 0, 1.6)],
)
def test_a_handshake_is_waited_for_longer_once_all_candidates_were_missed(
    missed: int, candidates: int, seconds: float
) -> None:
    assert patience_s(missed, candidates=candidates) == seconds


async def test_one_who_pretends_to_be_a_candidate_is_not_spoken_to(bench: Bench) -> None:
    address, pem = bench.row.nodes["node-0"]
    other = bench.row.nodes["node-1"][1]
    await bench.open("node-0")
    bench.tell(nodes={**bench.row.nodes, "node-0": (address, other)}, candidates=("node-0",))
    member = await bench.node("node-2")
    with pytest.raises(Unanswered, match="reporting to node-0"):
        await member.exchange(report("node-2"))
    assert pem != other


@pytest.mark.parametrize("spoken", ["1", str(WIRE_VERSION)])
async def test_reports_of_a_version_before_are_read(bench: Bench, spoken: str) -> None:
    door = await bench.open("node-0")
    message = (
        without(encode_report(report("node-1")), PROOFS) if spoken == "1" else encode_report(report("node-1"))
    )
    assert await bench.post("node-1", message, {VERSION_HEADER: spoken}) != 400
    assert door.refusals == []


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"{}", {}),
        (b"not json", {}),
        (encode_report(report("node-1")).replace(b"200.0", b"NaN"), {}),
        (b" " * (LONGEST_MESSAGE + 1), {}),
        (encode_report(report("node-1")), {VERSION_HEADER: str(WIRE_VERSION + 1)}),
    ],
    ids=["empty", "text", "nan", "too long", "another version"],
)
async def test_what_cannot_be_read_is_refused(bench: Bench, body: bytes, headers: dict[str, str]) -> None:
    door = await bench.open("node-0")
    assert await bench.post("node-1", body, headers) == 400
    assert door.refusals == ["Unreadable"]
