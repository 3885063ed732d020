"""What a node says of itself, with the GPUs of a fake board."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from loadline_agent import gauges
from loadline_agent.domain.node_facts import NodeFacts
from loadline_agent.hardware.armed_records import ArmedRecordFile, GuardReport
from loadline_agent.hardware.node_gpus import NodeGpus
from loadline_agent.hardware.sensors import GpuSensors
from loadline_api.conditions import ConditionType, condition
from loadline_api.node_capacities import PersistenceMode
from loadline_api.reasons import Reason
from loadline_policies.power.protocol.messages import GpuLimit, ServiceReport
from loadline_policies.power.protocol.node_outputs import Send
from loadline_policies.power.protocol.node_reports import NodeWorkloads
from loadline_policies.power.protocol.node_states import Home
from loadline_policies.power.protocol.nodes import Node
from testbed.fakegpu import layouts
from testbed.fakegpu.board import Board, GpuSpec
from testbed.fakegpu.joining import joined

BOOT = "3e1b8f0c-3d1e-4b7e-9d5a-0c1b2a3d4e5f"
CHAT = ServiceReport("prod/chat", 1.2)


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board.create(tmp_path / "board", ("node-00",), spec=GpuSpec(power_delay_s=0.0, clock_delay_s=0.0))


@pytest.fixture
def node_gpus(board: Board, tmp_path: Path) -> Iterator[NodeGpus]:
    with joined(board.path):
        made = NodeGpus(GpuSensors.open(), ArmedRecordFile(str(tmp_path), BOOT), boot=BOOT, clock=lambda: 0.0)
        yield made
        made.close()


@pytest.fixture
def node(node_gpus: NodeGpus) -> Node:
    workloads = NodeWorkloads(owners=lambda uuid: ("prod/chat",), services=lambda: (CHAT,))
    return Node("node-00", node_gpus.state(), now=0.0, uniform=lambda least, most: least, workloads=workloads)


@pytest.fixture
def facts(node_gpus: NodeGpus, node: Node) -> NodeFacts:
    return NodeFacts(
        node, lambda: node_gpus.infos, look=node_gpus.state, guard=node_gpus.guard_report, clock=lambda: 0.0
    )


@contextmanager
def opened(board: Board, directory: Path) -> Iterator[tuple[NodeGpus, NodeFacts]]:
    """A node whose board was made odd before its agent came."""
    with joined(board.path):
        made = NodeGpus(
            GpuSensors.open(), ArmedRecordFile(str(directory), BOOT), boot=BOOT, clock=lambda: 0.0
        )
        node = Node("node-00", made.state(), now=0.0, uniform=lambda least, most: least)
        yield (
            made,
            NodeFacts(node, lambda: made.infos, look=made.state, guard=made.guard_report, clock=lambda: 0.0),
        )
        made.close()


def gauge(facts: NodeFacts, name: str, **labels: str) -> float:
    """The value of one of the node's gauges."""
    (value,) = [
        one.value
        for one in facts.readings()
        if one.gauge.name == f"loadline_power_{name}"
        and dict(zip(one.gauge.labels, one.labels, strict=True)) == labels
    ]
    return value


def enforce(node_gpus: NodeGpus, *watts: float, clock_mhz: int | None = None) -> None:
    uuids = [info.uuid for info in node_gpus.infos]
    node_gpus.enforce(
        tuple(
            GpuLimit(uuid=uuid, watts=one, safe_watts=100.0, clock_mhz=clock_mhz)
            for uuid, one in zip(uuids, watts, strict=True)
        ),
        plan_version=1,
        deadline_s=1000.0,
    )
    node_gpus.look()


def test_a_gpu_at_its_maximum_is_not_held_back(node_gpus: NodeGpus, facts: NodeFacts) -> None:
    assert facts.held_back() == frozenset()
    enforce(node_gpus, *[400.0] * 8)
    assert facts.held_back() == frozenset()


def test_a_gpu_below_its_maximum_is_held_back(node_gpus: NodeGpus, facts: NodeFacts, board: Board) -> None:
    enforce(node_gpus, 300.0, *[400.0] * 7)
    assert facts.held_back() == {board.uuids(0)[0]}


def test_a_gpu_with_a_locked_clock_is_held_back(node_gpus: NodeGpus, facts: NodeFacts, board: Board) -> None:
    enforce(node_gpus, *[400.0] * 8, clock_mhz=1275)
    assert facts.held_back() == set(board.uuids(0))


