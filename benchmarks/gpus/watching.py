"""
Looks at a GPU with the agent's own code: at the agent's pace, and as fast as it answers.

`rounds` calls the very `GpuSensors.sample` that the agent's thread calls, at the rate that is
asked for, and times it. `glances` reads the same fields through the same `nvml.Fields` every
few milliseconds, which no agent would do, to see how the sensors themselves move; the
driver's buffer of samples is emptied beside it. Nothing here sets anything.
"""

import time
from contextlib import suppress
from typing import NamedTuple

import pynvml  # type: ignore[import-untyped]

from benchmarks.gpus.traces import Buffered, Facts, Glances, Rounds, Spans
from loadline_agent.boot_clock import boottime
from loadline_agent.hardware import nvml
from loadline_agent.hardware.limits import Limits
from loadline_agent.hardware.sensors import GpuSample, GpuSensors, missing_right

POWER_AVERAGE = 185
LOWEST_LIMIT, HIGHEST_LIMIT, DEFAULT_LIMIT = 187, 188, 189
TOTAL_ENERGY = 83
ASKED = (TOTAL_ENERGY, nvml.POWER_INSTANT, nvml.CURRENT_LIMIT, nvml.REQUESTED_LIMIT)
"""What the agent asks for, the energy only of a sensor that repeats itself."""
COUNTED_EVERY_S = 0.5
"""How often the energy is read beside the agent's rounds, outside of what they are timed by."""
BESIDE = (POWER_AVERAGE, LOWEST_LIMIT, HIGHEST_LIMIT, DEFAULT_LIMIT, 74, 269, 270, 271)
"""Fields that it doesn't: the averaged power, the limits, times spent capped, thermally slowed and braked."""


class Steps:
    """Waits for the next of equal steps; a step that comes late doesn't hurry the later ones."""

    def __init__(self, every_s: float) -> None:
        self._every_s, self._due_s = every_s, boottime()

    def wait(self) -> None:
        """Until the next step is due."""
        self._due_s = max(self._due_s + self._every_s, boottime())
        time.sleep(max(0.0, self._due_s - boottime()))


def rounds(gpus: GpuSensors, uuid: str, *, rate_hz: float, seconds: float) -> Rounds:
    """The agent's samples of all GPUs for so long; kept of the one of that UUID."""
    samples: list[tuple[float, GpuSample]] = []
    counted: list[float | None] = []
    costs: list[tuple[float, float]] = []
    steps, end_s = Steps(1.0 / rate_hz), boottime() + seconds
    while (now := boottime()) < end_s:
        wall_ns, cpu_ns = time.perf_counter_ns(), time.thread_time_ns()
        taken = gpus.sample(now)
        costs.append(((time.perf_counter_ns() - wall_ns) / 1e3, (time.thread_time_ns() - cpu_ns) / 1e3))
        samples.append((now, next(sample for sample in taken if sample.uuid == uuid)))
        counts = len(samples) % max(round(rate_hz * COUNTED_EVERY_S), 1) == 0
        counted.append(gpus.device(uuid).energy_mj() / 1e3 if counts else None)
        steps.wait()
    return Rounds(
        rate_hz=rate_hz,
        t_s=tuple(now for now, _ in samples),
        watts=tuple(sample.watts for _, sample in samples),
        energy_j=tuple(counted),
        age_s=tuple(sample.age_s for _, sample in samples),
        faults=tuple(sample.fault for _, sample in samples),
        ok=tuple(sample.ok for _, sample in samples),
        cost_us=tuple(wall_us for wall_us, _ in costs),
        cpu_us=tuple(cpu_us for _, cpu_us in costs),
    )


class Glance(NamedTuple):
    """One look, and when its answer was there."""

    t_s: float
    instant_watts: float | None
    average_watts: float | None = None
    energy_j: float | None = None


def glances(device: nvml.Device, *, every_s: float, seconds: float) -> list[Glance]:
    """Fields 186, 83 and 185 for so long."""
    powers = nvml.Fields(device.handle, (nvml.POWER_INSTANT, TOTAL_ENERGY))
    averages = nvml.Fields(device.handle, (POWER_AVERAGE,))
    seen: list[Glance] = []
    steps, end_s = Steps(every_s), boottime() + seconds
    while boottime() < end_s:
        code, rows = powers.read()
        now = boottime()
        other_code, others = averages.read()
        instant, energy = (None, None) if code else (nvml.value_of(rows, 0), nvml.value_of(rows, 1))
        average = None if other_code else nvml.value_of(others, 0)
        seen.append(Glance(now, _thousandth(instant), _thousandth(average), _thousandth(energy)))
        steps.wait()
    return seen


