"""
The demo's row: which minutes of the traces it replays, how much of them, and the stress at its end.

Three figures are found rather than chosen, all in virtual time without any caps:

- the *window*: eleven minutes that begin 20 s before the code trace's heaviest 20 s,
  by seconds of prefill, so that the first act, Observe, shows them. Two minutes of
  calm follow, then bursts until the end, so that the later acts have something to lower;
- the *factor* by which the traces are scaled, the same for both services and per
  server: the largest found at which 40 servers peak, as a mean over two seconds
  anywhere in the window before the stress, at no more than POLCA's 79 % of the budget.
  What they would peak at in the whole hour is kept beside it;
- the *stress*: the rate of long prompts at which the uncapped row of 52 just trips its
  breaker before the stress ends, and a margin on it.

The seed is chosen, of eight tried: the first with which the row of 52 is above its
budget more than once in the first act and 40 servers come within a fifth of a point of
79 %, which bisection can miss, since a peak doesn't rise smoothly with the factor. Of
the eight, one never braked at 52 servers. What was found is committed as
`data/row-a.json`, because finding it takes half a minute; `python -m loadline_sim.demo.scenarios`
finds it again and writes it.
"""

from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from loadline_policies.models import latencies, parameters
from loadline_policies.models.parameters import ServerModel
from loadline_policies.power.safety.breakers import Curve
from loadline_sim.arrays import Floats
from loadline_sim.plant import hardware
from loadline_sim.plant.breaker_meters import BRAKE_WINDOW_S
from loadline_sim.plant.plants import Plant, PlantConfig
from loadline_sim.traffic import arrivals, recordings
from loadline_sim.traffic.arrivals import Arrivals, Stress
from loadline_sim.traffic.traces import Trace

FILE = "row-a.json"
BUDGET_WATTS = 40 * 6080.0
"""40 servers at 6.08 kW, which is what makes the prototype's row peak at 79 %."""

CURVE = Curve(points=((1.05, float("inf")), (1.08, 60.0), (1.30, 40.0)), cooling_s=600.0)
"""The curve that `row-a` declares."""

BASE_SERVERS, SERVERS = 40, 52
PEAK_LOAD = 0.79
"""POLCA's peak of a row of inference servers within its provisioned power, over six weeks."""

SEED = 3
WARM_UP_S = 60.0
HOUR_S = (80.0, 3480.0)
"""The part of the hour in which both traces run, with room for the warm-up and for moved requests."""

HEAVIEST_S = 20.0
"""How long the burst is that the window is laid around, and how far into the window it begins."""

WINDOW_S = 660.0
ARRIVALS_S = 540.0
"""The requests end some seconds after the stress, so that a release meets a row that drains."""

STRESS_S = (450.0, 530.0)
STRESS_MARGIN = 1.05
SERVICES = ("chat", "code")


class Scenario(BaseModel):
    """What a replay needs; times in seconds, loads as fractions of the budget.

    `window_start_s` is on the traces' clock, the stress and all else within the window.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = "row-a"
    seed: int
    factor: float
    window_start_s: float
    window_s: float = WINDOW_S
    arrivals_s: float = ARRIVALS_S
    stress_start_s: float = STRESS_S[0]
    stress_end_s: float = STRESS_S[1]
    stress_trips_at_rate: float = 0.0
    """The least rate found, in requests per second and server, at which the uncapped row trips."""

    stress_margin: float = STRESS_MARGIN
    base_servers: int = BASE_SERVERS
    servers: int = SERVERS
    budget_watts: float = BUDGET_WATTS
    base_peak_load: float = 0.0
    """The 40 servers' highest mean over two seconds before the stress, which the factor was found for."""

    base_peak_at_s: float = 0.0
    base_hour_peak_load: float = 0.0
    """The same in the whole hour of the traces."""

    @property
    def stress(self) -> Stress:
        return self.stress_at(self.stress_trips_at_rate * self.stress_margin)

    def stress_at(self, rate: float) -> Stress:
        return Stress(start_s=self.stress_start_s, end_s=self.stress_end_s, rate_per_server=rate)


def load() -> Scenario:
    """The demo's scenario as it was found."""
    return Scenario.model_validate_json(files("loadline_sim.data").joinpath(FILE).read_text("utf-8"))


def alternating(servers: int) -> tuple[str, ...]:
    """Which service each server runs where no scheduler has decided it: turn and turn about."""
    return tuple(SERVICES[i % len(SERVICES)] for i in range(servers))


def arrivals_of(
    scenario: Scenario, services_of_servers: Sequence[str], *, model: ServerModel, stress: Stress | None
) -> Arrivals:
    """The scenario's requests on a row whose servers run these services, warm-up included."""
    end_s = scenario.window_start_s + min(scenario.window_s, scenario.arrivals_s)
    return _replay(
        scenario.factor,
        seed=scenario.seed,
        span_s=(scenario.window_start_s, end_s),
        services_of_servers=services_of_servers,
        model=model,
        stress=stress,
    )


