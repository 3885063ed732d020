"""
The live demo without the rest of the CLI: `python -m demos.power [--servers N]`.

For whoever works on it: a shorter row, on the same minutes with its budget in
proportion, comes up in seconds and shows the same play. What everybody else wants is
`loadline demo`.
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
    """Play, and write the report and what everything cost."""
    parser = argparse.ArgumentParser(prog="python -m demos.power", description="The live demo.")
    parser.add_argument("--servers", type=int, help="nodes of the row; default: the scenario's")
    parser.add_argument("--out", type=Path, default=demonstrations.OUT, help="folder of the report")
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
