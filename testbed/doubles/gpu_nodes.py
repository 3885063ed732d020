"""The GPUs of one node as its agent has them, without the agent: over the fake library, on a test's clock."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from loadline_agent.hardware.armed_records import ArmedRecordFile
from loadline_agent.hardware.node_gpus import NodeGpus
from loadline_agent.hardware.sensors import GpuSensors
from testbed.fakegpu.board import Board
from testbed.fakegpu.joining import joined

BOOT = "3e1b8f0c-3d1e-4b7e-9d5a-0c1b2a3d4e5f"


@contextmanager
def opened(board: Board, clock: Callable[[], float] = lambda: 0.0) -> Iterator[NodeGpus]:
    """Those of the board's only node, with a record beside the board."""
    with joined(board.path):
        state = ArmedRecordFile(str(board.path.parent), BOOT)
        made = NodeGpus(GpuSensors.open(), state, boot=BOOT, clock=clock)
        yield made
        made.close()
