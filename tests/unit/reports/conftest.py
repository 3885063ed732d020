"""A small recording, made up so that its figures are known before anybody computes them."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
from loadline_policies.power.breakers import Curve
from loadline_sim.reports.figures import Floats
from loadline_sim.reports.findings import facts
from loadline_sim.reports.sources import RowFacts, Run

BUDGET_WATTS = 243_200.0
CURVE = Curve(points=((1.05, math.inf), (1.08, 60.0), (1.30, 40.0)), cooling_s=600.0)


@dataclass(frozen=True)
class MadeAct:
    name: str
    title: str
    start_s: float
    end_s: float
    detail: str


@dataclass(frozen=True)
class MadeRequests:
    service: tuple[str, ...]
    priority: tuple[str, ...]
    arrival_s: Floats
    ttft_s: Floats
    latency_s: Floats


@dataclass(frozen=True)
class MadeBaseline:
    row_watts: Floats
    heat: Floats
    requests: MadeRequests


@dataclass(frozen=True)
class MadeRecording:
    t_s: Floats
    row_watts: Floats
    sensor_watts: Floats
    budget_watts: float
    low_clock_mhz: Floats
    high_clock_mhz: Floats
    heat: Floats
    requests: MadeRequests
    acts: tuple[MadeAct, ...]
    thresholds: tuple[tuple[float, float, float], ...]
    baseline: MadeBaseline


_ACTS = (
    ("observe", "Observe", 0, "The row is watched and nothing is touched: it goes above its budget."),
    ("enforce", "Enforce", 60, "`kubectl patch` turns enforcement on; low priority is lowered at once."),
    ("edit", "Policy edited", 120, "T1 goes from 90 to 88 %, in force at once. A broken edit is refused."),
    ("coordinator", "Coordinator killed", 200, "node-03 was killed in a burst; node-17 took over."),
    ("api", "API server stopped", 270, "The API server was away for 60 s; the row went on without it."),
    ("agent", "Agent stopped", 350, "node-21's agent was stopped; its guard set the safe limits."),
    ("stress", "Stress", 430, "Long prompts that would trip the uncapped row."),
    ("release", "Release", 510, "Back to Observe; every limit was restored."),
)
_END_S = 540.0


def _heat(load: Floats, step_s: float) -> Floats:
    values, heat = [], 0.0
    for one in load.tolist():
        heat = CURVE.heated(heat, one, step_s)
        heat = 0.0 if heat >= 1 else heat
        values.append(heat)
    return np.array(values)


def _recording(step_s: float = 0.25) -> MadeRecording:
    dice = np.random.default_rng(7)
    t_s = np.arange(step_s, _END_S + step_s / 2, step_s)
    wave = 0.82 + 0.07 * np.sin(t_s / 23) + 0.05 * np.sin(t_s / 7.1) + dice.normal(0, 0.012, t_s.size)
    uncapped = wave + 0.14 * np.exp(-(((t_s - 36) / 9) ** 2)) + 0.26 * ((t_s > 440) & (t_s < 505))
    enforced = t_s > 60
    capped = np.where(enforced, np.minimum(uncapped, 0.93 + dice.normal(0, 0.008, t_s.size)), uncapped)
    low = np.where(enforced & (uncapped > 0.88), np.where(uncapped > 0.95, 1110.0, 1275.0), 1410.0)
    high = np.where(enforced & (uncapped > 1.02), 1305.0, 1410.0)
    count = 4000
    arrival_s = np.sort(dice.uniform(0, _END_S - 30, count))
    is_high = dice.random(count) < 0.5
    latency_s = dice.lognormal(1.0, 0.8, count)
    slower = np.where(is_high, 1.004, 1.03 + 0.1 * dice.random(count) * (latency_s > 8))
    names = tuple("chat" if one else "code" for one in is_high)
    priorities = tuple("high" if one else "low" for one in is_high)

    def requests(factor: Floats) -> MadeRequests:
        return MadeRequests(names, priorities, arrival_s, latency_s * factor * 0.12, latency_s * factor)

    starts = [start for _, _, start, _ in _ACTS]
    acts = tuple(
        MadeAct(name, title, start, end, detail)
        for (name, title, start, detail), end in zip(_ACTS, [*starts[1:], _END_S], strict=True)
    )
    return MadeRecording(
        t_s=t_s,
        row_watts=capped * BUDGET_WATTS,
        sensor_watts=capped * BUDGET_WATTS * 1.002,
        budget_watts=BUDGET_WATTS,
        low_clock_mhz=low,
        high_clock_mhz=high,
        heat=_heat(capped, step_s),
        requests=requests(slower),
        acts=acts,
        thresholds=((0.0, 0.90, 0.95), (125.0, 0.88, 0.95)),
        baseline=MadeBaseline(uncapped * BUDGET_WATTS, _heat(uncapped, step_s), requests(np.ones(count))),
    )


@pytest.fixture(scope="session")
def recording() -> MadeRecording:
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
        reactions_s=(0.42, 0.51, 0.38, 0.63, 0.47, 0.55, 0.71, 0.44),
        measured=(("limits_left_after_release", 0.0), ("policy_edit_s", 1.1)),
        arithmetic=facts(
            ("Scale of the traces", "0.612 × Azure 2023, so that 40 servers peak at 79.0 % of 243.2 kW"),
            ("Stress", "0.214 long prompts per second and server: 1.05 × the rate that trips the uncapped row"),
        ),
        made=facts(("Commit", "0123abcd"), ("Seed", "6"), ("Fit error", "prefill 3.1 %, decode 1.4 % (MAPE)")),
        unreal=("The GPUs and the breaker are simulated, from published measurements of A100 servers.",),
    )
