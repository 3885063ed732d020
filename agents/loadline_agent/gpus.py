"""
The node's GPUs: which there are, what they draw, and whether to believe it.

`Gpus.open()` lists them by UUID with their settable ranges; `sample(now)` asks
each for its power and energy by one call, four times a second. A GPU without
the instantaneous field (186) answers by GetPowerUsage, and one without that by
its energy counter.

A sensor that repeats itself to the milliwatt is held against the energy counted
meanwhile. If the two disagree, the energy is right, since it goes on counting;
if neither moves, nothing is known of the GPU and the sample isn't `ok`: whoever
adds up a row then counts its limit in place of its draw.

`missing_right()` says, without trying, whether this process may set anything.
"""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from loadline_agent import nvml
from loadline_policies.errors import GpuLost, HardwareError

STUCK_AFTER_S: Final = 3.0
"""How long a reading repeats before it is doubted: 30 of the sensor's periods of 100 ms. Chosen."""
STUCK_SHARE, STUCK_WATTS = 0.15, 20.0
"""How far reading and energy may part: thrice the sensor's gain of 5 %, or the step of an idle GPU."""
MEAN_OVER_S: Final = 1.0
"""The least window for watts from energy: the counter itself moves in steps of some 100 ms."""

_CAP_SYS_ADMIN: Final = 21


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuInfo:
    """What doesn't change while the driver is loaded: identity and settable ranges."""

    uuid: str
    name: str
    min_watts: float
    max_watts: float
    default_watts: float
    min_mhz: int
    max_mhz: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuSample:
    """One reading. `watts` counts only if `ok`; `fault` says what was wrong, mended or not.

    `age_s` is how long ago the watts were true. `energy_j` is since the driver
    was loaded, None where it can't be read.
    """

    uuid: str
    watts: float
    energy_j: float | None
    age_s: float
    ok: bool
    fault: str | None


@dataclass(slots=True)
class _Trail:
    """What a GPU said before: enough to tell a steady sensor from a stuck one."""

    watts: float = 0.0
    read_at_s: float = float("-inf")
    frozen_since_s: float = 0.0
    marks: list[tuple[float, float]] = field(default_factory=list)

    def follow(self, watts: float, energy_j: float | None, now: float) -> None:
        if watts != self.watts or self.read_at_s == float("-inf"):
            self.frozen_since_s = now
        self.watts, self.read_at_s = watts, now
        if energy_j is None:
            return
        if self.marks and energy_j < self.marks[-1][1]:
            self.marks.clear()  # the driver was loaded anew
        if not self.marks or now - self.marks[-1][0] >= MEAN_OVER_S:
            self.marks.append((now, energy_j))
            del self.marks[:-3]

    def mean_watts(self, energy_j: float | None, now: float) -> float | None:
        """ΔE ÷ Δt over the last one to two seconds; None before there is so much."""
        if energy_j is None:
            return None
        for since, was_j in reversed(self.marks):
            if now - since >= MEAN_OVER_S:
                return (energy_j - was_j) / (now - since)
        return None


class Gpus:
    """The GPUs of this node, held open."""

    def __init__(self, devices: tuple[nvml.Device, ...], wall: Callable[[], float]) -> None:
        self._wall = wall
        self._trails = {device.uuid: _Trail() for device in devices}
        self._devices = {device.uuid: device for device in devices}
        self.infos = tuple(_info(device) for device in devices)

    @classmethod
    def open(cls, *, wall: Callable[[], float] = time.time) -> "Gpus":
        """Load NVML and find the GPUs; HardwareError where there is no driver. Changes nothing."""
        nvml.start()
        return cls(tuple(nvml.Device(uuid) for uuid in nvml.uuids()), wall)

    def close(self) -> None:
        """Let NVML go; limits stay as they are."""
        nvml.stop()

    def device(self, uuid: str) -> nvml.Device:
        """The GPU of that UUID; GpuLost if this node hasn't it."""
        device = self._devices.get(uuid)
        if device is None:
            raise GpuLost(f"gpu is {uuid!r}, which isn't on this node; ask for one of its own")
        return device

    def sample(self, now: float) -> tuple[GpuSample, ...]:
        """What every GPU draws at `now` (CLOCK_BOOTTIME); a GPU that fails is a fault, never a raise."""
        wall = self._wall()
        return tuple([self._sample(uuid, now, wall) for uuid in self._devices])

    def _sample(self, uuid: str, now: float, wall: float) -> GpuSample:
        trail = self._trails[uuid]
        try:
            watts, energy_j, age_s = _read(self.device(uuid), trail, now, wall)
        except HardwareError as error:
            age_s = now - trail.read_at_s
            return GpuSample(
                uuid=uuid, watts=trail.watts, energy_j=None, age_s=age_s, ok=False, fault=str(error)
            )
        trail.follow(watts, energy_j, now)
        if now - trail.frozen_since_s >= STUCK_AFTER_S:
            return _doubted(uuid, trail, energy_j, age_s, now)
        return GpuSample(uuid=uuid, watts=watts, energy_j=energy_j, age_s=age_s, ok=True, fault=None)


