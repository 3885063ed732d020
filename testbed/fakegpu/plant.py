"""
The plant as a process: it makes the GPUs on a board draw, serve and report.

    python -m testbed.fakegpu.plant --board BOARD --services services.json --out DIR --start-at T

It warms the row up in virtual time, waits for `--start-at` (CLOCK_BOOTTIME seconds), and
then goes in step with the clock. `services.json` lists the service of each node, in the
board's order, as the scheduler has decided it. In DIR it keeps `snapshot.json`, four
times a second, and leaves `recording.npz` when the scenario or, by SIGTERM, its life ends.
"""

import argparse
import json
import signal
import time
from pathlib import Path
from types import FrameType

from loadline_policies.models import parameters
from loadline_sim.demo import replays, scenarios
from loadline_sim.demo.scenarios import Scenario
from loadline_sim.plant.live import Live
from loadline_sim.plant.recordings import Recorder
from testbed.fakegpu.board import Board, boottime


class Stop:
    """Set by SIGTERM or Ctrl-C; the run then ends with its recording written."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True

    def __call__(self) -> bool:
        return self.asked


def drive(board: Board, scenario: Scenario, *, services: list[str], out: Path, start_at: float) -> None:
    """Run the scenario on the board from `start_at` on, and write the recording."""
    stop = Stop()
    model = parameters.load()
    requests = scenarios.arrivals_of(scenario, services, model=model, stress=scenario.stress)
    plant = scenarios.plant_of(scenario, requests, model, servers=len(services))
    recorder = Recorder(
        plant,
        replays.meta_of(scenario, model, mode="Live"),
        services_of_servers=services,
        priorities=replays.PRIORITIES,
    )
    live = Live(
        plant,
        board,
        recorder=recorder,
        snapshot_path=out / "snapshot.json",
        start_at=start_at,
        clock=boottime,
        sleep=time.sleep,
    )
    live.run(scenario.window_s, stop)
    recorder.finish().save(out / "recording.npz")


def main() -> None:
    """Read the arguments, check them against the board, and drive."""
    parser = argparse.ArgumentParser(description="Drive the fake GPUs on a board through a scenario.")
    parser.add_argument("--board", type=Path, required=True, help="the board's file")
    parser.add_argument("--services", type=Path, required=True, help="JSON list: the service of each node")
    parser.add_argument("--scenario", type=Path, help="a scenario file; default: the demo's")
    parser.add_argument("--out", type=Path, required=True, help="folder for snapshot and recording")
    parser.add_argument("--start-at", type=float, required=True, help="CLOCK_BOOTTIME seconds of the start")
    given = parser.parse_args()
    scenario = (
        Scenario.model_validate_json(given.scenario.read_text("utf-8"))
        if given.scenario
        else scenarios.load()
    )
    services = json.loads(given.services.read_text("utf-8"))
    with Board.open(given.board) as board:
        if len(services) != len(board.node_names):
            parser.error(
                f"{given.services} lists {len(services)} nodes, the board has {len(board.node_names)}"
            )
        given.out.mkdir(parents=True, exist_ok=True)
        drive(board, scenario, services=services, out=given.out, start_at=given.start_at)


if __name__ == "__main__":
    main()
