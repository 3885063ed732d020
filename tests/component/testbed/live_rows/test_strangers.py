"""A stranger on a node: a process of its own that sets every GPU it sees, again and again, by the driver."""

import subprocess
import sys
import time
from pathlib import Path

from testbed import charts
from testbed.fakegpu import build
from testbed.fakegpu.board import Board
from testbed.live_rows import members

PATIENCE_S = 30.0


def test_a_stranger_sets_its_node_again_and_no_other_one(tmp_path: Path) -> None:
    with Board.create(tmp_path / "board", ("node-0", "node-1")) as board:
        environment = {**members.environment(), **build.environment(board.path, "node-1")}
        command = (sys.executable, "-m", "testbed.live_rows.strangers", "--watts", "300", "--every", "0.05")
        with subprocess.Popen(command, env={**environment, "PYTHONPATH": str(charts.ROOT)}) as stranger:
            deadline_s = time.monotonic() + PATIENCE_S
            while board.writes()[1].min() < 2 and time.monotonic() < deadline_s:
                time.sleep(0.02)
            stranger.kill()
        assert board.writes()[1].min() >= 2, "it wrote more than once"
        assert (board.requested_watts()[1] == 300.0).all()
        assert set(board.gpus["last_writer_pid"][1]) == {stranger.pid}
        assert not board.writes()[0].any()