def plant_of(scenario: Scenario, requests: Arrivals, model: ServerModel, *, servers: int = SERVERS) -> Plant:
    """The scenario's row with these requests, warmed up to the window's start, its counts at zero."""
    plant = Plant(
        PlantConfig(
            servers=servers, budget_watts=scenario.budget_watts, model=model, curve=CURVE, start_s=-WARM_UP_S
        ),
        requests,
    )
    plant.run_until(0.0)
    plant.breaker.reset()
    return plant


def _replay(
    factor: float,
    *,
    seed: int,
    span_s: tuple[float, float],
    services_of_servers: Sequence[str],
    model: ServerModel,
    stress: Stress | None,
) -> Arrivals:
    start_s, end_s = span_s
    recorded = recordings.azure_2023()
    parts = {}
    for i, service in enumerate(SERVICES):
        count = services_of_servers.count(service)
        share = factor * count * len(SERVICES) / BASE_SERVERS
        whole = arrivals.scaled(recorded[service], share, seed=seed * 10 + i)
        parts[service] = whole.between(start_s - WARM_UP_S, end_s)
        if stress is not None:
            extra = arrivals.stress_trace(stress, servers=count, seed=seed * 10 + len(SERVICES) + i)
            parts[service] = arrivals.merged([parts[service], extra.later(start_s)])
    return arrivals.routed(parts, services_of_servers, model, origin_s=start_s)


def find(model: ServerModel, seed: int = SEED) -> Scenario:
    """The demo's scenario from scratch, in about half a minute."""
    start_s = heaviest_s(recordings.azure_2023()["code"], model) - HEAVIEST_S
    calm = (round(start_s), round(start_s) + STRESS_S[0])
    factor = _largest(
        lambda value: base_peak(value, seed=seed, span_s=calm, model=model)[0] <= PEAK_LOAD,
        low=0.2,
        high=1.2,
        steps=12,
    )
    load, at_s = base_peak(factor, seed=seed, span_s=calm, model=model)
    scenario = Scenario(
        seed=seed,
        factor=round(factor, 6),
        window_start_s=calm[0],
        base_peak_load=round(load, 4),
        base_peak_at_s=round(at_s, 3),
        base_hour_peak_load=round(base_peak(factor, seed=seed, span_s=HOUR_S, model=model)[0], 4),
    )
    trips_not = _largest(
        lambda rate: not trips_by_stress(scenario, rate, model=model), low=0.0, high=2.0, steps=9
    )
    return scenario.model_copy(update={"stress_trips_at_rate": round(trips_not + 2.0 / 2**9, 4)})


def base_peak(
    factor: float, *, seed: int, span_s: tuple[float, float], model: ServerModel
) -> tuple[float, float]:
    """The highest two-second load of 40 uncapped servers in a span of the traces, and when in it."""
    start_s, end_s = span_s
    requests = _replay(
        factor,
        seed=seed,
        span_s=span_s,
        services_of_servers=alternating(BASE_SERVERS),
        model=model,
        stress=None,
    )
    scenario = Scenario(seed=seed, factor=factor, window_start_s=start_s)
    watts, _ = plant_of(scenario, requests, model, servers=BASE_SERVERS).run_until(end_s - start_s)
    return _peak(watts / BUDGET_WATTS)


def heaviest_s(trace: Trace, model: ServerModel) -> float:
    """When the `HEAVIEST_S` seconds with the most prefill begin."""
    times = model.latencies
    work_s = [
        latencies.prefill_s(times, prompt_tokens=float(tokens), clock_mhz=times.full_mhz)
        for tokens in trace.prompt_tokens
    ]
    done_s = np.concatenate([[0.0], np.cumsum(work_s)])
    ends = np.searchsorted(trace.arrival_s, trace.arrival_s + HEAVIEST_S)
    return float(trace.arrival_s[np.argmax(done_s[ends] - done_s[:-1])])


def trips_by_stress(scenario: Scenario, rate: float, *, model: ServerModel) -> bool:
    """Whether the uncapped row trips before the stress ends, at this rate of long prompts."""
    requests = arrivals_of(scenario, alternating(SERVERS), model=model, stress=scenario.stress_at(rate))
    plant = plant_of(scenario, requests, model)
    plant.run_until(scenario.stress_end_s)
    return plant.breaker.trips > 0


def _peak(load: Floats) -> tuple[float, float]:
    """The highest mean over two seconds, and when it ended."""
    window = round(BRAKE_WINDOW_S / hardware.TICK_S)
    means = np.convolve(load, np.full(window, 1.0 / window), "valid")
    return float(means.max()), float((means.argmax() + window) * hardware.TICK_S)


def _largest(holds: Callable[[float], bool], *, low: float, high: float, steps: int) -> float:
    """The largest value found by bisection for which `holds`, taken to hold at `low`."""
    for _ in range(steps):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def main() -> None:
    """Find the demo's scenario again and write it where `load` reads it."""
    scenario = find(parameters.load())
    path = Path(str(files("loadline_sim.data").joinpath(FILE)))
    path.write_text(scenario.model_dump_json(indent=2) + "\n", "utf-8")
    print(path.read_text("utf-8"))


if __name__ == "__main__":
    main()
