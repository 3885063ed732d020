"""
The model's explorations as a command: further than the tests go.

    python -m testbed.protocol_model --seeds 20 --steps 300

Each seed makes rows of several sizes and schedules at random, then one exhaustive exploration
follows. A table goes to stdout, progress to stderr. The status is 1 if an oracle fails; the seed
and the shrunk schedule are printed then.
"""

import argparse
import sys
import time
from collections.abc import Iterator

from testbed.protocol_model.explorations import Failure, at_random, in_the_small
from testbed.protocol_model.scenarios import MENU, SMALL
from testbed.protocol_model.setups import Setup, row

ROWS = ((2, 1040), (3, 1560), (4, 2400), (10, 5200))
"""Nodes and budget in watts: k is 0 in the first two and 1 in the others."""

SECONDS_AN_EVENT = 30


def main() -> int:
    """Explore, print what was covered, and answer with the exit status."""
    arguments = _arguments()
    print(f"{'row':24} {'seed':>6} {'schedules':>10} {'worlds':>8} {'s':>6}  result", flush=True)
    failures = [failure for failure in _explored(arguments) if failure is not None]
    for failure in failures:
        print(failure)
    return 1 if failures else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m testbed.protocol_model", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="how many seeds, from --first on")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--steps", type=int, default=300, help="seconds of each schedule, about")
    parser.add_argument("--schedules", type=int, default=50, help="schedules for each row and seed")
    parser.add_argument("--depth", type=int, default=12, help="seconds of the exhaustive exploration")
    parser.add_argument("--events", type=int, default=2, help="events in it")
    return parser.parse_args()


def _explored(arguments: argparse.Namespace) -> Iterator[Failure | None]:
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        for nodes, budget_watts in ROWS:
            yield _at_random(row(nodes, budget_watts=budget_watts), seed, arguments)
    yield _in_the_small(SMALL, arguments)


def _at_random(setup: Setup, seed: int, arguments: argparse.Namespace) -> Failure | None:
    began_s = time.monotonic()
    print(f"seed {seed}, {len(setup.gpus)} nodes", file=sys.stderr)
    events = max(1, arguments.steps // SECONDS_AN_EVENT)
    failure = at_random(setup, seed_=seed, examples=arguments.schedules, events=events)
    _print(setup, f"{seed:6} {arguments.schedules:10} {'':8}", began_s=began_s, failure=failure)
    return failure


def _in_the_small(setup: Setup, arguments: argparse.Namespace) -> Failure | None:
    began_s = time.monotonic()
    print(f"all schedules of {arguments.events} events in {arguments.depth} s", file=sys.stderr)
    explored = in_the_small(setup, MENU, events=arguments.events, depth_s=arguments.depth)
    _print(setup, f"{'all':>6} {'':10} {explored.worlds:8}", began_s=began_s, failure=explored.failure)
    return explored.failure


def _print(setup: Setup, columns: str, *, began_s: float, failure: Failure | None) -> None:
    name = f"{len(setup.gpus)} nodes, {setup.budget_watts} W, k = {setup.tolerated}"
    result = failure.broken if failure else "kept"
    print(f"{name:24} {columns} {time.monotonic() - began_s:6.1f}  {result}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
