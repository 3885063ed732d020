"""A small recording, made up so that its figures are known before anybody computes them."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from loadline_sim.arrays import Floats
from loadline_sim.plant.reactions import Reaction
from loadline_sim.plant.recordings import Act, Recording, Requests, RunMeta
from loadline_sim.reports.runs import Fact, RowFacts, Run

BUDGET_WATTS = 243_200.0
META = RunMeta(
    name="row-a",
    mode="Enforce",
    servers=52,
    base_servers=40,
    gpus_per_server=8,
    budget_watts=BUDGET_WATTS,
    curve_points=((1.05, math.inf), (1.08, 60.0), (1.30, 40.0)),
    cooling_s=600.0,
    seed=6,
)
CURVE = META.curve


_ACTS = (
    ("observe", "Observe", 0, "The row is watched and nothing is touched: it goes above its budget."),
    ("enforce", "Enforce", 60, "`kubectl patch` turns enforcement on; low priority is lowered at once."),
    (
        "policy",
        "Edit the policy",
        120,
        "T1 goes from 90 to 88 %, in force at once. A broken edit is refused.",
    ),
    ("coordinator", "Kill the coordinator", 200, "node-03 was killed in a burst; node-17 took over."),
    ("api", "Stop the API server", 270, "The API server was away for 60 s; the row went on without it."),
    ("agent", "Stop an agent", 350, "node-21's agent was stopped; its guard set the safe limits."),
    ("stress", "Stress", 430, "Long prompts that would trip the uncapped row."),
    ("release", "Release", 510, "Back to Observe; every limit was restored."),
)
_END_S = 540.0


def _heat(load: Floats, step_s: float) -> Floats:
    values, heat = [], 0.0
    for one in load.tolist():
        heat = CURVE.heated(heat, load=one, dt_s=step_s)
        heat = 0.0 if heat >= 1 else heat
        values.append(heat)
    return np.array(values)


def _requests(is_high: NDArray[np.bool_], arrival_s: Floats, latency_s: Floats) -> Requests:
    tokens = np.full(arrival_s.size, 100, dtype=np.int64)
    return Requests(
        service=tuple("chat" if one else "code" for one in is_high),
        priority=tuple("high" if one else "low" for one in is_high),
        arrival_s=arrival_s,
        ttft_s=latency_s * 0.12,
        latency_s=latency_s,
        prompt_tokens=tokens,
        output_tokens=tokens,
    )


def _row(t_s: Floats, *, load: Floats, low_mhz: Floats, high_mhz: Floats, requests: Requests) -> Recording:
    return Recording(
        meta=META,
        t_s=t_s,
        row_watts=load * BUDGET_WATTS,
        sensor_watts=load * BUDGET_WATTS * 1.002,
        low_clock_mhz=low_mhz,
        high_clock_mhz=high_mhz,
        limit_watts_sum=np.full(t_s.size, 52 * 8 * 400.0),
        heat=_heat(load, float(t_s[1] - t_s[0])),
        node_t_s=t_s[::4],
        node_watts=np.tile(load[::4, np.newaxis], 52) * BUDGET_WATTS / 52,
        requests=requests,
    )


def _recording(step_s: float = 0.25) -> Recording:
    dice = np.random.default_rng(7)
    t_s = np.arange(step_s, _END_S + step_s / 2, step_s)
    wave = 0.82 + 0.07 * np.sin(t_s / 23) + 0.05 * np.sin(t_s / 7.1) + dice.normal(0, 0.012, t_s.size)
    uncapped = wave + 0.19 * np.exp(-(((t_s - 36) / 9) ** 2)) + 0.26 * ((t_s > 440) & (t_s < 505))
    enforced = t_s > 60
    capped = np.where(enforced, np.minimum(uncapped, 0.93 + dice.normal(0, 0.008, t_s.size)), uncapped)
    low = np.where(enforced & (uncapped > 0.88), np.where(uncapped > 0.95, 1110.0, 1275.0), 1410.0)
    high = np.where(enforced & (uncapped > 1.02), 1305.0, 1410.0)
    count = 4000
    arrival_s = np.sort(dice.uniform(0, _END_S - 30, count))
    is_high = dice.random(count) < 0.5
    latency_s = dice.lognormal(1.0, 0.8, count)
    slower = np.where(is_high, 1.004, 1.03 + 0.1 * dice.random(count) * (latency_s > 8))
    full = np.full(t_s.size, 1410.0)
    baseline = _row(
        t_s, load=uncapped, low_mhz=full, high_mhz=full, requests=_requests(is_high, arrival_s, latency_s)
    )
    starts = [start for _, _, start, _ in _ACTS]
    acts = tuple(
        Act(name=name, title=title, start_s=start, end_s=end, detail=detail)
        for (name, title, start, detail), end in zip(_ACTS, [*starts[1:], _END_S], strict=True)
    )
    row = _row(
        t_s,
        load=capped,
        low_mhz=low,
        high_mhz=high,
        requests=_requests(is_high, arrival_s, latency_s * slower),
    )
    return row.with_baseline(baseline).with_story(acts, (), ((0.0, 0.90, 0.95), (125.0, 0.88, 0.95)))


@pytest.fixture(scope="session")
def recording() -> Recording:
    """A row of nine minutes that is above its budget in the first act and never again."""
    return _recording()


@pytest.fixture(scope="session")
def run() -> Run:
    """What is told beside the recording."""
    row = RowFacts(
        name="row-a",
        servers=52,
        provisioned_servers=40,
        budget_watts=BUDGET_WATTS,
        curve=CURVE,
        max_load=1.27,
        asked_s=13.7,
    )
    return Run(
        kind="virtual",
        seed=6,
        row=row,
        reactions=tuple(
            Reaction(100.0 + 40 * i, 0.9, took_s)
            for i, took_s in enumerate((0.42, 0.51, 0.38, 0.63, 0.47, 0.55, 0.71, 0.44))
        ),
        measured={"limits_left_after_release": 0.0, "policy_edit_s": 1.1},
        arithmetic=(
            Fact("Scale of the traces", "0.612 × Azure 2023: 40 servers peak at 79.0 % of 243.2 kW"),
            Fact("Stress", "0.214 long prompts per second and server, 1.05 × what trips the uncapped row"),
        ),
        made=(Fact("Commit", "0123abcd"), Fact("Fit error", "prefill 3.1 %, decode 1.4 %")),
        unreal=(
            "The GPUs and the breaker are simulated, from published measurements of A100 servers.",
            "Time is virtual: no cluster, no agent process, no `kubectl`.",
        ),
    )
