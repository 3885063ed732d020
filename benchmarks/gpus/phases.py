"""
What prefill and decode draw on a real GPU, beside what the power model says.

One GPU's part of BLOOM-176B's layers runs at the clock the GPU chooses: prefill at the
model's knots of prompt tokens, decode at some batches. The model is the one fitted on the A100,
scaled by nothing but this GPU's default limit in place of the A100's TDP, and fitted to
nothing measured here. As in its data, prefill is compared by the highest sample, decode by
the mean, which is ΔE ÷ Δt. Its clock laws aren't looked at: that would take a set clock.

    python -m benchmarks.gpus.phases [--seconds 3]

Writes benchmarks/results/gpu-phases.json. Status 1: a check failed; 2: there is no GPU.
"""

import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import commits, machine
from benchmarks.gpus import loads, series, watching
from benchmarks.gpus.errors import refusing
from benchmarks.gpus.loads import Load
from benchmarks.gpus.traces import Rounds, floats
from benchmarks.result_files import RESULTS, Check, at_most, destination, finish, parser, report
from loadline_agent.hardware.sensors import GpuSensors
from loadline_policies.models import parameters, watts
from loadline_policies.models.watts import WattModel
from loadline_sim.plant.hardware import SENSOR_GAIN

RESULT = RESULTS / "gpu-phases.json"
SECONDS, SETTLING_S, PAUSE_S = 3.0, 1.0, 0.5
RATE_HZ = 20.0
BATCHES = (1, 2, 4, 8, 16)
PREFILL, DECODE = "prefill", "decode"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One phase at one size, measured and predicted; `size` is prompt tokens or the batch."""

    phase: str
    size: int
    mean_watts: float
    highest_watts: float
    sm_mhz: int
    predicted_watts: float

    @property
    def measured_watts(self) -> float:
        """What the prediction is of."""
        return self.highest_watts if self.phase == PREFILL else self.mean_watts

    @property
    def error_percent(self) -> float:
        """How far the prediction is off, of what was measured; negative where it is too low."""
        return 100 * (self.predicted_watts / self.measured_watts - 1.0)


def main(arguments: list[str] | None = None) -> int:
    """Measure, compare, print, write."""
    known = parser("benchmarks.gpus.phases", __doc__)
    known.add_argument("--seconds", type=float, default=SECONDS, help="of each point, beside settling")
    known.add_argument("--commit", type=commits.named, help=commits.NAMED_HELP)
    known.add_argument("--result", type=Path, default=RESULT)
    options = known.parse_args(arguments)
    kept = destination(options.result, writes=not options.dirty, commit=options.commit)
    model = parameters.load()
    gpus = GpuSensors.open()
    try:
        loads.refuse_without_torch()
        facts = watching.facts(gpus, gpus.infos[0].uuid)
        scaled = replace(model.watts, tdp_watts=facts.default_watts)
        idle = watching.rounds(gpus, gpus.infos[0].uuid, rate_hz=RATE_HZ, seconds=options.seconds)
        points = _points(gpus, scaled, seconds=options.seconds)
    finally:
        gpus.close()
    document = report(
        "gpu-phases",
        on=f"{facts.name}, driver {facts.driver}; {machine()}",
        inputs=_inputs(model.name, scaled, seconds=options.seconds),
        seeds=[loads.SEED],
        results={
            "idle_watts": _mean_watts(idle),
            "idle_predicted_watts": watts.idle_watts(scaled),
            "prefill_mape_percent": mape_percent(points, PREFILL),
            "decode_mape_percent": mape_percent(points, DECODE),
            "points": [_row(point) for point in points],
        },
        checks=_checks(points),
    )
    return finish(document, kept)


def mape_percent(points: Iterable[Point], phase: str) -> float:
    """The mean of the absolute errors of a phase, in percent of what was measured."""
    return float(np.mean([abs(point.error_percent) for point in points if point.phase == phase]))


def _points(gpus: GpuSensors, model: WattModel, *, seconds: float) -> list[Point]:
    uuid = gpus.infos[0].uuid
    sizes = [(PREFILL, int(tokens)) for tokens in model.prefill_tokens]
    sizes += [(DECODE, batch) for batch in BATCHES]
    with Load(uuid, len(gpus.infos)) as load:
        return [_point(gpus, load, model, phase=phase, size=size, seconds=seconds) for phase, size in sizes]


def _point(gpus: GpuSensors, load: Load, model: WattModel, *, phase: str, size: int, seconds: float) -> Point:
    uuid = gpus.infos[0].uuid
    load.order(phase, size, [(PAUSE_S, SETTLING_S + seconds + 1.0)])
    watching.rounds(gpus, uuid, rate_hz=RATE_HZ, seconds=PAUSE_S + SETTLING_S)
    taken = watching.rounds(gpus, uuid, rate_hz=RATE_HZ, seconds=seconds)
    sm_mhz = gpus.device(uuid).sm_mhz()
    load.spans()
    return Point(
        phase=phase,
        size=size,
        mean_watts=_mean_watts(taken),
        highest_watts=max(taken.watts),
        sm_mhz=sm_mhz,
        predicted_watts=predicted_watts(model, phase, size=size),
    )


def predicted_watts(model: WattModel, phase: str, *, size: int) -> float:
    """What the model says of a phase at full clock."""
    if phase == PREFILL:
        return watts.prefill_watts(model, prompt_tokens=size, clock_mhz=model.full_mhz)
    return watts.decode_watts(model, batch=size, clock_mhz=model.full_mhz)


def _mean_watts(taken: Rounds) -> float:
    by_energy = series.mean_watts(np.array(taken.t_s), floats(taken.energy_j))
    return float(np.mean(taken.watts)) if by_energy is None else by_energy


def _row(point: Point) -> dict[str, Any]:
    return {
        "phase": point.phase,
        "size": point.size,
        "mean_watts": point.mean_watts,
        "highest_watts": point.highest_watts,
        "sm_mhz": point.sm_mhz,
        "predicted_watts": point.predicted_watts,
        "error_percent": point.error_percent,
    }


def _inputs(name: str, scaled: WattModel, *, seconds: float) -> dict[str, Any]:
    return {
        "power_model": name,
        "scaled": f"shares of TDP × this GPU's default limit of {scaled.tdp_watts:g} W; nothing fitted here",
        "work": "one GPU's part of BLOOM-176B's layers at tensor parallel 8, without collectives",
        "compared": "prefill by its highest sample, decode by ΔE ÷ Δt, as in the model's data",
        "clock": "the GPU's own choice; nothing was locked",
        "seconds": seconds,
        "settling_s": SETTLING_S,
        "sample_hz": RATE_HZ,
    }


def _checks(points: list[Point]) -> tuple[Check, ...]:
    """A prediction is as good as a reading if it is no further off than a meter's own gain."""
    reason = "fitted on the A100, the model isn't this GPU's: it takes a calibration of its own"
    return tuple(
        at_most(f"{phase}_mape_percent", mape_percent(points, phase), goal=100 * SENSOR_GAIN, reason=reason)
        for phase in (PREFILL, DECODE)
    )


if __name__ == "__main__":
    sys.exit(refusing(main))
