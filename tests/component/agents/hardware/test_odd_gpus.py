"""One GPU of eight that is unreadable, or without something: the others are read and held, it is a fault."""

from collections.abc import Callable
from pathlib import Path

import pytest

from loadline_agent.domain.node_facts import NodeFacts
from loadline_agent.hardware.node_gpus import Done, NodeGpus
from loadline_agent.hardware.sensors import GpuSensors
from loadline_agent.kube.node_capacities import Facts, status_of
from loadline_policies.errors import HardwareError
from loadline_policies.power.protocol.messages import GpuLimit, Report
from loadline_policies.power.protocol.node_outputs import Send
from loadline_policies.power.protocol.node_states import GpuState, Home
from loadline_policies.power.protocol.nodes import Node
from loadline_policies.power.protocol.plausibility import check
from testbed.clocks import Clock
from testbed.doubles.gpu_nodes import opened
from testbed.fakegpu.board import Board
from testbed.fakegpu.joining import joined
from testbed.fakegpu.layouts import LACKS_CLOCKS, LACKS_DEFAULT, LACKS_POWER, LACKS_RANGE

UNKNOWN = 999
ODD, SAFE_WATTS, DEADLINE_S = 3, 250.0, 1000.0
OTHERS = [index for index in range(8) if index != ODD]

Odd = Callable[[Board, int], None]


def ranged(low: float, high: float) -> Odd:
    return lambda board, gpu: board.tell_range(0, gpu, min_watts=low, max_watts=high)


def lacking(what: int) -> Odd:
    return lambda board, gpu: board.lack(0, gpu, what=what)


def failing(code: int) -> Odd:
    return lambda board, gpu: board.fail(0, gpu, reads=code)


def lost(board: Board, gpu: int) -> None:
    board.lose(0, gpu)


def same_uuid(board: Board, gpu: int) -> None:
    board.gpus["uuid"][0, gpu] = board.gpus["uuid"][0, 0]


def long_uuid(board: Board, gpu: int) -> None:
    board.gpus["uuid"][0, gpu] = b""


NO_RANGE = {
    "no range": lacking(LACKS_RANGE),
    "0 to 0 W": ranged(0.0, 0.0),
    "above its maximum": ranged(400.0, 100.0),
    "milliwatts for watts": ranged(100_000.0, 400_000.0),
    "vGPU": lacking(LACKS_RANGE | LACKS_DEFAULT | LACKS_CLOCKS | LACKS_POWER),
}
UNOPENED = {
    "unknown error": failing(UNKNOWN),
    "no permission": failing(4),
    "lost": lost,
    "a UUID twice": same_uuid,
    "no UUID": long_uuid,
}
STILL_SET = {
    "no default": lacking(LACKS_DEFAULT),
    "no clocks": lacking(LACKS_CLOCKS),
    "from 0 W": ranged(0.0, 400.0),
}


def reported(node_gpus: NodeGpus) -> tuple[Report, NodeFacts]:
    """The report that a coordinator takes, and the facts that the API server takes."""
    node_gpus.sample()
    node = Node("node-00", node_gpus.state(), now=0.0, uniform=lambda least, most: least)
    node.settle(Home(domain="row", host_max_watts=1000.0))
    (sent,) = node.poll(0.0)
    assert isinstance(sent, Send)
    check(sent.report)
    facts = NodeFacts(
        node, lambda: node_gpus.infos, look=node_gpus.state, guard=node_gpus.guard_report, clock=lambda: 0.0
    )
    status_of(Facts(gpus=facts.gpus(), faults=facts.problems()))
    return sent.report, facts


def leased(node_gpus: NodeGpus, watts: float = 300.0) -> Done:
    """A lease as a coordinator gives it: each GPU within what it told of itself."""
    limits = tuple(
        GpuLimit(uuid=gpu.uuid, watts=max(gpu.min_watts, watts), safe_watts=max(gpu.min_watts, SAFE_WATTS))
        for gpu in node_gpus.state().gpus
    )
    return node_gpus.enforce(limits, plan_version=1, deadline_s=DEADLINE_S)


def odd(node_gpus: NodeGpus) -> GpuState:
    """The one GPU that isn't like the others."""
    (one,) = [gpu for gpu in node_gpus.state().gpus if not gpu.has_range]
    return one


