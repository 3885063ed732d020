"""
The live demo for its developers: `python -m demos.power [--servers N]`.

A shorter row, on the same minutes of the traces and with a budget in proportion, starts in
seconds and runs through the same acts. Users run `loadline demo`.
"""

import argparse
import json
from pathlib import Path

from rich.console import Console

from demos.power import demonstrations, manifests
from loadline_cli.live_view import LiveView
from loadline_sim.demo import scenarios
from loadline_sim.reports import pages
from loadline_sim.reports.findings import found_in


def main() -> None:
    """Run the demo, write the report, and print the CPU time of every component."""
    parser = argparse.ArgumentParser(prog="python -m demos.power", description="Run the live demo.")
    parser.add_argument("--servers", type=int, help="number of servers in the row (default: the scenario's)")
    parser.add_argument("--out", type=Path, default=demonstrations.OUT, help="folder for the report")
    given = parser.parse_args()
    scenario = scenarios.load()
    if given.servers:
        scenario = manifests.shortened(scenario, given.servers)
    given.out.mkdir(parents=True, exist_ok=True)
    with LiveView(Console(stderr=True)) as view:
        recording, run, outcome = demonstrations.perform(
            scenario, given.out, progress=view.prepare, show=view.show
        )
    page, _ = pages.write(found_in(recording, run), given.out)
    print(json.dumps({"cores_busy": outcome.cores_busy, "cpu_seconds": outcome.cpu_seconds}, indent=2))
    print(page)


if __name__ == "__main__":
    main()