def flashes(device: nvml.Device, *, every_s: float, seconds: float) -> tuple[list[Glance], Buffered]:
    """Field 186 alone for so long, and what the driver buffered meanwhile."""
    power = nvml.Fields(device.handle, (nvml.POWER_INSTANT,))
    seen: list[Glance] = []
    buffer = Buffer(device)
    steps, end_s = Steps(every_s), boottime() + seconds
    while boottime() < end_s:
        code, rows = power.read()
        seen.append(Glance(boottime(), None if code else _thousandth(nvml.value_of(rows, 0))))
        buffer.empty_in_time()
        steps.wait()
    return seen, buffer.all()


class Buffer:
    """The driver's buffer of power samples, which holds a little more than two seconds."""

    EVERY_S = 1.0

    def __init__(self, device: nvml.Device) -> None:
        self._handle, self._last_us, self._emptied_s = device.handle, 0, boottime()
        self._samples: dict[int, float] = {}
        self._ahead_s = time.time() - boottime()

    def fetch(self) -> None:
        """Take what is new in it; NVMLError where there is nothing new, or no such buffer."""
        _, samples = pynvml.nvmlDeviceGetSamples(self._handle, pynvml.NVML_TOTAL_POWER_SAMPLES, self._last_us)
        for sample in samples:
            self._samples[int(sample.timeStamp)] = sample.sampleValue.uiVal / 1000.0
        self._last_us = max(self._samples, default=0)

    def empty_in_time(self) -> None:
        """Empty it once a second."""
        if boottime() - self._emptied_s >= self.EVERY_S:
            self._empty()

    def all(self) -> Buffered:
        """All that was in it, by CLOCK_BOOTTIME instead of the driver's wall clock."""
        self._empty()
        rows = sorted(self._samples.items())
        return Buffered(
            t_s=tuple(at_us / 1e6 - self._ahead_s for at_us, _ in rows),
            watts=tuple(watts for _, watts in rows),
        )

    def _empty(self) -> None:
        self._emptied_s = boottime()
        with suppress(pynvml.NVMLError):
            self.fetch()


def glances_of(seen: list[Glance], *, work: str, every_s: float, on: Spans) -> Glances:
    """Glances as they are kept."""
    return Glances(
        work=work,
        every_s=every_s,
        t_s=tuple(one.t_s for one in seen),
        instant_watts=tuple(one.instant_watts for one in seen),
        average_watts=tuple(one.average_watts for one in seen),
        energy_j=tuple(one.energy_j for one in seen),
        on=on,
    )


def read_backs_us(gpus: GpuSensors, count: int) -> tuple[float, ...]:
    """What it costs the agent to read limits and clock back, in µs, which it does now and then."""
    limits = Limits(gpus, clock=boottime)
    taken: list[float] = []
    for _ in range(count):
        began_ns = time.perf_counter_ns()
        limits.read_back()
        taken.append((time.perf_counter_ns() - began_ns) / 1e3)
    return tuple(taken)


def facts(gpus: GpuSensors, uuid: str) -> Facts:
    """What the GPU and its driver are and let be read."""
    device = gpus.device(uuid)
    enforced_mw, requested_mw = device.limits_mw()
    return Facts(
        name=device.name,
        driver=str(pynvml.nvmlSystemGetDriverVersion()),
        gpus=len(gpus.infos),
        fields={field: _field(device, field) for field in (*ASKED, *BESIDE)},
        min_watts=device.lowest_mw / 1000.0,
        max_watts=device.highest_mw / 1000.0,
        default_watts=(device.default_mw or 0) / 1000.0,
        enforced_watts=enforced_mw / 1000.0,
        requested_watts=requested_mw / 1000.0,
        min_mhz=device.lowest_mhz,
        max_mhz=device.highest_mhz,
        graphics_clocks=_graphics_clocks(device),
        missing_right=missing_right(),
    )


def _field(device: nvml.Device, field: int) -> int | None:
    code, rows = nvml.Fields(device.handle, (field,)).read()
    return None if code else nvml.value_of(rows, 0)


def _graphics_clocks(device: nvml.Device) -> int:
    """How many clocks can be locked at the highest memory clock; 0 where they aren't told."""
    try:
        memory = pynvml.nvmlDeviceGetSupportedMemoryClocks(device.handle)
        return len(pynvml.nvmlDeviceGetSupportedGraphicsClocks(device.handle, max(memory)))
    except pynvml.NVMLError:
        return 0


def _thousandth(value: int | None) -> float | None:
    return None if value is None else value / 1000.0
