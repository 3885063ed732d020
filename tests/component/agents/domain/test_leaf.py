"""The carrier of a node's half: where it says that the node belongs, and how it ends by an error."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from loadline_agent.domain.leaf import Leaf
from loadline_agent.domain.report_clients import ReportClient
from loadline_agent.hardware.armed_records import ArmedRecord, ArmedRecordFile, GpuRecord
from loadline_agent.hardware.node_gpus import NodeGpus
from loadline_agent.hardware.sensors import GpuSensors
from loadline_agent.metrics import Metrics
from loadline_api.journals import Component, Journal
from loadline_policies.power.protocol.messages import Act, Epoch, GpuLimit, Lease, Report
from loadline_policies.power.protocol.node_reports import NodeWorkloads
from loadline_policies.power.protocol.node_states import Home
from testbed.doubles.agents import FileDeclarations, Row, RowFile
from testbed.fakegpu.board import Board
from testbed.fakegpu.joining import joined

BOOT = "3e1b8f0c-3d1e-4b7e-9d5a-0c1b2a3d4e5f"


class Told(FileDeclarations):
    """Declarations of which a test says where the node belongs."""

    def __init__(self, directory: Path, home: Home) -> None:
        Row(nodes={}, candidates=()).write(directory / "row.json")
        super().__init__(RowFile(directory / "row.json"), "node-00")
        self.told = home

    def home(self) -> Home | None:
        return self.told


@contextmanager
def made(directory: Path, told: Told, *, armed_for: str = "") -> Iterator[Leaf]:
    """A node's leaf with eight GPUs, found armed for a domain or not at all."""
    board, state = Board.create(directory / "board", ("node-00",)), ArmedRecordFile(str(directory), BOOT)
    if armed_for:
        gpus = tuple(GpuRecord(uuid, 250.0) for uuid in board.uuids(0))
        state.write(ArmedRecord(BOOT, armed=True, deadline_s=0.0, gpus=gpus, domain=armed_for))
    with joined(board.path):
        sensors = GpuSensors.open()
        yield Leaf(
            "node-00",
            NodeGpus(sensors, state, boot=BOOT, clock=time.monotonic),
            ReportClient(lambda domain: (), context=lambda peer: pytest.fail("nobody to speak to")),
            declarations=told,
            workloads=NodeWorkloads(),
            journal=Journal(Component.AGENT, node="node-00", wall=time.time),
            metrics=Metrics(),
            clock=time.monotonic,
        )
        sensors.close()


async def ran(leaf: Leaf, *, for_s: float = 0.3) -> None:
    try:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(leaf.run(), for_s)
    finally:
        await leaf.close()


async def test_a_poll_that_raises_ends_the_leaf(tmp_path: Path) -> None:
    with made(tmp_path, Told(tmp_path, Home())) as leaf:

        def broken(now: float) -> None:
            raise ZeroDivisionError

        leaf.node.poll = broken  # type: ignore[method-assign, assignment]
        try:
            with pytest.raises(ZeroDivisionError):
                await asyncio.wait_for(leaf.run(), 5.0)
        finally:
            await leaf.close()


async def test_a_node_that_is_found_armed_and_that_nobody_selects_has_the_host_of_its_domain(
    tmp_path: Path,
) -> None:
    """Its reports said that its host draws nothing, while the row that it had left still answered for it."""
    told = Told(tmp_path, Home(host_idle_watts=500.0, host_max_watts=900.0))
    with made(tmp_path, told, armed_for="row-a") as leaf:
        await ran(leaf)
        assert leaf.node.domain == "row-a"
        assert (leaf.node.home.host_idle_watts, leaf.node.home.host_max_watts) == (500.0, 900.0)


def lease(report: Report) -> Lease:
    """One that arms the node."""
    limits = tuple(GpuLimit(uuid=gpu.uuid, watts=300.0, safe_watts=250.0) for gpu in report.gpus)
    return Lease(
        domain="row", epoch=Epoch(1, "uid"), sequence=report.sequence, answers=report.sequence, lease_s=4.0,
        act=Act.ENFORCE, limits=limits, plan_version=1, trigger_watts=1e5, heat=0.0, level="Normal",
        policy_hash="abc",
    )  # fmt: skip


async def test_a_node_whose_record_cannot_be_written_says_so_and_goes_on_reporting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports: list[Report] = []

    async def exchange(report: Report) -> Lease:
        reports.append(report)
        await asyncio.sleep(0.05)
        return lease(report)

    def full(state: ArmedRecordFile, record: ArmedRecord) -> None:
        raise OSError("no space left on device")

    told = Told(tmp_path, Home(domain="row", host_idle_watts=500.0, host_max_watts=900.0))
    with made(tmp_path, told) as leaf:
        monkeypatch.setattr(leaf._report_client, "exchange", exchange)
        monkeypatch.setattr(ArmedRecordFile, "write", full)
        await ran(leaf, for_s=1.0)
        assert len(reports) >= 3
        assert reports[0].faults == ()
        assert {(report.armed, report.faults) for report in reports[1:]} == {(False, ("StateLost",))}
        assert {gpu.enforced_watts for report in reports for gpu in report.gpus} == {400.0}
        assert "no space left" in leaf.node.faults(time.monotonic())["StateLost"]


async def test_one_that_is_not_armed_belongs_to_nobody(tmp_path: Path) -> None:
    told = Told(tmp_path, Home(host_idle_watts=500.0, host_max_watts=900.0))
    with made(tmp_path, told) as leaf:
        await ran(leaf)
        assert leaf.node.domain is None
