"""
The live demo without a terminal: its promises, measured on real parts.

Plays the whole demo on the row of 52 nodes, writes its report into build/demo as
`loadline demo` does, prints what every component cost, and keeps the checks.

    python -m benchmarks.demo

Writes benchmarks/results/demo.json.
"""

import sys
from typing import Any

from benchmarks.result_files import RESULTS, Check, destination, finish, parser, report
from demos.power import demonstrations
from demos.power.demonstrations import OUT, Outcome
from loadline_sim.demo import scenarios
from loadline_sim.reports import pages
from loadline_sim.reports.findings import Findings, found_in
from loadline_sim.reports.snapshots import Snapshot

RESULT = RESULTS / "demo.json"
SAID_EVERY_S = 60.0


def main() -> int:
    """Play, print, write; 1 if a goal was missed."""
    asked = parser("benchmarks.demo", __doc__).parse_args()
    kept = destination(RESULT, writes=not asked.dirty)
    OUT.mkdir(parents=True, exist_ok=True)
    recording, run, outcome = demonstrations.perform(scenarios.load(), OUT, progress=_prepare, show=_Said())
    found = found_in(recording, run)
    page, _ = pages.write(found, OUT)
    status = finish(_report(found, outcome), kept)
    print(page)
    return status


def _report(found: Findings, outcome: Outcome) -> dict[str, Any]:
    """The results as they are kept."""
    core_percent = {name: 100 * used_s / outcome.end_s for name, used_s in outcome.cpu_seconds.items()}
    return report(
        "demo",
        inputs={"nodes": found.row.servers, "budget_watts": found.row.budget_watts},
        seeds=[found.run.seed],
        results={f"{_key(name)}_core_percent": used for name, used in core_percent.items()},
        checks=[
            Check(
                name=one.name,
                value=one.value,
                goal=one.goal,
                ok=one.ok is True,
                reason=one.reason,
                timing=one.timing,
            )
            for one in found.checks
        ],
    )


def _key(component: str) -> str:
    return component.lower().replace(" ", "_")


class _Said:
    """Tells of the row once a minute."""

    def __init__(self) -> None:
        self._next_s = 0.0

    def __call__(self, snapshot: Snapshot) -> None:
        if snapshot.at_s >= self._next_s:
            self._next_s = snapshot.at_s + SAID_EVERY_S
            title = snapshot.act.title if snapshot.act else "over"
            print(f"{snapshot.at_s:5.0f} s  {snapshot.load:6.1%}  {title}", file=sys.stderr)


def _prepare(what: str, share: float) -> None:
    if share == 1.0:
        print(f"{what}: done", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
