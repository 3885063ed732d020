"""
What a report costs the coordinator's own machine, without wire, TLS or event loop around it.

Members on paper report to one `Leader` as on the wire: each is answered, obeys, and reports again at
once, and their sensors move. Thread time is counted of each call, and besides of `decide` alone.
"""

import heapq
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from typing import Any, Final

from loadline_api.journals import Component, Journal, JournalEntry
from loadline_api.power_journals import PowerJournal
from loadline_policies.power.protocol.coordinators import Coordinator
from loadline_policies.power.protocol.domains import Domain
from loadline_policies.power.protocol.leaders import ElectionState, Leader, Leased, Output
from loadline_policies.power.protocol.messages import Act, Epoch, GpuReport, Lease, Report
from testbed.shaken_rows.rows import POLCA

EPOCH: Final = Epoch(1, "uid")
GPUS: Final = 8
SHARE_WATTS: Final = 5000.0
TRAVEL_S: Final = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Microseconds of the coordinator's thread for each report: `decide` alone, and everything."""

    nodes: int
    reports: int
    decide_us: float
    report_us: float


class Member:
    """A member on paper: what it reports follows from the lease that it was given."""

    def __init__(self, name: str, random: Random) -> None:
        self.name, self._random = name, random
        self._sequence = 0
        self._lease: Lease | None = None
        self._gpus = [
            GpuReport(
                uuid=f"{name}/{index}",
                watts=250.0,
                enforced_watts=700.0,
                min_watts=200.0,
                max_watts=700.0,
                owners=("default/chat",),
                able=True,
                proven=True,
                found_watts=700.0,
                default_watts=700.0,
            )
            for index in range(GPUS)
        ]

    def take(self, lease: Lease) -> None:
        """Obey."""
        self._lease = lease
        if lease.act is Act.ENFORCE:
            self._gpus = [
                replace(gpu, enforced_watts=limit.watts, safe_watts=limit.safe_watts)
                for gpu, limit in zip(self._gpus, lease.limits, strict=True)
            ]

    def report(self) -> Report:
        self._sequence += 1
        lease = self._lease
        return Report(
            node=self.name,
            domain="row",
            sequence=self._sequence,
            age_s=0.1,
            host_watts=400.0,
            host_max_watts=500.0,
            gpus=tuple(
                replace(gpu, watts=round(self._random.uniform(240.0, 260.0), 1)) for gpu in self._gpus
            ),
            epoch=lease.epoch if lease is not None else None,
            lease_sequence=lease.sequence if lease is not None else 0,
            armed=lease is not None and lease.act is Act.ENFORCE,
            plan_version=lease.plan_version if lease is not None else 0,
            heat=lease.heat if lease is not None else None,
            heat_age_s=1.0 if lease is not None else None,
        )


class Stopwatch:
    """Thread time of calls."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def of(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """The call, with its time counted."""

        def timed(*arguments: Any) -> Any:
            began_s = time.thread_time()
            try:
                return call(*arguments)
            finally:
                self.seconds += time.thread_time() - began_s

        return timed


def measured(
    nodes: int,
    *,
    seconds: float = 20.0,
    settling_s: float = 5.0,
    journalled: Callable[[str], None] | None = None,
) -> Cost:
    """What `nodes` members cost that report about once a second, after a row has settled.

    `journalled` gets each line of a journal with observations; without it, as by default, a journal has none.
    """
    random = Random(nodes)
    members = {name: Member(name, random) for name in (f"node-{index:04}" for index in range(nodes))}
    domain = Domain(
        name="row", budget_watts=nodes * SHARE_WATTS, members=frozenset(members), document=POLCA, enforce=True
    )
    row = _Row(members, domain, random, journalled=journalled)
    row.run(settling_s)
    row.reports, row.whole.seconds, row.deciding.seconds = 0, 0.0, 0.0
    row.run(seconds)
    return Cost(
        nodes=nodes,
        reports=row.reports,
        decide_us=row.deciding.seconds / row.reports * 1e6,
        report_us=row.whole.seconds / row.reports * 1e6,
    )


class _Row:
    def __init__(
        self,
        members: dict[str, Member],
        domain: Domain,
        random: Random,
        *,
        journalled: Callable[[str], None] | None,
    ) -> None:
        self.reports, self.whole, self.deciding = 0, Stopwatch(), Stopwatch()
        self._members, self._domain, self._now = members, domain, 100.0
        written = PowerJournal(
            Journal(Component.AGENT, wall=time.time, written=partial(_pass_line, journalled)),
            observations=journalled is not None,
        )
        self._leader = Leader(random.uniform, written.relieve, written.decided)
        self._due = [(self._now + random.random(), name) for name in members]
        self._step_s = self._now
        heapq.heapify(self._due)

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end_s = self._now + seconds
        while self._now < end_s:
            self._now = min(self._due[0][0] if self._due else end_s, self._leader.wake_s, self._step_s)
            for output in self._next():
                if isinstance(output, Leased):
                    self._members[output.report.node].take(output.lease)
                    heapq.heappush(self._due, (self._now + TRAVEL_S, output.report.node))

    def _next(self) -> tuple[Output, ...]:
        election, now, leader = ElectionState(EPOCH, self._now - 0.5, 2), self._now, self._leader
        found: tuple[Output, ...]
        if now == self._step_s:
            self._step_s += 1.0
            found = self.whole.of(leader.step)(election, self._domain, now)
            self._watch(leader.coordinator)
        elif self._due and now == self._due[0][0]:
            report = self._members[heapq.heappop(self._due)[1]].report()
            self.reports += 1
            found = self.whole.of(leader.report)(report, election, now)
        else:
            found = self.whole.of(leader.due)(now)
        return found

    def _watch(self, coordinator: Coordinator | None) -> None:
        """Count what this coordinator's `decide` takes, wherever it is called from."""
        if coordinator is not None and "decide" not in vars(coordinator):
            vars(coordinator)["decide"] = self.deciding.of(coordinator.decide)


def _pass_line(journalled: Callable[[str], None] | None, entry: JournalEntry, line: str) -> None:
    if journalled is not None:
        journalled(line)
