"""
How fast a row reacts to an overload, and what its coordinator costs, in a row of 52 and in one of 1,024.

First 52 real agents with their guards; then 8 real ones and 1,016 stub members that run the node's half of
the protocol and the agent's client in one process. All GPUs of a row draw more at once; measured is the
time until each real agent has read its lower limits back, and from the coordinator's first answer that
brakes until the last is written. In between the row is calm, and the coordinator's processor time is
counted. Then the coordinator's machine on paper, and the operator's plans.

    python -m benchmarks.reaction [--overloads 20] [--calm 60] [--row 1024]

Takes some 20 minutes. Writes benchmarks/results/reaction.json, unless it was told less than the full run.

Exit codes: 0 all checks were kept, 1 one wasn't, 2 a row didn't come up.
"""

import json
import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import log
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks import coordinator_costs, operator_plans
from benchmarks.coordinator_costs import Cost
from benchmarks.operator_plans import Figures
from benchmarks.reaction_rows import Calm, Reaction, ReactionRow
from benchmarks.result_files import RESULTS, Check, destination, finish, parser, report, took
from testbed.cluster.errors import BedError

RESULT = RESULTS / "reaction.json"
OVERLOADS, CALM_S = 20, 60.0
SMALL: Final = 52
AGENTS_OF_LARGE, LARGE = 8, 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What one row has shown."""

    calm: Calm
    reactions: tuple[Reaction, ...]
    step_downs: int

    @property
    def readback_s(self) -> list[float]:
        """From an overload to each agent's read-back, over all overloads."""
        return [seconds for one in self.reactions for seconds in one.readback_s]

    @property
    def fan_out_s(self) -> list[float]:
        """From the first answer of each brake until all who report had theirs written."""
        return [one.fan_out_s for one in self.reactions if one.fan_out_s is not None]

    @property
    def results(self) -> dict[str, float]:
        """The figures, for the file."""
        found = {
            "overload_to_decision_p50_s": percentile([one.decided_s for one in self.reactions], 50),
            "overload_to_decision_most_s": max(one.decided_s for one in self.reactions),
            "overload_to_readback_p50_s": percentile(self.readback_s, 50),
            "overload_to_readback_most_s": max(self.readback_s),
            "stubs_stepped_down": float(self.step_downs),
            "report_cpu_us": self.calm.report_cpu_s * 1e6,
        }
        heard_s = [max(one.heard_s) for one in self.reactions if one.heard_s]
        seldom = {
            "fan_out_p50_s": percentile(self.fan_out_s, 50),
            "last_stub_heard_p50_s": percentile(heard_s, 50),
        }
        told = {name: value for name, value in (found | seldom).items() if value is not None}
        return told | asdict(self.calm)


def percentile(seconds: Sequence[float], percent: float) -> float | None:
    """None of no figures, which no check takes for a good one."""
    return float(np.percentile(seconds, percent)) if seconds else None


def play(
    *,
    agents: int,
    nodes: int,
    overloads: int,
    calm_s: float,
    failovers: int = 0,
    logs: Path | None = None,
) -> Played:
    """Bring one row up, let it be calm, and overload it again and again."""
    say(f"== {nodes} nodes, {agents} of them real agents")
    with ReactionRow(agents=agents, stubs=nodes - agents, say=say, logs=logs) as row:
        say(f"calm for {calm_s:g} s")
        calm = row.calm(calm_s)
        reactions = []
        for index in range(overloads):
            reactions.append(row.overload())
            last = reactions[-1]
            fan_out = f", fan-out {last.fan_out_s:.3f} s" if last.fan_out_s is not None else ""
            say(f"{index + 1} of {overloads}: read back after {max(last.readback_s):.3f} s{fan_out}")
        for _ in range(failovers):
            say(f"the coordinator was killed: free again after {row.failover():.1f} s")
        return Played(calm=calm, reactions=tuple(reactions), step_downs=row.step_downs)


