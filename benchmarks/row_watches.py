"""
What a large row was doing at each second, so that one that failed tells why.

Members, coordinators and the API server share the processors of one machine, and the logs tell only what
was decided, not who had the time for it. So a thread notes beside them, a line of JSON a second: who holds
the Kubernetes Lease, what each process has cost, and how long the coordinator's event loop takes to answer.
It also looks at all limits ten times a second and notes how many rose between two looks: limits may rise
by the word of a coordinator only, whatever fails.
"""

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.process_costs import cpu_s
from testbed.cluster.errors import ApiError
from testbed.fakegpu.board import Board, Floats
from testbed.limit_watchers import Watcher

LOOK_EVERY_S: Final = 0.1
LINE_EVERY_S: Final = 1.0
RISEN_WATTS: Final = 0.5
ANSWERS_WITHIN_S: Final = 1.0

MACHINE: Final = "machine"
TICKS_HZ: Final = os.sysconf("SC_CLK_TCK")


class RowWatch(Watcher):
    """Writes to `file` while its block lasts; `pids` are processes by name, `doors` the candidates' ports."""

    def __init__(
        self,
        file: Path,
        board: Board,
        *,
        leader: Callable[[], str],
        pids: Callable[[], Mapping[str, int]],
        doors: Mapping[str, int],
    ) -> None:
        super().__init__(self._note, every_s=LOOK_EVERY_S)
        self._file, self._board, self._leader, self._pids, self._doors = file, board, leader, pids, doors
        self._limits: Floats = board.requested_watts()
        self._risen: list[tuple[float, int]] = []
        self._costs: dict[str, float] = {}
        self._line_s = time.monotonic()

    def _note(self) -> None:
        limits = self._board.requested_watts()
        risen = int(np.count_nonzero(limits > self._limits + RISEN_WATTS))
        self._limits = limits
        if risen:
            self._risen.append((time.time(), risen))
        if time.monotonic() - self._line_s >= LINE_EVERY_S:
            self._write(limits)

    def _write(self, limits: Floats) -> None:
        took_s, self._line_s = time.monotonic() - self._line_s, time.monotonic()
        leader = self._held_by()
        line = {
            "t": round(time.time(), 3),
            "leader": leader,
            "cores": self._cores(took_s),
            "answered_ms": _answered_ms(self._doors[leader]) if leader in self._doors else None,
            "kilowatts": round(float(limits.sum()) / 1000, 1),
            "risen": self._risen,
        }
        self._risen = []
        with self._file.open("a") as lines:
            lines.write(json.dumps(line) + "\n")

    def _held_by(self) -> str:
        try:
            return self._leader()
        except ApiError:
            return ""

    def _cores(self, took_s: float) -> dict[str, float]:
        costs = {name: cost for name, pid in self._pids().items() if (cost := _cost_s(pid)) is not None}
        costs[MACHINE] = _busy_s()
        before, self._costs = self._costs, costs
        return {name: round((costs[name] - before.get(name, costs[name])) / took_s, 3) for name in costs}


def _cost_s(pid: int) -> float | None:
    try:
        return cpu_s((pid,))
    except OSError:
        return None


def _busy_s() -> float:
    """What all processors together have worked, for whomever."""
    user, nice, system, _, _, irq, softirq, *_ = map(
        int, Path("/proc/stat").read_text().split("\n")[0].split()[1:]
    )
    return (user + nice + system + irq + softirq) / TICKS_HZ


def _answered_ms(port: int) -> float | None:
    """How long a process takes to say that it lives; None if too long."""
    began_s = time.monotonic()
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=ANSWERS_WITHIN_S) as answer:
            answer.read()
    except (urllib.error.URLError, TimeoutError, OSError):
        return None
    return round(1000 * (time.monotonic() - began_s), 1)