@pytest.mark.parametrize("make", [*NO_RANGE.values(), *UNOPENED.values()], ids=[*NO_RANGE, *UNOPENED])
def test_the_others_are_read_and_held_and_the_odd_one_counts_at_its_most(board: Board, make: Odd) -> None:
    make(board, ODD)
    with opened(board) as node_gpus:
        report, facts = reported(node_gpus)
        assert not leased(node_gpus).errors
        node_gpus.look()
        assert board.requested_watts()[0][OTHERS].tolist() == [300.0] * 7
        assert board.writes()[0, ODD] == 0
        one = odd(node_gpus)
        assert (one.min_watts, one.max_watts, one.most_watts, one.able) == (400.0, 400.0, 400.0, False)
        assert one.safe_watts == 400.0, "so that nobody waits for its acknowledgement"
        assert one.uuid in facts.problems()["RangeUnknown"]
        assert "WritesFail" not in facts.problems()
        assert facts.proven, "on all that can be set"
        assert len(report.gpus) == 8
        assert not node_gpus.step_down().errors
        assert board.requested_watts()[0][OTHERS].tolist() == [SAFE_WATTS] * 7
        assert not node_gpus.restore(DEADLINE_S).errors
        assert not node_gpus.record.armed


@pytest.mark.parametrize("make", UNOPENED.values(), ids=UNOPENED.keys())
def test_one_that_cannot_be_opened_is_a_fault_that_says_which_and_why(board: Board, make: Odd) -> None:
    make(board, ODD)
    with opened(board) as node_gpus:
        _, facts = reported(node_gpus)
        fault = odd(node_gpus).fault
        assert fault is not None
        assert fault.word == ("GpuLost" if make is lost else "GpuUnreadable")
        assert facts.problems()[fault.word] == f"{odd(node_gpus).uuid}: {fault.sentence}"
        assert "GPU 3" in fault.sentence


@pytest.mark.parametrize("make", NO_RANGE.values(), ids=NO_RANGE.keys())
def test_a_node_without_any_range_is_read_and_shown(board: Board, make: Odd) -> None:
    for gpu in range(8):
        make(board, gpu)
    with opened(board) as node_gpus:
        report, facts = reported(node_gpus)
        assert len(facts.gpus()) == 8
        if make is not NO_RANGE["vGPU"]:
            assert [gpu.watts for gpu in report.gpus] == [200.0] * 8
        assert not leased(node_gpus).errors
        assert board.writes().sum() == 0


@pytest.mark.parametrize("make", STILL_SET.values(), ids=STILL_SET.keys())
def test_what_a_limit_does_not_need_keeps_nobody_from_being_held(board: Board, make: Odd) -> None:
    for gpu in range(8):
        make(board, gpu)
    clock = Clock()
    with opened(board, clock) as node_gpus:
        _, facts = reported(node_gpus)
        assert not leased(node_gpus).errors
        for clock.now in (1.5, 3.0, 4.5):
            node_gpus.sample()
        assert board.requested_watts()[0].tolist() == [300.0] * 8
        assert [gpu.able for gpu in node_gpus.state().gpus] == [True] * 8
        assert "RangeUnknown" not in facts.problems()


def test_where_no_gpu_can_be_opened_there_is_nothing_to_begin_with(board: Board) -> None:
    for gpu in range(8):
        board.fail(0, gpu, reads=UNKNOWN)
    with joined(board.path), pytest.raises(HardwareError, match=r"none of the 8 GPUs can be opened: .*999"):
        GpuSensors.open()


def test_a_node_without_gpus_reports_its_host_and_takes_a_lease(tmp_path: Path) -> None:
    board = Board.create(tmp_path / "board", ("node-00",), gpus_per_node=0)
    with opened(board) as node_gpus:
        report, facts = reported(node_gpus)
        assert (report.gpus, report.watts, report.nameplate_watts) == ((), 1000.0, 1000.0)
        assert facts.problems().keys() == {"NoGpus"}
        assert not leased(node_gpus).errors
        assert node_gpus.record.armed
        assert not node_gpus.restore(DEADLINE_S).errors
        assert not node_gpus.record.armed


def test_a_driver_that_counts_more_than_any_node_has_is_not_believed(tmp_path: Path) -> None:
    board = Board.create(tmp_path / "many", ("node-00",), gpus_per_node=33)
    with joined(board.path), pytest.raises(HardwareError, match="reports 33 GPUs, and Loadline"):
        GpuSensors.open()