def test_a_report_tells_who_is_where_and_how_they_do(node_gpus: NodeGpus, node: Node) -> None:
    node_gpus.sample()
    node.looked(node_gpus.state())
    node.settle(Home(domain="row"))
    (sent,) = node.poll(0.0)
    assert isinstance(sent, Send)
    assert sent.report.services == (CHAT,)
    assert {gpu.owners for gpu in sent.report.gpus} == {("prod/chat",)}


def test_gpus_that_were_never_sampled_are_listed_and_not_measured(
    node_gpus: NodeGpus, node: Node, facts: NodeFacts
) -> None:
    assert [gpu.enforced_watts for gpu in facts.gpus()] == [400] * 8
    assert not [one for one in facts.readings() if "gpu" in one.gauge.labels]
    node.settle(Home(domain="row"))
    assert node.poll(0.0) == ()


def test_a_range_is_listed_in_whole_watts_and_none_too_low(tmp_path: Path) -> None:
    """An A16 has 62.5 W; 62 of it made the plan of its domain 0.8 % too small."""
    spec = GpuSpec(min_watts=31.25, max_watts=62.5, default_watts=62.5)
    board = Board.create(tmp_path / "a16", ("node-00",), spec=spec)
    with joined(board.path):
        made = NodeGpus(GpuSensors.open(), ArmedRecordFile(str(tmp_path), BOOT), boot=BOOT, clock=lambda: 0.0)
        node = Node("node-00", made.state(), now=0.0, uniform=lambda least, most: least)
        facts = NodeFacts(
            node, lambda: made.infos, look=made.state, guard=made.guard_report, clock=lambda: 0.0
        )
        assert {(gpu.min_watts, gpu.max_watts) for gpu in facts.gpus()} == {(32, 63)}
        made.close()


def test_a_node_that_two_domains_select_says_so_and_is_enforced_all_the_same(
    node: Node, facts: NodeFacts
) -> None:
    node.settle(Home(domain="row", conflict="row and other select it"))
    assert facts.problems() == {"NodeClaimedTwice": "row and other select it"}
    assert node.faults(0.0) == {}
    assert gauge(facts, "conflict", reason="NodeClaimedTwice") == 1.0
    assert gauge(facts, "conflict", reason="OtherWriter") == 0.0


def test_a_gpu_whose_writes_fail_is_named(node_gpus: NodeGpus, facts: NodeFacts, board: Board) -> None:
    board.fail(0, 3, writes=999)
    enforce(node_gpus, *[300.0] * 8)
    uuid = board.uuids(0)[3]
    assert facts.problems() == {"WritesFail": f"a limit couldn't be written or read back on {uuid}"}
    node_gpus.sample()
    assert [gauge(facts, "gpu_able", gpu=one) for one in board.uuids(0)] == [1.0] * 3 + [0.0] + [1.0] * 4


def test_no_write_is_said_to_have_failed_on_a_gpu_that_was_only_not_read(
    board: Board, tmp_path: Path
) -> None:
    """Writes of a limit had failed, by the NodeCapacity, on GPUs to which nobody had written."""
    now, uuid = [0.0], board.uuids(0)[3]
    with joined(board.path):
        state = ArmedRecordFile(str(tmp_path), BOOT)
        made = NodeGpus(GpuSensors.open(), state, boot=BOOT, clock=lambda: now[0])
        node = Node("node-00", made.state(), now=0.0, uniform=lambda least, most: least)
        facts = NodeFacts(
            node, lambda: made.infos, look=made.state, guard=made.guard_report, clock=lambda: now[0]
        )
        enforce(made, *[300.0] * 8)
        board.fail(0, 3, reads=999)
        for now[0] in (1.0, 2.0, 3.0):
            made.look()
        made.sample()
        assert board.gpus["refused"].sum() == 0
        problems = facts.problems()
        assert problems.keys() == {"GpuUnreadable", "WritesFail"}
        assert problems["WritesFail"] == f"a limit couldn't be written or read back on {uuid}"
        made.close()


def test_somebody_elses_writes_are_no_failure_of_ours(
    node_gpus: NodeGpus, facts: NodeFacts, board: Board
) -> None:
    enforce(node_gpus, *[300.0] * 8)
    node_gpus.look()
    for watts in (400.0, 390.0) * 4:
        board.write_as_other(0, 3, watts=watts)
        node_gpus.look()
    assert not node_gpus.state().gpus[3].able, "nobody can count on it"
    assert "WritesFail" not in facts.problems()
    assert facts.proven


