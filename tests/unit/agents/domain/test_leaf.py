"""What the leaf and its leadership decide without hardware or network."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_agent.domain.leaderships import Leadership
from loadline_agent.domain.peers import Peer
from loadline_agent.domain.report_clients import chosen
from loadline_agent.hardware.opened_gpus import GpuInfo
from loadline_agent.hardware.orders import order_of
from loadline_api.journals import Component, Journal
from loadline_policies.decisions import Decision
from loadline_policies.power.protocol.domains import Domain, ServiceTerms
from loadline_policies.power.protocol.messages import Epoch, GpuLimit, GpuReport, Report, ServiceReport
from loadline_policies.power.protocol.node_states import Home
from loadline_policies.power.rows import Cap, Caps
from loadline_policies.power.rows import Row as PowerRow
from testbed.doubles.agents import POLICY, Row, domain_of

INFO = GpuInfo(
    uuid="GPU-0",
    name="A100",
    min_watts=100.0,
    max_watts=400.0,
    default_watts=400.0,
    min_mhz=210,
    max_mhz=1410,
)
PEERS = tuple(Peer(f"node-{index}", f"127.0.0.1:{index}", b"") for index in range(5))


class Told:
    """Declarations and an election in one, as the test says."""

    def __init__(self, domain: Domain | None) -> None:
        self.epoch: Epoch | None = None
        self.renewed_sent_s = 0.0
        self.holder = ""
        self.others = 0
        self.resigned: list[Epoch | None] = []
        self.following = False
        self._domain = domain

    @property
    def certificates(self) -> Mapping[bytes, str]:
        return {}

    def keep(self, armed_for: Callable[[], str | None]) -> None:
        return

    def home(self) -> Home | None:
        return Home(domain="row")

    def candidates(self, domain: str) -> tuple[Peer, ...]:
        return ()

    def node_of(self, certificate: bytes) -> str | None:
        return None

    async def relist(self) -> None:
        return

    def lead(self) -> None:
        self.following = True

    def stop_leading(self) -> None:
        self.following = False

    def domain(self) -> Domain | None:
        return self._domain

    def declare(self, domain: Domain) -> None:
        self._domain = domain

    async def resign(self, rest_s: float = 0.0) -> None:
        self.resigned.append(self.epoch)


class Moment:
    """A clock that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def declared(**changes: object) -> Domain:
    row = Row(nodes={"node-0": ("127.0.0.1:1", "")}, candidates=("node-0",), policy=POLICY)
    return replace(domain_of(row), **changes)  # type: ignore[arg-type]


@pytest.fixture
def clock() -> Moment:
    return Moment()


def leader(told: Told, clock: Moment, journal: Journal | None = None) -> Leadership:
    leadership = Leadership(told, journal or Journal(Component.AGENT, node="node-0", wall=clock), clock=clock)
    leadership.election = told
    return leadership


def limit(clock_mhz: int | None) -> GpuLimit:
    return GpuLimit(uuid="GPU-0", watts=300.0, safe_watts=200.0, clock_mhz=clock_mhz)


@pytest.mark.parametrize(
    ("asked", "given"), [(None, None), (1275, 1275), (1410, None), (1980, None), (210, 210), (100, 210)]
)
def test_a_policys_clock_is_made_one_that_the_gpu_has(asked: int | None, given: int | None) -> None:
    assert order_of(limit(asked), INFO).clock_mhz == given


def test_where_no_lower_clock_is_listed_none_is_locked() -> None:
    assert order_of(limit(288), replace(INFO, min_mhz=INFO.max_mhz)).clock_mhz is None


def test_the_named_candidate_is_asked() -> None:
    assert chosen(PEERS, named="node-3", passed_over="node-3").node == "node-3"


def test_an_unknown_name_falls_back_to_the_next_candidate() -> None:
    assert chosen(PEERS, named="node-9", passed_over="node-1").node == "node-2"


@given(st.permutations(PEERS), st.sampled_from(PEERS))
def test_all_candidates_are_asked_in_turn(peers: list[Peer], first: Peer) -> None:
    asked, passed_over = [], first.node
    for _ in PEERS:
        passed_over = chosen(tuple(peers), named="", passed_over=passed_over).node
        asked.append(passed_over)
    assert sorted(asked) == [peer.node for peer in PEERS]


def test_nobody_leads_before_the_domain_is_known(clock: Moment) -> None:
    told = Told(None)
    leadership = leader(told, clock)
    told.epoch = Epoch(1, "uid")
    leadership.step()
    assert leadership.coordinator is None
    assert told.following, "what a coordinator needs is asked for as soon as it is elected"


