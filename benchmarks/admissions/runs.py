"""
One run, summed up: a workload at a rate under one arm, from one seed.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchmarks.admissions import goodputs, knees, schedulers
from benchmarks.admissions.engines import SimulatedEngine
from benchmarks.admissions.goodputs import Served, is_interactive, is_smooth
from benchmarks.admissions.workloads import WORKLOADS
from loadline_policies.models import step_parameters
from testbed.engines.schedulers import hasher


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What is run. `load` is the rate as a multiple of the workload's knee; 0 where none is known."""

    workload: str
    arm: str
    rate: float
    seed: int
    blocks: int
    load: float = 0.0
    requests: int | None = None


def row(what: Run) -> dict[str, Any]:
    """The run's figures; those of requests are of the judged ones."""
    arrivals = WORKLOADS[what.workload].drawn(rate=what.rate, seed=what.seed, requests=what.requests)
    scheduler = schedulers.of(schedulers.ARMS[what.arm], arrivals, blocks=what.blocks)
    engine = SimulatedEngine(
        scheduler=scheduler,
        steps=step_parameters.load().steps,
        arrivals=arrivals,
        hasher=hasher(schedulers.BLOCK_TOKENS),
    )
    served = engine.run()
    judged = goodputs.judged(served)
    work = engine.work
    return {
        **asdict(what),
        **_served(judged),
        "requests": len(served),
        "attained_cold": goodputs.attained(served[: len(served) - len(judged)], is_smooth),
        "preemptions": work.preemptions,
        "recomputed_tokens": work.recomputed_tokens,
        "computed_tokens": work.computed_tokens,
        "surplus_tokens": work.surplus_tokens,
        "steps": work.steps,
        "seconds": engine.now_s,
        "running": work.running_sum / work.steps,
        "usage": work.usage_sum / work.steps,
        "schedule_us": 1e6 * float(np.mean(work.schedule_times_s)),
        **schedulers.counts(scheduler),
    }


def knee(workload: str, *, blocks: int, seed: int, requests: int | None) -> dict[str, Any]:
    """The workload's knee under vLLM with a watermark."""

    def attained(rate: float) -> float:
        what = Run(
            workload=workload,
            arm=schedulers.WATERMARK.name,
            rate=rate,
            seed=seed,
            blocks=blocks,
            requests=requests,
        )
        return float(row(what)["attained"])

    found = knees.knee(attained, begin=WORKLOADS[workload].begin_rate)
    return {"workload": workload, "rate": found.rate, "tried": [list(pair) for pair in found.tried]}


def _served(judged: Sequence[Served]) -> dict[str, Any]:
    span_s = judged[-1].arrived_s - judged[0].arrived_s
    return {
        "offered": sum(one.output_tokens for one in judged) / span_s,
        "goodput": goodputs.goodput(judged, is_smooth),
        "goodput_interactive": goodputs.goodput(judged, is_interactive),
        "attained": goodputs.attained(judged, is_smooth),
        "attained_interactive": goodputs.attained(judged, is_interactive),
        "ttft_p50_s": _quantile([one.ttft_s for one in judged], 0.50),
        "ttft_p99_s": _quantile([one.ttft_s for one in judged], 0.99),
        "gap_p99_s": _quantile([one.longest_gap_s for one in judged], 0.99),
        "ttlt_p99_s": _quantile([one.ttlt_s for one in judged], 0.99),
        "token_p99_s": _quantile([one.token_s for one in judged], 0.99),
    }


def _quantile(values: Sequence[float], share: float) -> float:
    return float(np.quantile(values, share))