def play_one(nodes: int, asked: Namespace) -> int:
    """Play one row and print what it has shown; 2 if it didn't come up."""
    agents = SMALL if nodes == SMALL else AGENTS_OF_LARGE
    try:
        played = play(
            agents=agents,
            nodes=nodes,
            overloads=asked.overloads,
            calm_s=asked.calm,
            failovers=asked.failovers,
            logs=asked.logs,
        )
    except BedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(json.dumps(played.results, indent=2))
    return 0


def growth_exponent(small: Played, large: Played) -> float:
    """By which power of the row the cost of a report grows: 0 is not at all, 1 is as the row does."""
    return log(large.calm.report_cpu_s / small.calm.report_cpu_s) / log(LARGE / SMALL)


def main() -> int:
    """Play, print, write; 1 if a goal was missed, 2 if a row didn't come up."""
    options = parser("benchmarks.reaction", __doc__)
    options.add_argument("--overloads", type=int, default=OVERLOADS, help="of each row (%(default)s)")
    options.add_argument("--calm", type=float, default=CALM_S, help="seconds of each row (%(default)s)")
    options.add_argument("--failovers", type=int, default=0, help="of a row alone: kill its coordinator")
    options.add_argument("--logs", type=Path, help="of a row alone: where the logs stay")
    options.add_argument(
        "--row", type=int, choices=(SMALL, LARGE), help="play one of the rows only, and write nothing"
    )
    asked = options.parse_args()
    if asked.row is not None:
        return play_one(asked.row, asked)
    full = asked.overloads >= OVERLOADS and asked.calm >= CALM_S
    kept = destination(RESULT, writes=full and not asked.dirty)
    try:
        small = play(agents=SMALL, nodes=SMALL, overloads=asked.overloads, calm_s=asked.calm)
        large = play(agents=AGENTS_OF_LARGE, nodes=LARGE, overloads=asked.overloads, calm_s=asked.calm)
    except BedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    say("== on paper")
    costs = [coordinator_costs.measured(nodes) for nodes in (SMALL, LARGE)]
    plans = operator_plans.measured()
    inputs = {"overloads": asked.overloads, "calm_s": asked.calm, "nodes": [SMALL, LARGE]}
    return finish(_report(small, large, costs, plans=plans, inputs=inputs), kept)


def _report(
    small: Played, large: Played, costs: Sequence[Cost], *, plans: Figures, inputs: dict[str, Any]
) -> dict[str, Any]:
    return report(
        "reaction",
        inputs=inputs,
        seeds=[],
        results={
            f"{SMALL}": small.results,
            f"{LARGE}": large.results,
            "on_paper": [asdict(cost) for cost in costs],
            "operator_plans": asdict(plans),
        },
        checks=_checks(small, large, decide_us=costs[-1].decide_us, plan_ms=plans.median_ms),
    )


def _checks(small: Played, large: Played, *, decide_us: float, plan_ms: float) -> list[Check]:
    readback = "agents read their limits back later"
    cores = "the coordinator's process takes more of a core"
    return [
        took(
            f"overload_to_readback_p99_s_{SMALL}",
            percentile(small.readback_s, 99),
            goal=0.5,
            reason=readback,
        ),
        took(
            f"overload_to_readback_p99_s_{LARGE}",
            percentile(large.readback_s, 99),
            goal=1.2,
            reason=readback,
        ),
        took("fan_out_p99_s", percentile(large.fan_out_s, 99), goal=0.6, reason="stubs were answered later"),
        took("coordinator_cores", large.calm.leader_cores, goal=0.5, reason=cores),
        took("decide_us", decide_us, goal=50.0, reason="a decision takes longer in the large row"),
        took(
            "growth_exponent",
            growth_exponent(small, large),
            goal=0.1,
            reason="a report costs more in a larger row",
        ),
        took("operator_plan_ms", plan_ms, goal=50.0, reason="a move is planned for longer"),
    ]


def say(text: str) -> None:
    """Tell how far it is."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
