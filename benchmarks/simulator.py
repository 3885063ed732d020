"""
How fast the simulator is, how far it is off its peer, and what a million requests and six weeks take.

The peer is splitwise-sim: 8,502 requests on 51 servers, of which its own outcomes are recorded. With
`--peer`, a checkout of it that runs (`--peer-python` is the interpreter that has its requirements)
simulates the same requests in the same run; without, its speed is the one that was recorded.

    python -m benchmarks.simulator [--peer ../splitwise-sim --peer-python ../splitwise-sim/.venv/bin/python]

Writes benchmarks/results/simulator.json.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from benchmarks import simulated_weeks, splitwise_peers
from benchmarks.result_files import (
    RESULTS,
    Check,
    at_least,
    at_most,
    destination,
    finish,
    parser,
    report,
)
from loadline_sim.arrays import Floats
from loadline_sim.serving import loops
from loadline_sim.serving.registry import ROUTERS, SCHEDULERS
from loadline_sim.serving.splitwise_fleets import Dgx, fleet
from loadline_sim.traffic import trace_files
from loadline_sim.traffic.layouts import AZURE
from loadline_sim.traffic.traces import Trace
from testbed import splitwise_runs
from testbed.splitwise_runs import Run

RESULT = RESULTS / "simulator.json"
RECORDED_PER_S: Final = 480.0
"""Requests a second of splitwise-sim's own loop, on a machine like this."""

RUNS: Final = 5
INSTANCES: Final = (1, 8, 51)
MILLION: Final = 1_000_000
WEEK_ROWS: Final = 27_303_999
"""Of Azure's week of conversations."""

WEEK_START_US: Final = 1_715_472_000_000_000
QUANTILES: Final = (50, 90, 99)
CLOSE: Final = 0.02

Times = Mapping[str, tuple[Floats, Floats]]


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write; 1 if a promise wasn't kept."""
    asked = _arguments().parse_args(arguments)
    if asked.part:
        print(json.dumps(PARTS[asked.part](asked.file)))
        return 0
    kept = destination(RESULT, writes=not asked.dirty)
    run = splitwise_runs.run("conversation")
    cold = _apart("cold")
    times = _times(run)
    seconds = [_timed(run) for _ in range(RUNS)]
    per_s = len(run.trace) / statistics.median(seconds)
    peer_s = splitwise_peers.seconds(asked.peer, asked.peer_python, run.trace) if asked.peer else None
    peer_per_s = len(run.trace) / peer_s if peer_s else RECORDED_PER_S
    million = _apart("million")
    with tempfile.TemporaryDirectory() as folder:
        rows = _apart("rows", file=_week(Path(folder)))
    weeks, week, hours = _apart("weeks"), _apart("week"), _apart("hours")["hours"]
    return finish(
        report(
            "simulator",
            inputs={
                "requests": len(run.trace),
                "servers": run.fleet().servers.size,
                "runs": RUNS,
                "peer": "in the same run" if peer_s else f"recorded: {RECORDED_PER_S:g} requests/s",
                "weeks": f"{simulated_weeks.DAYS} days of {simulated_weeks.SERVERS} servers under polca",
                "hours": simulated_weeks.HOURS,
            },
            seeds=list(range(simulated_weeks.HOURS)),
            results={
                "requests_per_s": per_s,
                "peer_requests_per_s": peer_per_s,
                "cold_s": cold["seconds"],
                "requests_per_s_at_instances": {str(count): _rate(count, run.trace) for count in INSTANCES},
                "million_requests_s": million["seconds"],
                "rows_27m": rows["rows"],
                "rows_27m_s": rows["seconds"],
                "within_2_percent": _close(times),
                "six_weeks": weeks,
                "replayed_week": week,
                "replayed_windows_s": week["replayed_windows_s"],
                "hours": hours,
            },
            checks=[
                _faster(per_s / peer_per_s),
                *_errors(times),
                at_most(
                    "million_requests_gib", million["gib"], goal=1.0, reason="peak memory of that process"
                ),
                at_most("rows_27m_gib", rows["gib"], goal=2.0, reason="peak memory of that process"),
                _weeks(weeks),
                _hours(hours),
            ],
        ),
        kept,
    )


def _faster(ratio: float) -> Check:
    """A timing: a recorded peer isn't slowed by what else runs here."""
    reason = "requests a second, over the peer's"
    return replace(at_least("speedup", ratio, goal=200.0, reason=reason), timing=True)


def _weeks(weeks: Mapping[str, Any]) -> Check:
    """A timing: the policy's own decisions, once a second, are part of it."""
    reason = f"{weeks['requests']} requests, {weeks['decisions']} decisions"
    return replace(at_most("six_weeks_s", weeks["six_weeks_s"], goal=120.0, reason=reason), timing=True)


def _hours(hours: Sequence[Mapping[str, float]]) -> Check:
    """The worst of energy, p99 of two seconds, and seconds above thresholds as a share of the hour."""
    worst = {name: max(hour[name] for hour in hours) for name in ("energy", "p99", "seconds_above")}
    return at_most(
        "fluid_vs_iteration_error", max(worst.values()), goal=0.01, reason=f"the worst are {worst}"
    )


def _timed(run: Run) -> float:
    """Seconds from requests in memory to the results of each."""
    made = run.fleet()
    began_s = time.perf_counter()
    run.simulate(fleet=made)
    return time.perf_counter() - began_s


