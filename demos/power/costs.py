"""
What the demo costs the machine it runs on: CPU seconds by component, of everything.

Every process of a bed carries the bed's mark, also those that were killed and started
again in between, so a look at /proc now and then finds them all; what a process had
used when it was last seen is what counts for it. A caller looks once more before it
kills somebody. kubectl comes and goes between two looks: what it used is known from
what this process has waited for.
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
"""By a word of the command line."""

Answer = TypeVar("Answer")


class Costs:
    """CPU seconds of a bed's processes and of this one since it was made."""

    def __init__(self, directory: Path) -> None:
        self._directory = str(directory)
        self._components: dict[int, str] = {}
        self._seconds: dict[int, float] = {}
        self._kubectl_s = 0.0
        self.look()
        self._before = dict(self._seconds)
        self._own_s, self._began_s = time.process_time(), time.monotonic()

    def look(self) -> None:
        """Note what every process has used by now."""
        for pid in janitors.processes_of(self._directory):
            try:
                self._seconds[pid] = _cpu_seconds(pid)
                self._components.setdefault(pid, _component(pid))
            except (FileNotFoundError, ProcessLookupError):
                continue

    def of_kubectl(self, act: Callable[[], Answer]) -> Answer:
        """Do what runs kubectl and waits for it, and count what that cost."""
        before_s = _waited_for_s()
        try:
            return act()
        finally:
            self._kubectl_s += _waited_for_s() - before_s

    def by_component(self) -> dict[str, float]:
        """CPU seconds by component, the dearest first."""
        totals: defaultdict[str, float] = defaultdict(float)
        for pid, seconds in self._seconds.items():
            totals[self._components[pid]] += seconds - self._before.get(pid, 0.0)
        totals[CONDUCTOR] += time.process_time() - self._own_s
        totals[KUBECTL] += self._kubectl_s
        return dict(sorted(totals.items(), key=lambda item: -item[1]))

    def cores_busy(self) -> float:
        """CPU seconds of everything ÷ seconds since the beginning."""
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