@pytest.mark.parametrize("armed", [True, False])
def test_what_the_guard_says_is_told_as_it_stands_in_the_file(
    node_gpus: NodeGpus, node: Node, tmp_path: Path, armed: bool
) -> None:
    """It was as old as the last look at an armed node's limits, so that a guard that works seemed to hang."""
    now = 0.0
    facts = NodeFacts(
        node,
        lambda: node_gpus.infos,
        look=node_gpus.state,
        guard=node_gpus.guard_report,
        clock=lambda: now,
    )
    assert (gauge(facts, "guard_age_seconds"), gauge(facts, "guard_errors")) == (float("inf"), 0.0)
    if armed:
        enforce(node_gpus, *[400.0] * 8)
    for now in (1.0, 30.0):
        report = GuardReport(BOOT, 1, now - 0.5, looks=9, interventions=2, errors=3, state=0)
        ArmedRecordFile(str(tmp_path), BOOT).write_report(report)
        told = [gauge(facts, f"guard_{name}") for name in ("age_seconds", "interventions", "errors")]
        assert told == [0.5, 2.0, 3.0], "though nobody has looked"


def test_a_gpu_that_was_left_behind_is_told_with_both_watts(
    node_gpus: NodeGpus, facts: NodeFacts, board: Board
) -> None:
    enforce(node_gpus, *[300.0] * 8)
    board.fail(0, 5, writes=999)
    for _ in range(3):
        assert "LeftBehind" not in facts.problems(), "nothing is left as long as the node is armed"
        node_gpus.restore(1000.0)
    assert facts.problems()["LeftBehind"] == f"{board.uuids(0)[5]}: in force 300 W, found 400 W"
    left = next(one for one in facts.readings() if one.gauge is gauges.LEFT_BEHIND_GPUS)
    assert left.value == 1.0
    board.write_as_other(0, 5, watts=400.0)
    node_gpus.look()
    assert "LeftBehind" not in facts.problems()


def test_a_node_that_was_never_armed_has_left_nothing_behind(facts: NodeFacts) -> None:
    assert "LeftBehind" not in facts.problems()


def test_a_limit_found_below_the_default_is_told_while_the_node_is_armed(
    board: Board, tmp_path: Path
) -> None:
    """Orders go no higher, so that a record that was lost would lower a row for ever."""
    board.write_as_other(0, 5, watts=300.0)
    with joined(board.path):
        lowered = NodeGpus(
            GpuSensors.open(), ArmedRecordFile(str(tmp_path), BOOT), boot=BOOT, clock=lambda: 0.0
        )
        node = Node("node-00", lowered.state(), now=0.0, uniform=lambda least, most: least)
        facts = NodeFacts(
            node, lambda: lowered.infos, look=lowered.state, guard=lowered.guard_report, clock=lambda: 0.0
        )
        assert "FoundBelowDefault" not in facts.problems(), "in Observe it is nobody's business"
        enforce(lowered, *[250.0] * 8)
        told = facts.problems()["FoundBelowDefault"]
        lowered.close()
    assert told == f"{board.uuids(0)[5]}: original limit 300 W, driver's default 400 W"


@pytest.mark.parametrize("armed", [True, False])
def test_a_persistence_mode_that_is_off_is_told_where_limits_are_set(
    board: Board, tmp_path: Path, armed: bool
) -> None:
    """The driver forgets limits when its last client closes, and nobody could find out."""
    board.tell_persistence(0, 5, mode=0)
    board.tell_persistence(0, 6, error=3)
    uuids = board.uuids(0)
    with opened(board, tmp_path) as (node_gpus, facts):
        if armed:
            enforce(node_gpus, *[300.0] * 8)
        node_gpus.sample()
        told = facts.problems().get("PersistenceOff")
        assert (told is not None) == armed
        if told is not None:
            assert told.startswith(f"persistence mode is off on {uuids[5]}: the driver forgets")
            assert told.endswith("Run nvidia-persistenced on the node")
        modes = {gpu.uuid: gpu.persistence_mode for gpu in facts.gpus()}
        assert (modes[uuids[4]], modes[uuids[5]], modes[uuids[6]]) == ("On", "Off", "Unknown")
        for index, mode in ((4, "On"), (5, "Off"), (6, "Unknown")):
            assert gauge(facts, "gpu_persistence_mode", gpu=uuids[index], mode=mode) == 1.0