def missing_right(
    environ: Mapping[str, str] = os.environ, status: Path = Path("/proc/self/status")
) -> str | None:
    """The right that this process lacks to set limits and clocks; None if it has it.

    NVML has no question for it, and trying would be a write. The driver asks for
    CAP_SYS_ADMIN, so the effective capabilities tell. LOADLINE_NVML_PRIVILEGE=1
    or 0 overrules them, for drivers that ask for something else; a refusal at
    the first write is NoPermission all the same.
    """
    said = environ.get("LOADLINE_NVML_PRIVILEGE")
    if said in ("0", "1"):
        return None if said == "1" else "LOADLINE_NVML_PRIVILEGE=1"
    line = next(line for line in status.read_text().splitlines() if line.startswith("CapEff:"))
    return None if int(line.split()[1], 16) >> _CAP_SYS_ADMIN & 1 else "CAP_SYS_ADMIN"


def _info(device: nvml.Device) -> GpuInfo:
    return GpuInfo(
        uuid=device.uuid,
        name=device.name,
        min_watts=device.lowest_mw / 1000.0,
        max_watts=device.highest_mw / 1000.0,
        default_watts=device.default_mw / 1000.0,
        min_mhz=device.lowest_mhz,
        max_mhz=device.highest_mhz,
    )


def _read(device: nvml.Device, trail: _Trail, now: float, wall: float) -> tuple[float, float | None, float]:
    """Watts, energy and age from the best source that this GPU has."""
    code, rows = device.power.read()
    if code:
        raise nvml.translated(code, device.uuid, "reading the power")
    milliwatts, millijoules = nvml.value_of(rows, 0), nvml.value_of(rows, 1)
    energy_j = None if millijoules is None else millijoules / 1000.0
    if milliwatts is not None:
        return milliwatts / 1000.0, energy_j, max(0.0, wall - (nvml.taken_at_s(rows) or wall))
    if energy_j is None:
        energy_j = _energy_j(device)
    try:
        return device.usage_mw() / 1000.0, energy_j, 0.0
    except nvml.NotSupported:
        trail.follow(trail.watts, energy_j, now)
        mean = trail.mean_watts(energy_j, now)
        if mean is None:
            raise
        return mean, energy_j, MEAN_OVER_S / 2


def _energy_j(device: nvml.Device) -> float | None:
    try:
        return device.energy_mj() / 1000.0
    except nvml.NotSupported:
        return None


def _doubted(uuid: str, trail: _Trail, energy_j: float | None, age_s: float, now: float) -> GpuSample:
    """A reading that repeats: right, replaced by the energy's mean, or not to be used."""
    mean = trail.mean_watts(energy_j, now)
    watts, ok, fault = trail.watts, True, None
    if mean is not None and abs(mean - watts) > max(STUCK_WATTS, STUCK_SHARE * watts):
        ok = mean > 0.0
        frozen_s = now - trail.frozen_since_s
        fault = f"power sensor has said {watts:.1f} W for {frozen_s:.0f} s, energy says {mean:.1f} W"
        watts = mean if ok else watts
        age_s = age_s if ok else frozen_s
    return GpuSample(uuid=uuid, watts=watts, energy_j=energy_j, age_s=age_s, ok=ok, fault=fault)