def test_one_that_cannot_be_read_after_a_restart_is_the_one_on_record(board: Board) -> None:
    with opened(board) as node_gpus:
        leased(node_gpus)
    board.fail(0, ODD, reads=UNKNOWN)
    with opened(board) as node_gpus:
        one = odd(node_gpus)
        assert (one.uuid, one.safe_watts, one.max_watts) == (board.uuids(0)[ODD], SAFE_WATTS, 400.0)
        assert len(node_gpus.state().gpus) == 8, "it isn't counted once more"
        leased(node_gpus, 280.0)
        assert {gpu.uuid for gpu in node_gpus.record.gpus} == set(board.uuids(0)), (
            "the guard's, and to give back"
        )


@pytest.mark.parametrize(
    "make", [lacking(LACKS_POWER), lost, failing(UNKNOWN)], ids=["no limits", "lost", "unknown error"]
)
def test_one_whose_limits_cannot_be_read_while_arming_is_not_written(board: Board, make: Odd) -> None:
    """What was found there couldn't be given back. It kept its whole node unarmed."""
    with opened(board) as node_gpus:
        make(board, ODD)
        done = leased(node_gpus)
        assert [board.uuids(0)[ODD] in str(error) for error in done.errors] == [True]
        assert board.requested_watts()[0][OTHERS].tolist() == [300.0] * 7
        assert node_gpus.record.armed
        assert board.uuids(0)[ODD] not in {gpu.uuid for gpu in node_gpus.record.gpus}
        state = node_gpus.state().gpus[ODD]
        assert (state.able, state.most_watts) == (False, 400.0)
        board.heal(0, ODD)
        assert not leased(node_gpus).errors
        assert board.requested_watts()[0].tolist() == [300.0] * 8


def test_a_lease_that_names_a_gpu_which_is_not_here_holds_the_others(board: Board) -> None:
    with opened(board) as node_gpus:
        limits = [GpuLimit(uuid=uuid, watts=300.0, safe_watts=SAFE_WATTS) for uuid in board.uuids(0)]
        limits.append(GpuLimit(uuid="GPU-elsewhere", watts=300.0, safe_watts=SAFE_WATTS))
        node_gpus.enforce(tuple(limits), plan_version=1, deadline_s=DEADLINE_S)
        assert board.requested_watts()[0].tolist() == [300.0] * 8


def test_a_sentence_that_names_all_gpus_fits_into_a_condition(board: Board) -> None:
    with opened(board) as node_gpus:
        for gpu in range(8):
            board.fail(0, gpu, reads=UNKNOWN)
        _, facts = reported(node_gpus)
        told = {"GpuUnreadable": facts.problems()["GpuUnreadable"] * 8}
        (ready, *_) = status_of(Facts(gpus=facts.gpus(), faults=told)).conditions
        assert ready.reason == "GpuUnreadable"
        assert 995 < len(ready.message.encode()) <= 1000


@pytest.mark.parametrize("watts", [0.0, 0.3, 20_000.0, (2**32 - 1) / 1000.0])
def test_a_limit_that_cannot_be_is_not_read(board: Board, watts: float) -> None:
    """One of a few milliwatts was no whole watt, and ended the process in the NodeCapacity's model."""
    clock = Clock()
    with opened(board, clock) as node_gpus:
        leased(node_gpus)
        board.write_as_other(0, ODD, watts=watts)
        for clock.now in (1.5, 3.0, 4.5):
            node_gpus.sample()
        reported(node_gpus)
        one, other = node_gpus.state().gpus[ODD], node_gpus.state().gpus[0]
        assert (one.most_watts, one.able) == (400.0, False)
        assert (other.most_watts, other.able) == (300.0, True)


def test_gpus_that_change_their_names_with_each_driver_fill_no_record(board: Board) -> None:
    for driver in range(6):
        with opened(board) as node_gpus:
            leased(node_gpus)
            report, _ = reported(node_gpus)
            assert len(report.gpus) <= 32
            assert {info.uuid for info in node_gpus.infos} <= {gpu.uuid for gpu in node_gpus.record.gpus}
        for gpu in range(8):
            board.gpus["uuid"][0, gpu] = f"GPU-{driver}-{gpu}".encode()
