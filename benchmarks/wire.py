"""
What one member that says anything at all does to its row, and what is left of it a minute after.

Rows of the product's protocol in virtual time, at the worst load. One member obeys, but what it reports
is changed at random on its way, as JSON: bounds, other types, other epochs, far too much. The others are
honest. True heat is the judge, and that nothing raises what it shouldn't; then the member tells the truth
again, and the row has a minute to be led by its policy as before.

    python -m benchmarks.wire [--reports 20000] [--jobs 2]

Writes benchmarks/results/wire.json, unless it was told less than the full run.
"""

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Any, Final

from benchmarks.result_files import RESULTS, Check, above, destination, finish, none, parser, report
from loadline_api.reports import decode_report, encode_report
from loadline_policies.errors import InvalidInput
from loadline_policies.power.protocol.gpu_limits import HoldReason
from loadline_policies.power.protocol.leaders import Implausible
from loadline_policies.power.protocol.messages import Report
from loadline_policies.power.safety.breakers import TRIP
from loadline_sim.virtual.agents import Agent
from loadline_sim.virtual.links import Reply
from testbed.hostile_messages import changed
from testbed.shaken_rows.events import happen
from testbed.shaken_rows.rows import CANDIDATES, CARELESS, POLCA, Bench, Heard

RESULT = RESULTS / "wire.json"
REPORTS = 20_000
ROWS_AT_ONCE: Final = 20
ARMED_S, HOSTILE_S, AFTER_S, LOOK_S = 20.0, 90.0, 60.0, 1.0
CALM: Final = frozenset({HoldReason.NOT, HoldReason.HEAT})
"""Why a row may be held a minute after: by nothing, or by heat that it did take."""


@dataclass(slots=True)
class Outcome:
    """What became of one row. `died_of` is what was raised, empty where nothing was."""

    seed: int
    reports: int = 0
    unreadable: int = 0
    most_heat: float = 0.0
    raised: bool = False
    held: str = ""
    died_of: str = ""


class Garbled(Heard):
    """An agent as a hostile member reaches it: what that sends is changed until `honest`."""

    def __init__(self, bench: Bench, agent: Agent, *, hostile: str, outcome: Outcome) -> None:
        super().__init__(bench, agent)
        self.honest = False
        self._hostile, self._outcome = hostile, outcome
        self._random = Random(outcome.seed)

    def reported(self, report: Report, reply: Reply) -> None:
        """A report arrives; one that can't be read, or is of another node, is refused by the server."""
        if report.node == self._hostile and not self.honest and self._random.random() < 0.9:
            self._outcome.reports += self._agent.coordinator is not None
            try:
                report = decode_report(changed(encode_report(report), self._random))
            except InvalidInput as error:
                self._outcome.unreadable += 1
                reply(Implausible(report, str(error)))
                return
            if report.node != self._hostile:  # its certificate says who it is
                reply(Implausible(report, "another's name"))
                return
        super().reported(report, reply)


def play(seed: int) -> Outcome:
    """One row with one hostile member."""
    outcome, random = Outcome(seed), Random(seed)
    nodes = random.choice((4, 5, 8, 10))
    bench = Bench(seed=seed, nodes=nodes, document=random.choice((CARELESS, POLCA)))
    hostile = f"node-{random.randrange(nodes)}"
    try:
        bench.run(ARMED_S)
        garbled = [Garbled(bench, agent, hostile=hostile, outcome=outcome) for agent in bench.agents]
        for agent, one in zip(bench.agents, garbled, strict=True):
            bench.site.peers[agent.name] = one
        _attack(bench, random)
        for one in garbled:
            one.honest = True
        happen(bench, "idle", index=0)
        bench.run(AFTER_S)
        outcome.held = _held(bench)
    except Exception as error:  # it would have ended a process
        outcome.died_of = f"{type(error).__name__}: {error}"
    outcome.most_heat = bench.most_heat
    outcome.raised = bool(bench.raised_at_deadline or bench.raised_by_former)
    return outcome


def _attack(bench: Bench, random: Random) -> None:
    """The load comes and goes, and sometimes the leader dies, since a successor believes first."""
    left_s = HOSTILE_S
    while left_s > 0.0:
        happen(bench, random.choice(("worst", "worst", "idle", "mixed")), index=0)
        if random.random() < 0.2:
            happen(bench, "kill leader", index=0)
        bench.run(5.0)
        for index in range(CANDIDATES):
            happen(bench, "restart", index=index)
        left_s -= 5.0


def _held(bench: Bench) -> str:
    levels = [leader.level for leader in bench.coordinators()]
    if not levels:
        return "nobody leads"
    return ", ".join(level for level in levels if level in frozenset(HoldReason) - CALM)


def played(seeds: range) -> list[Outcome]:
    """Several rows."""
    return [play(seed) for seed in seeds]


def main(arguments: list[str] | None = None) -> int:
    """Play, print, write; 1 if a goal was missed."""
    options = parser("benchmarks.wire", __doc__)
    options.add_argument("--reports", type=int, default=REPORTS, help="of hostile members (%(default)s)")
    options.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="side by side (%(default)s)")
    asked = options.parse_args(arguments)
    kept = destination(RESULT, writes=asked.reports >= REPORTS and not asked.dirty)
    outcomes = list(_outcomes(asked.reports, asked.jobs))
    return finish(_report(outcomes, asked.reports), kept)


def _outcomes(reports: int, jobs: int) -> Iterator[Outcome]:
    heard = 0
    with ProcessPoolExecutor(jobs) as pool:
        for first in count(0, jobs * ROWS_AT_ONCE):
            starts = range(first, first + jobs * ROWS_AT_ONCE, ROWS_AT_ONCE)
            for outcomes in pool.map(played, [range(start, start + ROWS_AT_ONCE) for start in starts]):
                yield from outcomes
                heard += sum(outcome.reports for outcome in outcomes)
            print(f"{heard} of {reports} reports", file=sys.stderr)
            if heard >= reports:
                return


def _report(outcomes: list[Outcome], reports: int) -> dict[str, Any]:
    tripped = [one.seed for one in outcomes if one.most_heat >= TRIP]
    dead = [f"seed {one.seed}: {one.died_of}" for one in outcomes if one.died_of]
    held = [f"seed {one.seed}: {one.held}" for one in outcomes if one.held]
    raised = [one.seed for one in outcomes if one.raised]
    heard = sum(one.reports for one in outcomes)
    return report(
        "wire",
        inputs={"hostile_s": HOSTILE_S, "after_s": AFTER_S, "reports": reports},
        seeds=[0, len(outcomes)],
        results={
            "rows": len(outcomes),
            "unreadable": sum(one.unreadable for one in outcomes),
            "hottest": max(one.most_heat for one in outcomes),
        },
        checks=[
            above("reports", heard, goal=reports - 1, reason="the run was cut short"),
            _none("trips", tripped),
            _none("crashes", dead),
            _none("held_longer_than_60s_after", held),
            _none("raised_where_it_must_not", raised),
        ],
    )


def _none(name: str, found: list[Any]) -> Check:
    return none(name, len(found), reason=f"seeds {found[:5]}")


if __name__ == "__main__":
    sys.exit(main())
