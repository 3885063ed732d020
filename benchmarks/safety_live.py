"""
Whether a row on real parts keeps its promises, and says what is true, while it is attacked.

A real API server, the operator, five agents with their guards, and fake GPUs whose plant knows the
true watts. Each scenario brings up a row of its own: setters dead on two nodes, a stranger on three,
rival domains in Observe, policy documents that can't be used, one with the leader killed meanwhile, GPUs
that can't be read, drivers that are loaded anew, the leader killed ten times at the worst moment, leases
of 45 s. Judged are the true heat of the breaker, what the nodes truly fall to, every rise of a limit, and
once a second every sentence of the statuses against the truth.

    python -m benchmarks.safety_live [--only dead-setters]

Takes some 20 minutes; Ctrl-C leaves nothing behind. Every second of it is in build/safety-live.
Writes benchmarks/results/safety-live.json, unless it was told to play only some.

Exit codes: 0 all checks were kept, 1 one wasn't, 2 a row didn't come up.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.result_files import RESULTS, Check, at_most, destination, finish, holds, parser, report
from loadline_policies.power.safety.breakers import TRIP, WARM
from testbed.cluster.errors import BedError
from testbed.live_rows import rows
from testbed.live_rows.scenarios import SCENARIOS
from testbed.live_rows.stages import Outcome, Scenario, play

RESULT = RESULTS / "safety-live.json"
TRACES = Path(__file__).parents[1] / "build" / "safety-live"
NAMED = 3
"""So many breaches or false sentences are told in a check's reason; all are in the results."""


def main() -> int:
    """Play, print, write; 1 if a check wasn't kept, 2 if a row didn't come up."""
    asked = _arguments().parse_args()
    path = asked.write if asked.only else RESULT
    kept = destination(path, writes=path is not None and not asked.dirty)
    chosen = {name: SCENARIOS[name] for name in asked.only or SCENARIOS}
    outcomes: dict[str, Outcome] = {}
    for number, (name, scenario) in enumerate(chosen.items(), start=1):
        print(f"== {number} of {len(chosen)}: {name}: {scenario.title}", file=sys.stderr, flush=True)
        try:
            outcomes[name] = play(scenario, _say)
        except BedError as error:
            print(f"error: `{name}`: {error}", file=sys.stderr)
            return 2
        print(_line(name, outcomes[name]), file=sys.stderr, flush=True)
        _keep(name, outcomes[name])
    return finish(_report(chosen, outcomes), kept)


def _report(scenarios: dict[str, Scenario], outcomes: dict[str, Outcome]) -> dict[str, Any]:
    """The results as they are kept."""
    return report(
        "safety-live",
        inputs={
            "nodes": len(rows.NODES),
            "gpus": rows.GPUS,
            "budget_watts": rows.BUDGET_WATTS,
            "load_at_maximum": round(rows.nameplate_load(), 3),
            "warm": WARM,
            "curves": {name: str(one.curve.points) for name, one in scenarios.items()},
        },
        seeds=[],
        results={name: _results(outcome) for name, outcome in outcomes.items()},
        checks=[check for name, outcome in outcomes.items() for check in _checks(name, outcome)],
    )


def _results(outcome: Outcome) -> dict[str, Any]:
    verdict = outcome.verdict
    return {
        "seconds": outcome.seconds,
        "seconds_with_bring_up": outcome.whole_s,
        "most_heat": verdict.most_heat,
        "most_load": verdict.most_load,
        "most_falls_of_budget": verdict.most_falls,
        "looks": verdict.looks,
        "looks_missed": verdict.missed_looks,
        "longest_tick_s": outcome.longest_tick_s,
        "facts": {fact.name: fact.text for fact in outcome.facts},
        "false": [asdict(one) for one in verdict.false],
        "s1": verdict.s1,
    }


def _checks(name: str, outcome: Outcome) -> list[Check]:
    verdict = outcome.verdict
    false = [f"{one.statement}: {one}" for one in verdict.false]
    trips = f"the true heat reached {verdict.most_heat:.2f}"
    return [
        Check(
            name=f"{name}: heat",
            value=verdict.most_heat,
            goal=f"< {TRIP:g}",
            ok=verdict.most_heat < TRIP,
            reason=trips,
        ),
        at_most(f"{name}: S1 broken", len(verdict.s1), goal=0, reason=_first(verdict.s1)),
        at_most(f"{name}: raised unasked", len(verdict.rises), goal=0, reason=_first(verdict.rises)),
        at_most(f"{name}: disarmed", len(verdict.disarmed), goal=0, reason=_first(verdict.disarmed)),
        at_most(f"{name}: false sentences", len(false), goal=0, reason=_first(false)),
        *(holds(f"{name}: {fact.name}", value=fact.ok, reason=fact.text) for fact in outcome.facts),
    ]


def _first(texts: list[str]) -> str:
    more = len(texts) - NAMED
    return "; ".join(texts[:NAMED]) + (f"; and {more} more" if more > 0 else "")


def _line(name: str, outcome: Outcome) -> str:
    verdict = outcome.verdict
    return (
        f"   {name}: {outcome.seconds:.0f} s ({outcome.whole_s:.0f} s with the bring-up), "
        f"heat {verdict.most_heat:.2f}, load {verdict.most_load:.2f}, {len(verdict.false)} false sentences"
    )


def _keep(name: str, outcome: Outcome) -> None:
    """Write what was true and what was said at each second, for whoever looks for a cause."""
    TRACES.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(one) + "\n" for one in outcome.verdict.trace)
    (TRACES / f"{name}.jsonl").write_text("".join(lines), "utf-8")


def _say(text: str) -> None:
    print(f"   {text}", file=sys.stderr, flush=True)


def _arguments() -> argparse.ArgumentParser:
    options = parser("benchmarks.safety_live", __doc__)
    options.add_argument(
        "--only", action="append", choices=SCENARIOS, help="play this scenario; may be given more than once"
    )
    options.add_argument("--write", type=Path, help="with --only: write the results of these into a file")
    return options


if __name__ == "__main__":
    sys.exit(main())
