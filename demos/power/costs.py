"""
The CPU time of the demo on this machine, by component.

Every process of a bed has the bed's mark in its environment, also after a restart, so that regular
reads of /proc find them all. A process counts with the CPU time of the last read; so callers call
`look` once more before they kill a process. kubectl runs too briefly for that: its CPU time is that
of the child processes for which this process has waited.
"""

import os
import resource
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from testbed.cluster import janitors

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
CONDUCTOR, KUBECTL = "conductor", "kubectl"
COMPONENTS = {
    "kube-apiserver": "API server",
    "etcd": "etcd",
    "kube-controller-manager": "controller manager",
    "kube-scheduler": "scheduler",
    "loadline_operator.main": "operator",
    "run": "agents",
    "guard": "guards",
    "demos.power.plants": "plant",
}
"""Component by a word of its command line."""

Answer = TypeVar("Answer")


class Costs:
    """CPU seconds of a bed's processes and of this process, since this object was created."""

    def __init__(self, directory: Path) -> None:
        self._directory = str(directory)
        self._components: dict[int, str] = {}
        self._seconds: dict[int, float] = {}
        self._kubectl_s = 0.0
        self.look()
        self._before = dict(self._seconds)
        self._own_s, self._began_s = time.process_time(), time.monotonic()

    def look(self) -> None:
        """Read the CPU time of every process of the bed."""
        for pid in janitors.processes_of(self._directory):
            try:
                self._seconds[pid] = _cpu_seconds(pid)
                self._components.setdefault(pid, _component(pid))
            except (FileNotFoundError, ProcessLookupError):
                continue

    def of_kubectl(self, act: Callable[[], Answer]) -> Answer:
        """Call `act`, which runs kubectl and waits for it, and count kubectl's CPU time."""
        before_s = _waited_for_s()
        try:
            return act()
        finally:
            self._kubectl_s += _waited_for_s() - before_s

    def by_component(self) -> dict[str, float]:
        """CPU seconds by component, the largest first."""
        totals: defaultdict[str, float] = defaultdict(float)
        for pid, seconds in self._seconds.items():
            totals[self._components[pid]] += seconds - self._before.get(pid, 0.0)
        totals[CONDUCTOR] += time.process_time() - self._own_s
        totals[KUBECTL] += self._kubectl_s
        return dict(sorted(totals.items(), key=lambda item: -item[1]))

    def cores_busy(self) -> float:
        """CPU seconds of all components ÷ seconds since this object was created."""
        return sum(self.by_component().values()) / (time.monotonic() - self._began_s)


def _waited_for_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def _component(pid: int) -> str:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    named = (COMPONENTS[name] for word in words if (name := word.rpartition("/")[2]) in COMPONENTS)
    return next(named, "other")