@pytest.mark.parametrize("armed", [True, False])
def test_a_gpu_whose_clocks_are_not_listed_is_told_where_limits_are_set(
    board: Board, tmp_path: Path, armed: bool
) -> None:
    """A policy's levels that only lock clocks do nothing there, and nobody could find out."""
    board.lack(0, 5, what=layouts.LACKS_CLOCKS)
    uuids = board.uuids(0)
    with opened(board, tmp_path) as (node_gpus, facts):
        if armed:
            enforce(node_gpus, *[300.0] * 8)
        node_gpus.sample()
        told = facts.problems().get("ClocksUnlisted")
        assert (told is not None) == armed
        if told is not None:
            assert told.startswith(f"the driver lists no clock below the maximum on {uuids[5]}: none can be")
        assert gauge(facts, "gpu_clock_lockable", gpu=uuids[5]) == 0.0
        assert gauge(facts, "gpu_clock_lockable", gpu=uuids[4]) == 1.0


def test_a_gpu_that_is_not_open_has_an_unknown_persistence_mode(board: Board, tmp_path: Path) -> None:
    board.lose(0, 5)
    with opened(board, tmp_path) as (node_gpus, facts):
        node_gpus.sample()
        assert [gpu.persistence_mode for gpu in facts.gpus()].count(PersistenceMode.UNKNOWN) == 1
        unknown = [one for one in facts.readings() if "Unknown" in one.labels]
        assert len(unknown) == 1


def test_a_modules_limit_is_a_fact_and_its_draw_a_gauge(board: Board, tmp_path: Path) -> None:
    board.tell_module(0, 5, watts=650.5, limit_watts=1000.4)
    uuid = board.uuids(0)[5]
    with opened(board, tmp_path) as (node_gpus, facts):
        node_gpus.sample()
        limits = {gpu.uuid: gpu.module_limit_watts for gpu in facts.gpus()}
        assert limits == {one: 1000 if one == uuid else None for one in board.uuids(0)}
        assert gauge(facts, "gpu_module_limit_watts", gpu=uuid) == 1000.4
        assert gauge(facts, "gpu_module_watts", gpu=uuid) == 650.5
        assert sum(one.gauge.name.startswith("loadline_power_gpu_module") for one in facts.readings()) == 2


def test_a_gpus_fault_tells_its_last_xid(board: Board, tmp_path: Path) -> None:
    with opened(board, tmp_path) as (node_gpus, _):
        node = Node("node-00", node_gpus.state(), now=0.0, uniform=lambda least, most: least)
        uuids = board.uuids(0)
        facts = NodeFacts(
            node,
            lambda: node_gpus.infos,
            look=node_gpus.state,
            guard=node_gpus.guard_report,
            clock=lambda: 0.0,
            xids=lambda: {uuids[5]: 79, uuids[6]: 31},
        )
        board.lose(0, 5)
        node_gpus.sample()
        told = facts.problems()["GpuLost"]
        assert told.startswith(f"{uuids[5]}: ")
        assert told.endswith("; its last XID is 79")
        assert uuids[6] not in told, "an XID alone is no fault"
        assert gauge(facts, "gpu_last_xid", gpu=uuids[5]) == 79.0
        assert gauge(facts, "gpu_last_xid", gpu=uuids[6]) == 31.0


def test_every_gpu_without_a_driver_is_named(board: Board, tmp_path: Path) -> None:
    with opened(board, tmp_path) as (node_gpus, facts):
        board.unload_driver(0)
        node_gpus.sample()
        shown = condition(
            ConditionType.GPUS_READY,
            so=False,
            reason=Reason.GPU_UNREADABLE,
            message=facts.problems()["GpuUnreadable"],
        )
        assert all(uuid in shown.message for uuid in board.uuids(0)), shown.message


def test_an_orphan_says_whose_it_was_and_what_to_do(
    node_gpus: NodeGpus,
) -> None:
    enforce(node_gpus, *[300.0] * 8)
    armed = Node(
        "node-00", replace(node_gpus.state(), domain="row-a"), now=0.0, uniform=lambda least, most: least
    )
    orphan = NodeFacts(
        armed, lambda: node_gpus.infos, look=node_gpus.state, guard=node_gpus.guard_report, clock=lambda: 0.0
    )
    armed.settle(Home(domain="row-b"))
    assert "Orphaned" not in orphan.problems(), "another domain that selects it is no proof"
    armed.settle(Home(gone="row-a"))
    told = orphan.problems()["Orphaned"]
    assert told.startswith("PowerDomain row-a, which armed this node, was deleted")
    assert "`loadline release --node node-00`" in told
    assert next(one.value for one in orphan.readings() if one.gauge is gauges.ORPHANED) == 1.0
