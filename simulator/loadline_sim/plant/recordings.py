"""
What a run leaves behind: all that the report, the checks and a later look need.

A recording holds the plant's true state, never what agents said of themselves. The
live plant and the virtual row write the same one, so that one report reads both, and
`baseline` is a recording too: the same requests on the same servers without caps.

Shapes. Series have one entry per tick (25 ms), all of the same length: `t_s` is the
tick's end in seconds, zero at the window's start; `row_watts` the true draw; `sensor_watts`
what the GPUs' meters said plus the hosts; `low_clock_mhz` and `high_clock_mhz` the mean
SM clock granted to either priority's servers by lock and limit together;
`limit_watts_sum` the enforced limits summed over GPUs; `heat` the breaker's, tripping at
1. `node_watts` is sampled every `NODE_SAMPLE_S` at `node_t_s`, shape (samples, nodes).
`thresholds` are (from second, T1, T2), the latter as fractions of the budget.

A file is one compressed npz; the parts that aren't arrays are JSON under `header`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from loadline_policies.power.rows import Priority
from loadline_policies.power.safety.breakers import Curve
from loadline_sim.arrays import Floats, Ints
from loadline_sim.plant.plants import Plant, Served

NODE_SAMPLE_S = 1.0
SERIES = (
    "t_s", "row_watts", "sensor_watts", "low_clock_mhz", "high_clock_mhz", "limit_watts_sum", "heat",
    "node_t_s", "node_watts",
)  # fmt: skip
REQUESTS = (
    "service", "priority", "arrival_s", "ttft_s", "latency_s", "prompt_tokens", "output_tokens",
)  # fmt: skip


class Note(BaseModel):
    """The base of a recording's small parts."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")


class Act(Note):
    """One act of a run: a short name, the title people read, and what was done, in a sentence."""

    name: str
    title: str
    start_s: float
    end_s: float
    detail: str = ""


class Level(Note):
    """From `t_s` on the row is at this level of its policy."""

    t_s: float
    level: str


class Figure(Note):
    """One line of the arithmetic behind a run, for the report to print."""

    label: str
    value: float
    unit: str


class RunMeta(Note):
    """Constants of a run. `base_servers` is how many the budget was provisioned for.

    `brakes` counts rises of the two-second mean above the budget, `seconds_above` the
    ticks above it, `excursions` their stretches, `trips` the breaker's, all within the window.
    """

    name: str
    mode: str
    servers: int
    base_servers: int
    gpus_per_server: int
    budget_watts: float
    curve_points: tuple[tuple[float, float], ...]
    cooling_s: float
    seed: int
    brakes: int = 0
    trips: int = 0
    excursions: int = 0
    seconds_above: float = 0.0
    max_load: float = 0.0
    max_heat: float = 0.0
    arithmetic: tuple[Figure, ...] = ()

    @property
    def curve(self) -> Curve:
        """The breaker's curve."""
        return Curve(points=self.curve_points, cooling_s=self.cooling_s)


class Header(Note):
    """What of a recording isn't arrays."""

    meta: RunMeta
    acts: tuple[Act, ...]
    levels: tuple[Level, ...]
    thresholds: tuple[tuple[float, float, float], ...]
    baseline: "Header | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """One entry per request of the window, in order of arrival.

    `priority` is "low" or "high". `ttft_s` (arrival to first token) and `latency_s` (arrival to
    last) are NaN where the run ended first.
    """

    service: tuple[str, ...]
    priority: tuple[str, ...]
    arrival_s: Floats
    ttft_s: Floats
    latency_s: Floats
    prompt_tokens: Ints
    output_tokens: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A run; the module's docstring gives units and shapes."""

    meta: RunMeta
    t_s: Floats
    row_watts: Floats
    sensor_watts: Floats
    low_clock_mhz: Floats
    high_clock_mhz: Floats
    limit_watts_sum: Floats
    heat: Floats
    node_t_s: Floats
    node_watts: Floats
    requests: Requests
    acts: tuple[Act, ...] = ()
    levels: tuple[Level, ...] = ()
    thresholds: tuple[tuple[float, float, float], ...] = ()
    baseline: "Recording | None" = None

    @property
    def budget_watts(self) -> float:
        """The row's budget."""
        return self.meta.budget_watts

    def with_story(
        self,
        acts: tuple[Act, ...],
        levels: tuple[Level, ...],
        thresholds: tuple[tuple[float, float, float], ...],
    ) -> Self:
        """The same run, told by whoever directed it."""
        return replace(self, acts=acts, levels=levels, thresholds=thresholds)

    def with_baseline(self, baseline: "Recording") -> Self:
        """The same run beside the uncapped one."""
        return replace(self, baseline=baseline)

    def save(self, path: Path) -> None:
        """Write one npz, baseline included."""
        header = np.array(_header_of(self).model_dump_json())
        np.savez_compressed(path, allow_pickle=False, header=header, **_arrays_of(self, ""))

    @classmethod
    def load(cls, path: Path) -> "Recording":
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as arrays:
            header = Header.model_validate_json(str(arrays["header"]))
            return _recording_of(header, {name: arrays[name] for name in arrays.files}, prefix="")


