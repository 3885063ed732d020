"""
Whether the row keeps what it is promised, and whether all that is said of it is true.

Once a second the statuses are read as anybody may read them, and every sentence is held against the
truth of that second (`statements`). The breaker's heat is the plant's own. *S1*: what the nodes truly
fall to is within the budget, but for 40 s, led by somebody, from when a fault could first be seen
(0002, «S1»); this row bears no node outside its plan (k is 0), so nothing else is excused. No limit
is raised by a guard, or past a deadline (`writers`), and no fault disarms a node.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from loadline_api.conditions import Condition
from testbed.cluster.errors import ApiError
from testbed.fakegpu.board import boottime
from testbed.live_rows import statuses
from testbed.live_rows.plants import Moment
from testbed.live_rows.rows import BUDGET_WATTS, DOMAIN, NODES, Row
from testbed.live_rows.sights import Sight
from testbed.live_rows.statements import STATEMENTS
from testbed.live_rows.statuses import Said
from testbed.live_rows.truths import Truth, Witness, lowest_watts
from testbed.live_rows.writers import Writers

LOOK_EVERY_S: Final = 1.0
EXCUSED_S: Final = 40.0
MEASURED_WITHIN_S: Final = 3.0
"""A time in a status has whole seconds, and a report may be a second old."""

TOLERANCE_WATTS: Final = 2.0 * len(NODES)
"""Limits are whole watts."""


@dataclass(slots=True)
class Falsehood:
    """A sentence that contradicted the truth for longer than it may lag; times are of the play."""

    statement: str
    subject: str
    from_s: float
    until_s: float
    text: str

    def __str__(self) -> str:
        return f"{self.from_s:.0f} to {self.until_s:.0f} s: {self.subject}: {self.text}"


@dataclass
class Verdict:
    """What a play has shown. `most_falls` is the highest sum of true falls, of the budget, where S1 holds."""

    most_heat: float = 0.0
    most_load: float = 0.0
    most_falls: float = 0.0
    looks: int = 0
    missed_looks: int = 0
    s1: list[str] = field(default_factory=list)
    rises: list[str] = field(default_factory=list)
    disarmed: list[str] = field(default_factory=list)
    false: list[Falsehood] = field(default_factory=list)
    trace: list[dict[str, Any]] = field(default_factory=list)


class Judge:
    """Looks at a row until it is closed; `verdict` is what it has found so far."""

    def __init__(self, row: Row) -> None:
        self.verdict = Verdict()
        self.said: Said | None = None
        self.truth: Truth | None = None
        self._row = row
        self._writers = Writers(row)
        self._witness = Witness(row, self._writers)
        self._began_s = boottime()
        self._contradicted_s: dict[tuple[str, str], float] = {}
        self._open: dict[tuple[str, str], Falsehood] = {}
        self._armed: dict[str, str] = {}
        self._excused_s = 0.0
        self._excused_for = (row.faulty_s, frozenset[str]())
        self._looked_s = self._began_s

    def watch(self, seconds: float) -> None:
        """Look once a second for so long."""
        end_s = boottime() + seconds
        self.until(lambda: boottime() >= end_s, within_s=seconds + 1.0)

    def until(self, holds: Callable[[], bool], *, within_s: float) -> bool:
        """Look once a second until something is so; whether it came to be."""
        end_s, next_s = boottime() + within_s, boottime()
        while not holds():
            now = boottime()
            if now >= end_s:
                return False
            if now >= next_s:
                next_s = now + LOOK_EVERY_S
                self.look()
            time.sleep(0.05)
        return True

    def look(self) -> None:
        try:
            said = statuses.read(self._row.bed.client)
        except (httpx.HTTPError, ApiError):
            self.verdict.missed_looks += 1
            return
        truth = self._witness.truth(said)
        self.said, self.truth = said, truth
        self.verdict.looks += 1
        self._judge_statements(Sight(said, truth, self._measured(said, truth)))
        self._judge_falls(truth)
        self._judge_records(truth)
        self.verdict.most_heat = self._row.plant.most_heat
        self.verdict.most_load = self._row.plant.most_load
        self.verdict.rises = self._writers.rises
        self.verdict.trace.append(self._traced(said, truth))
        self._looked_s = truth.at_s

    @property
    def now_s(self) -> float:
        """Seconds into the play."""
        return boottime() - self._began_s

    def _traced(self, said: Said, truth: Truth) -> dict[str, Any]:
        """This second in short, for whoever looks for the cause of what was found."""
        status = said.domains[DOMAIN].status
        return {
            "at_s": round(truth.at_s - self._began_s, 1),
            "load": round(truth.moment.true_watts / BUDGET_WATTS, 3),
            "heat": round(truth.moment.heat, 3),
            "falls": {node: round(watts) for node, watts in truth.falls_watts.items()},
            "limits": {node: [min(watts), max(watts)] for node, watts in truth.limits_watts.items()},
            "faulty": {node: len(truth.faulty(node)) for node in NODES},
            "leader": truth.leader,
            "coordinator": status.coordinator,
            "level": status.level,
            "heat_percent": status.heat_percent,
            "observed_watts": status.observed_watts,
            "safe_watts": status.safe_watts,
            "silent": list(status.silent_nodes),
            "conditions": {name: _short(one.status.conditions) for name, one in said.domains.items()},
            "node_conditions": {name: _short(one.status.conditions) for name, one in said.nodes.items()},
        }

    def _measured(self, said: Said, truth: Truth) -> list[Moment]:
        """The plant's moments around the time that the row's status gives."""
        text = said.domains[DOMAIN].status.observed_time
        if not text:
            return []
        at_s = statuses.epoch_s(text) + truth.at_s - truth.wall_s
        return self._row.plant.between(at_s - MEASURED_WITHIN_S, at_s + MEASURED_WITHIN_S)

    def _judge_statements(self, sight: Sight) -> None:
        at_s, seen = sight.truth.at_s - self._began_s, set()
        for statement in STATEMENTS:
            for subject, text in statement.contradicted(sight):
                key = (statement.name, subject)
                seen.add(key)
                since_s = self._contradicted_s.setdefault(key, at_s)
                if at_s - since_s < statement.lag_s:
                    continue
                if key not in self._open:
                    self._open[key] = Falsehood(statement.name, subject, since_s, at_s, text)
                    self.verdict.false.append(self._open[key])
                self._open[key].until_s = at_s
        for key in self._contradicted_s.keys() - seen:
            del self._contradicted_s[key]
            self._open.pop(key, None)

    def _judge_falls(self, truth: Truth) -> None:
        fault = (self._row.faulty_s, frozenset(node for node in NODES if truth.dead[node]))
        if fault != self._excused_for:
            self._excused_for, self._excused_s = fault, EXCUSED_S
        elif truth.leader:
            self._excused_s -= truth.at_s - self._looked_s
        if self._excused_s > 0 or truth.unseen or lowest_watts(truth) > BUDGET_WATTS:
            return
        falls_watts = sum(truth.falls_watts.values())
        self.verdict.most_falls = max(self.verdict.most_falls, falls_watts / BUDGET_WATTS)
        if falls_watts > BUDGET_WATTS + TOLERANCE_WATTS:
            each = ", ".join(f"{node} {watts:.0f}" for node, watts in truth.falls_watts.items())
            self.verdict.s1.append(f"{self.now_s:.0f} s: the nodes fall to {falls_watts:.0f} W: {each}")

    def _judge_records(self, truth: Truth) -> None:
        for node, record in truth.records.items():
            if record is None:
                continue
            owner = record.domain if record.armed else ""
            if self._armed.get(node) and owner != self._armed[node]:
                whose = f"armed for {owner}" if owner else "disarmed"
                self.verdict.disarmed.append(f"{self.now_s:.0f} s: {node} is {whose}")
            self._armed[node] = owner


def _short(conditions: Iterable[Condition]) -> dict[str, str]:
    """Each condition as its status and its reason."""
    return {one.type: f"{one.status}/{one.reason}" for one in conditions}
