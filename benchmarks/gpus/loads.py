"""
A process that loads the GPU by a timetable, and what the measuring process holds of it.

The load runs in a process of its own, so that its Python doesn't slow the sampling and the
idle GPU before it has no CUDA context. One line of JSON orders a work and a timetable of
pauses and spans; one line answers with the times at which load really ran, taken after
the GPU had nothing left to do. `works` is the other side.
"""

import importlib.util
import json
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from benchmarks.gpus.errors import Unmeasured
from benchmarks.gpus.traces import Spans

Timetable = Sequence[tuple[float, float]]
"""Pause and then load, in seconds each, one after another."""

SEED = 1
"""Of the blinks, and of the numbers that are multiplied."""

SHORTEST_BLINK_S, LONGEST_BLINK_S = 0.015, 0.25
"""From well under a meter's window to more than its period; drawn evenly over the logarithm."""


def blinking(seconds: float, seed: int) -> Timetable:
    """Pauses and spans of random length, together as long as `seconds` at least."""
    draw = random.Random(seed)
    table: list[tuple[float, float]] = []
    while sum(map(sum, table)) < seconds:
        pause_s, on_s = (
            SHORTEST_BLINK_S * (LONGEST_BLINK_S / SHORTEST_BLINK_S) ** draw.random() for _ in range(2)
        )
        table.append((pause_s, on_s))
    return table


def refuse_without_torch() -> None:
    """Unmeasured if torch isn't installed, or finds no GPU; asked in a process that makes no context."""
    if importlib.util.find_spec("torch") is None:
        raise Unmeasured("torch isn't installed for this Python: install it, since it makes the load")
    asked = "import sys, torch; sys.exit(not torch.cuda.is_available())"
    if subprocess.run((sys.executable, "-c", asked), capture_output=True, check=False).returncode:
        raise Unmeasured("torch finds no GPU: install one that is built for this machine's CUDA driver")


class Load:
    """The process, started and warm; use as a context. `device` is the GPU's name by torch."""

    def __init__(self, uuid: str, gpus: int) -> None:
        seen = {"CUDA_VISIBLE_DEVICES": uuid} if gpus > 1 else {}
        self._process = subprocess.Popen(
            (sys.executable, "-m", "benchmarks.gpus.works"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **seen},
        )
        self.device = str(self._answer()["device"])

    def __enter__(self) -> "Load":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._process.kill()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()

    def order(self, work: str, size: int, timetable: Timetable) -> None:
        """Warm up a work of `works` and begin its timetable; returns once that is under way."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"work": work, "size": size, "timetable": timetable}) + "\n")
        self._process.stdin.flush()
        self._answer()

    def spans(self) -> Spans:
        """When load ran in the timetable that was ordered; waits for its end."""
        return tuple((float(began), float(ended)) for began, ended in self._answer()["on"])

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise Unmeasured(f"the load ended with status {self._process.wait()}: read what it said above")
        return json.loads(line)
