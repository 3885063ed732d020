"""The carrier of a node's half ends with an error that nobody foresaw, instead of falling silent."""

import asyncio
import time
from pathlib import Path

import pytest

from loadline_agent.domain.leaf import Leaf
from loadline_agent.domain.report_clients import ReportClient
from loadline_agent.hardware.armed_records import ArmedRecordFile
from loadline_agent.hardware.node_gpus import NodeGpus
from loadline_agent.hardware.sensors import GpuSensors
from loadline_agent.journals import Journal
from loadline_agent.metrics import Metrics
from loadline_policies.power.protocol.node_reports import NodeWorkloads
from testbed.doubles.agents import FileDeclarations, Row, RowFile
from testbed.fakegpu.board import Board
from testbed.fakegpu.joining import joined

BOOT = "3e1b8f0c-3d1e-4b7e-9d5a-0c1b2a3d4e5f"


async def test_a_poll_that_raises_ends_the_leaf(tmp_path: Path) -> None:
    board = Board.create(tmp_path / "board", ("node-00",))
    Row(nodes={}, candidates=()).write(tmp_path / "row.json")
    with joined(board.path):
        gpus = GpuSensors.open()
        leaf = Leaf(
            "node-00",
            NodeGpus(gpus, ArmedRecordFile(str(tmp_path), BOOT), boot=BOOT, clock=time.monotonic),
            ReportClient(lambda domain: (), context=lambda peer: pytest.fail("nobody to speak to")),
            declarations=FileDeclarations(RowFile(tmp_path / "row.json"), "node-00"),
            workloads=NodeWorkloads(),
            journal=Journal("node-00", wall=time.time),
            metrics=Metrics(),
            clock=time.monotonic,
        )

        def broken(now: float) -> None:
            raise ZeroDivisionError

        leaf.node.poll = broken  # type: ignore[method-assign, assignment]
        try:
            with pytest.raises(ZeroDivisionError):
                await asyncio.wait_for(leaf.run(), 5.0)
        finally:
            await leaf.close()
            gpus.close()