def test_a_new_epoch_is_a_new_coordinator(clock: Moment) -> None:
    told = Told(declared())
    leadership = leader(told, clock)
    told.epoch = Epoch(1, "uid")
    leadership.step()
    first = leadership.coordinator
    leadership.step()
    assert leadership.coordinator is first
    told.epoch = Epoch(2, "uid")
    leadership.step()
    assert leadership.coordinator is not first
    assert leadership.coordinator is not None
    assert leadership.coordinator.epoch == Epoch(2, "uid")


def test_a_lost_election_ends_it_and_stops_following(clock: Moment) -> None:
    told = Told(declared())
    leadership = leader(told, clock)
    told.epoch = Epoch(1, "uid")
    leadership.step()
    told.epoch = None
    leadership.step()
    assert leadership.coordinator is None
    assert not told.following


def test_a_changed_declaration_is_taken_within_a_step(clock: Moment) -> None:
    told = Told(declared())
    leadership = leader(told, clock)
    told.epoch = Epoch(1, "uid")
    leadership.step()
    told.declare(declared(budget_watts=5000.0))
    leadership.step()
    assert leadership.coordinator is not None
    assert leadership.coordinator.domain.budget_watts == 5000.0


async def test_without_renewals_an_unheard_member_ends_it_for_good(clock: Moment) -> None:
    told = Told(declared())
    leadership = leader(told, clock)
    told.epoch = Epoch(1, "uid")
    leadership.step()
    clock.now = 11.0
    leadership.step()
    assert leadership.coordinator is None
    await leadership.close()
    assert told.resigned == [Epoch(1, "uid")]
    told.renewed_sent_s = 11.0
    leadership.step()
    assert leadership.coordinator is None, "an epoch that has ended is never led again"


def test_each_move_of_the_policy_is_in_the_journal_and_a_still_row_is_not(clock: Moment) -> None:
    journal, told = Journal(Component.AGENT, node="node-0", wall=clock), Told(declared())
    leadership = leader(told, clock, journal)
    told.epoch = Epoch(1, "uid")
    for second in range(30):
        clock.now = told.renewed_sent_s = float(second)
        leadership.step()
    what = [json.loads(line)["decider"] for line in journal.text().splitlines()]
    assert what.count("leadership") == 1
    assert 1 <= what.count("power/polca") <= 4, "once in ten seconds"


def report(sequence: int, leads: Epoch | None) -> Report:
    """The one node under a clock, with a service that misses its objective."""
    gpu = GpuReport(
        uuid="GPU-0", watts=200.0, enforced_watts=400.0, min_watts=100.0, max_watts=400.0,
        able=True, proven=True, safe_watts=100.0, clock_mhz=1305, owners=("prod/chat",),
    )  # fmt: skip
    return Report(
        node="node-0", domain="row", sequence=sequence, age_s=0.1, host_watts=500.0, host_max_watts=500.0,
        gpus=(gpu,), epoch=leads, armed=True, heat=0.1, services=(ServiceReport("prod/chat", 1.5),),
    )  # fmt: skip


def hold_high(row: PowerRow, state: object, config: object, now: float) -> Decision[Caps, object]:
    return Decision(Caps(high=Cap(1305), level="High", relief_load=0.9), state)


def test_who_is_let_off_a_cap_is_in_the_journal_with_why_and_once(clock: Moment) -> None:
    domain = declared(services={"prod/chat": ServiceTerms(priority=100)})
    policy = replace(domain.document.policy, decide=hold_high)
    journal = Journal(Component.AGENT, node="node-0", wall=clock)
    told = Told(replace(domain, document=replace(domain.document, policy=policy)))
    leadership = leader(told, clock, journal)
    told.epoch = Epoch(1, "uid")
    for second in range(20):
        clock.now = told.renewed_sent_s = float(second)
        leadership.step()
        leadership.receive(report(second + 1, told.epoch if second else None))
    entries = [json.loads(line) for line in journal.text().splitlines()]
    (entry,) = [entry for entry in entries if entry["decider"] == "power/relief"]
    assert entry["reason"] == "prod/chat on node-0: Relieved"
    assert entry["observation"]["claims"][0]["missed"] == 1.5
    assert entry["decision"]["relief"]["gpus"] == ["GPU-0"]
    assert leadership.coordinator is not None
    assert leadership.coordinator.domain_state(clock.now).relieved == ("prod/chat",)