class Recorder:
    """Collects a plant's series; call `tick` after every single step of the plant.

    `services_of_servers` and `priorities` (of services) say whose clocks are whose; `meta`
    lacks only what is counted.
    """

    def __init__(
        self,
        plant: Plant,
        meta: RunMeta,
        *,
        services_of_servers: Sequence[str],
        priorities: Mapping[str, Priority],
    ) -> None:
        self.plant, self.meta, self.priorities = plant, meta, priorities
        self._high = np.array([priorities[name] is Priority.HIGH for name in services_of_servers])
        self._rows: list[tuple[float, ...]] = []
        self._nodes: list[tuple[float, Floats]] = []

    def tick(self) -> None:
        """Note the tick that the plant has just made."""
        plant, clocks = self.plant, self.plant.clock_mhz
        self._rows.append((
            plant.now_s, plant.row_watts, plant.sensor_watts, _mean(clocks[~self._high]),
            _mean(clocks[self._high]), plant.limit_watts_sum, plant.breaker.heat,
        ))  # fmt: skip
        if not self._nodes or plant.now_s - self._nodes[-1][0] >= NODE_SAMPLE_S - 1e-9:
            self._nodes.append((plant.now_s, plant.server_watts))

    def finish(self) -> Recording:
        """The run so far, without its story."""
        columns = np.array(self._rows, dtype=np.float64).reshape(-1, 7).T
        t_s, row_watts, sensor_watts, low_mhz, high_mhz, limits, heat = columns
        return Recording(
            meta=self.meta.model_copy(update=_counts_of(self.plant)),
            t_s=t_s,
            row_watts=row_watts,
            sensor_watts=sensor_watts,
            low_clock_mhz=low_mhz,
            high_clock_mhz=high_mhz,
            limit_watts_sum=limits,
            heat=heat,
            node_t_s=np.array([t_s for t_s, _ in self._nodes]),
            node_watts=np.array([watts for _, watts in self._nodes]),
            requests=_requests_of(self.plant.served(), self.priorities),
        )


def _mean(clocks: Ints) -> float:
    return float(clocks.mean()) if clocks.size else float("nan")


def _counts_of(plant: Plant) -> dict[str, float]:
    counted = ("brakes", "trips", "excursions", "seconds_above", "max_load", "max_heat")
    return {name: getattr(plant.breaker, name) for name in counted}


def _requests_of(served: Served, priorities: Mapping[str, Priority]) -> Requests:
    """The requests that arrived within the window; those before it only warmed the row up."""
    all_ = served.arrivals
    inside = np.flatnonzero(all_.arrival_s >= 0.0)
    services = tuple(all_.services[i] for i in all_.service[inside])
    return Requests(
        service=services,
        priority=tuple(str(priorities[name]) for name in services),
        arrival_s=all_.arrival_s[inside],
        ttft_s=served.ttft_s[inside],
        latency_s=served.latency_s[inside],
        prompt_tokens=all_.prompt_tokens[inside],
        output_tokens=all_.output_tokens[inside],
    )


def _header_of(recording: Recording) -> Header:
    return Header(
        meta=recording.meta,
        acts=recording.acts,
        levels=recording.levels,
        thresholds=recording.thresholds,
        baseline=_header_of(recording.baseline) if recording.baseline else None,
    )


def _arrays_of(recording: Recording, prefix: str) -> dict[str, NDArray[Any]]:
    arrays = {prefix + name: np.asarray(getattr(recording, name)) for name in SERIES}
    arrays |= {f"{prefix}requests.{name}": np.asarray(getattr(recording.requests, name)) for name in REQUESTS}
    if recording.baseline:
        arrays |= _arrays_of(recording.baseline, prefix + "baseline.")
    return arrays


def _recording_of(header: Header, arrays: Mapping[str, NDArray[Any]], *, prefix: str) -> Recording:
    series: dict[str, Any] = {name: arrays[prefix + name] for name in SERIES}
    return Recording(
        meta=header.meta,
        requests=_requests_in(arrays, prefix + "requests."),
        acts=header.acts,
        levels=header.levels,
        thresholds=header.thresholds,
        baseline=_recording_of(header.baseline, arrays, prefix=prefix + "baseline.")
        if header.baseline
        else None,
        **series,
    )


def _requests_in(arrays: Mapping[str, NDArray[Any]], prefix: str) -> Requests:
    columns: dict[str, Any] = {name: arrays[prefix + name] for name in REQUESTS}
    for name in ("service", "priority"):
        columns[name] = tuple(columns[name].tolist())
    return Requests(**columns)