def _times(run: Run) -> Times:
    """Ours and the peer's, of each request; time between tokens is over all tokens, as the peer has it."""
    ours, tokens = run.simulate(), run.trace.output_tokens
    return {
        "ttft": (ours.ttft_s, run.ttft_s),
        "tbt": ((ours.response_s - ours.ttft_s) / tokens, (run.response_s - run.ttft_s) / tokens),
        "response": (ours.response_s, run.response_s),
    }


def _errors(times: Times) -> list[Check]:
    """The largest error of p50, p90 and p99 of each kind of time."""
    checks = []
    for name, (ours, peer) in times.items():
        errors = [abs(float(np.percentile(ours, q) / np.percentile(peer, q)) - 1) for q in QUANTILES]
        checks.append(at_most(f"{name}_error", max(errors), goal=CLOSE, reason=f"at p50, p90, p99: {errors}"))
    return checks


def _close(times: Times) -> dict[str, float]:
    """The share of requests whose time is within 2 % of the peer's."""
    return {name: float(np.mean(np.abs(a / b - 1) <= CLOSE)) for name, (a, b) in times.items()}


def _rate(instances: int, trace: Trace) -> float:
    """Requests a second on so many servers that take prompts and tokens, at the same load of each."""
    later = Trace(trace.arrival_s * INSTANCES[-1] / instances, trace.prompt_tokens, trace.output_tokens)
    for _ in ("compiled", "measured"):
        made = fleet([Dgx.H100] * instances, longest_prompt=int(trace.prompt_tokens.max()))
        began_s = time.perf_counter()
        loops.simulate(later, fleet=made, router=ROUTERS["token-queues"](), scheduler=SCHEDULERS["splitwise"])
        took_s = time.perf_counter() - began_s
    return len(trace) / took_s


def _cold(_: Path | None) -> dict[str, float]:
    """The first run on a machine: all is compiled."""
    splitwise_runs.run("conversation").simulate()
    return {}


def _million(_: Path | None) -> dict[str, float]:
    """The same requests over and over."""
    run = splitwise_runs.run("conversation")
    times = -(-MILLION // len(run.trace))
    period_s = float(run.trace.arrival_s[-1]) + 1 / 70
    starts_s = period_s * np.arange(times)[:, np.newaxis]
    trace = Trace(
        (run.trace.arrival_s + starts_s).ravel()[:MILLION],
        np.tile(run.trace.prompt_tokens, times)[:MILLION],
        np.tile(run.trace.output_tokens, times)[:MILLION],
    )
    outcomes = run.simulate(trace)
    assert not np.isnan(outcomes.response_s).any()
    return {"gib": _peak_gib()}


def _rows(file: Path | None) -> dict[str, float]:
    """A trace of weeks, from a file to requests in memory."""
    assert file is not None
    found = trace_files.read(file)
    assert not found.skipped.count
    return {"gib": _peak_gib(), "rows": float(len(found.trace))}


def _peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


def _week(folder: Path) -> Path:
    """A file as large as Azure's week of conversations of 2024, with its columns; the requests are made
    up."""
    path, dice, left, last_us = folder / "week.csv", np.random.default_rng(1), WEEK_ROWS, WEEK_START_US
    with path.open("wb") as file:
        file.write(f"{','.join(AZURE.needed)}\n".encode())
        while left:
            count = min(left, MILLION)
            stamps = last_us + np.cumsum(dice.integers(0, 44_000, count))
            left, last_us = left - count, int(stamps[-1])
            texts = pc.strftime(pa.array(stamps, pa.timestamp("us", "UTC")), "%Y-%m-%d %H:%M:%S+00:00")
            columns = [texts, dice.integers(1, 8000, count), dice.integers(1, 1000, count)]
            table = pa.table(dict(zip(AZURE.needed, columns, strict=True)))
            csv.write_csv(table, file, csv.WriteOptions(include_header=False, quoting_style="none"))
    return path


def _six_weeks(_: Path | None) -> dict[str, Any]:
    return simulated_weeks.six_weeks()


def _replayed_week(_: Path | None) -> dict[str, Any]:
    return simulated_weeks.replayed_week()


def _random_hours(_: Path | None) -> dict[str, Any]:
    return {"hours": simulated_weeks.hour_errors()}


PARTS: Final = {
    "cold": _cold,
    "million": _million,
    "rows": _rows,
    "weeks": _six_weeks,
    "week": _replayed_week,
    "hours": _random_hours,
}
"""What is measured in a process of its own, by the name of the option."""


def _apart(name: str, *, file: Path | None = None) -> dict[str, Any]:
    """One of those, and its seconds, the start of the process among them."""
    command = [sys.executable, "-m", "benchmarks.simulator", "--part", name]
    command += ["--file", str(file)] if file else []
    environment = dict(os.environ)
    with tempfile.TemporaryDirectory() as empty:
        if name == "cold":
            environment["NUMBA_CACHE_DIR"] = empty
        began_s = time.perf_counter()
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
        found: dict[str, Any] = {**json.loads(done.stdout), "seconds": time.perf_counter() - began_s}
    return found


def _arguments() -> argparse.ArgumentParser:
    options = parser("benchmarks.simulator", __doc__)
    options.add_argument("--peer", type=Path, help="a checkout of splitwise-sim that runs")
    options.add_argument("--peer-python", default=sys.executable, help="the interpreter for it (%(default)s)")
    options.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    options.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    return options


if __name__ == "__main__":
    sys.exit(main())
