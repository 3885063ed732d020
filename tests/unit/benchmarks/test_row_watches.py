"""What a watched row was doing is told: limits that rose, who held the Lease, what processes cost."""

import json
import os
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from benchmarks import row_watches
from benchmarks.row_watches import RowWatch
from testbed.cluster.errors import ApiError
from testbed.fakegpu.board import Board, Floats


class Limits:
    """A board of which only limits are asked."""

    def __init__(self) -> None:
        self.watts: Floats = np.full((3, 8), 400.0)

    def requested_watts(self) -> Floats:
        return self.watts.copy()


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_limits_that_rise_for_a_moment_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_watches, "LINE_EVERY_S", 0.0)
    board = Limits()
    watch = RowWatch(
        tmp_path / "row.log",
        cast(Board, board),
        leader=lambda: "node-0",
        pids=lambda: {"this": os.getpid(), "gone": 2**30},
        doors={},
    )
    for watts in (200.0, 400.0, 200.0, 200.2):
        board.watts[1, :2] = watts
        watch._note()
    told = lines(tmp_path / "row.log")
    assert [[count for _, count in line["risen"]] for line in told] == [[], [2], [], []]
    assert {line["leader"] for line in told} == {"node-0"}
    assert set(told[0]["cores"]) == {"this", row_watches.MACHINE}, "a process that is gone costs nothing"
    assert told[0]["answered_ms"] is None


def test_an_api_server_that_is_away_ends_no_watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_watches, "LINE_EVERY_S", 0.0)

    def away() -> str:
        raise ApiError(0, reason="", sentence="it is away")

    watch = RowWatch(tmp_path / "row.log", cast(Board, Limits()), leader=away, pids=dict, doors={})
    watch._note()
    assert lines(tmp_path / "row.log")[0]["leader"] == ""
