"""
What an agent and its guard cost a node, beside a bare loop over pynvml in the same run.

Three nodes on the test bed's API server, under the chart's accounts: the domain is
enforced, sensors move all the time. Measured is a member that doesn't lead; what the
coordinator costs more stands beside it. CPU is the scheduler's own count of
nanoseconds over a minute, memory the proportional set size, agent and guard together.

Then the worst that may last for hours: the coordinator is gone for good, and one of the
member's GPUs falls off the bus, so that no step down ever succeeds on all of them.

    python -m benchmarks.agent

Writes benchmarks/results/agent.json.
"""

import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.process_costs import cpu_s, pss_mib
from benchmarks.result_files import RESULTS, at_most, destination, finish, parser, report, took
from loadline_api import names
from testbed import charts, operator_writes
from testbed.cluster.bed import Bed
from testbed.fakegpu import build
from testbed.fakegpu.board import Board
from testbed.live_rows.members import Member, members

NODES = ("node-00", "node-01", "node-02")
SETTLING_S, MEASURED_S = 45.0, 60.0
SEED = 1
ROW = {f"{names.NODE_RESTRICTION_PREFIX}row": "bench"}
DOMAIN = "row-bench"
RESULT = RESULTS / "agent.json"
OVER_FLOOR_GOAL, LOST_GOAL, RSS_MIB_GOAL = 6.0, 2.0, 80.0


def main() -> int:
    """Measure, print, write; 1 if a goal was missed."""
    asked = parser("benchmarks.agent", __doc__).parse_args()
    kept = destination(RESULT, writes=not asked.dirty)
    with Bed() as bed:
        _declare(bed)
        board = Board.create(bed.directory / "board", NODES)
        row = members(bed, NODES, bed.directory / "board")
        floor = _bare_loop(bed, bed.directory / "board")
        try:
            for member in row.values():
                member.start()
            results = _measured(board, row, floor=floor.pid)
        finally:
            floor.kill()
            floor.wait()
    return finish(_report(results), kept)


def _declare(bed: Bed) -> None:
    """What people and the operator would write: the chart, nodes, an enforced domain, its Lease."""
    bed.apply(charts.control_plane_objects({"agent": {"canSetLimits": True}}))
    bed.add_nodes(NODES, labels=ROW)
    spec = {
        "budgetWatts": 12_000,
        "mode": "Enforce",
        "nodeSelector": {"matchLabels": ROW},
        "hostWatts": {"max": 500},
    }
    kind = names.POWER_DOMAINS.kind
    bed.apply([{"apiVersion": names.API_VERSION, "kind": kind, "metadata": {"name": DOMAIN}, "spec": spec}])
    operator_writes.enlist(bed, DOMAIN, members=NODES, candidates=NODES[:1])


def _bare_loop(bed: Bed, board_path: Path) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, **build.environment(board_path, NODES[2])}
    return subprocess.Popen((sys.executable, "-m", "benchmarks.bare_loop"), env=environment)


def _measured(board: Board, row: dict[str, Member], *, floor: int) -> dict[str, float]:
    _live(board, SETTLING_S)
    member, leader = row[NODES[1]], row[NODES[0]]
    armed = [one.record().armed for one in row.values()]
    if not all(armed):
        raise RuntimeError(f"armed is {armed} after {SETTLING_S} s: see the agents' logs")
    members = [process.pid for process in member.processes]
    guard = [member.guard.pid]
    leaders = [process.pid for process in leader.processes]
    results = _costs(board, {"member": members, "guard": guard, "coordinator": leaders, "floor": [floor]})
    results["core_over_floor"] = results["member_core_percent"] / results["floor_core_percent"]
    leader.kill()
    board.lose(NODES.index(member.node), 0)
    _live(board, SETTLING_S)
    lost = _costs(board, {"member_lost": members, "guard_lost": guard})
    return results | lost


def _costs(board: Board, groups: dict[str, list[int]]) -> dict[str, float]:
    """Cores, in percent of one, and memory of groups of processes while the row lives."""
    before, began_s = {name: cpu_s(pids) for name, pids in groups.items()}, time.monotonic()
    _live(board, MEASURED_S)
    taken_s = time.monotonic() - began_s
    results: dict[str, float] = {}
    for name, pids in groups.items():
        results[f"{name}_core_percent"] = 100 * (cpu_s(pids) - before[name]) / taken_s
        results[f"{name}_pss_mib"] = sum(map(pss_mib, pids))
    return results


def _live(board: Board, seconds: float) -> None:
    """Let all sensors move at 4 Hz, as real ones do, well under every threshold."""
    draw = random.Random(SEED)
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        board.set_sensors(watts=draw.uniform(240.0, 260.0))
        time.sleep(0.25)


def _report(results: dict[str, float]) -> dict[str, Any]:
    return report(
        "agent",
        inputs={
            "gpus": 8,
            "sample_hz": 4,
            "exchange_hz": 1,
            "nodes": len(NODES),
            "settling_s": SETTLING_S,
            "measured_s": MEASURED_S,
        },
        seeds=[SEED],
        results=results,
        checks=(
            took(
                "core_over_floor",
                results["core_over_floor"],
                goal=OVER_FLOOR_GOAL,
                reason="agent and guard cost more than so many bare loops",
            ),
            took(
                "core_percent_lost",
                results["member_lost_core_percent"],
                goal=round(LOST_GOAL * results["member_core_percent"], 4),
                reason="a lost GPU without a coordinator costs more than twice the ordinary",
            ),
            at_most(
                "rss_mib",
                max(results["member_pss_mib"], results["member_lost_pss_mib"]),
                goal=RSS_MIB_GOAL,
                reason="agent and guard hold more",
            ),
        ),
    )


if __name__ == "__main__":
    sys.exit(main())
