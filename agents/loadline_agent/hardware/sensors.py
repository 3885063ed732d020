"""
The node's GPUs: what they draw, and whether to believe it.

`GpuSensors.open()` opens them (`opened_gpus`); `sample(now)` asks
each for its power by one call, four times a second. A GPU without the instantaneous
field (186) answers by GetPowerUsage, and one without that by its energy counter.

A sensor that repeats itself to the milliwatt is held against the energy counted
meanwhile. If the two disagree, the energy is right, since it goes on counting;
if neither moves, nothing is known of the GPU and the sample isn't `ok`: whoever
adds up a row then counts its limit in place of its draw. The counter is asked only
then, once a second, since an answer of it can take a hundred times that of the sensor.

Watts that no such board draws are no reading, of the sensor as of the counter: one of 0xFFFFFFFF mW
would have its whole row slowed. What a fault says stays the same as long as it lasts, since
each other word of it is written to the API server.

`missing_right()` says, without trying, whether this process may set anything.
"""

import os
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from loadline_agent.hardware import nvml
from loadline_agent.hardware.opened_gpus import GpuInfo, OpenedGpus, fault_of, missing
from loadline_agent.hardware.pci_devices import nvidia_gpus
from loadline_api.reasons import Reason
from loadline_policies.errors import GpuLost, HardwareError
from loadline_policies.power.protocol.bounds import GPU_WATTS
from loadline_policies.power.protocol.node_states import GpuFault

STUCK_AFTER_S: Final = 3.0
"""How long a reading repeats before it is doubted: 30 of the sensor's periods of 100 ms. Chosen."""
DOUBT_AFTER_S: Final = 1.0
"""From when on the energy is counted: a live sensor of an H200 repeated for 0.75 s at most, idle."""
STUCK_SHARE, STUCK_WATTS = 0.15, 20.0
"""How far reading and energy may part: thrice the sensor's gain of 5 %, or the step of an idle GPU."""
TOLD_FOR_S: Final = 10.0
"""How long it is told that watts were read which can't be; they may be of one sample. Chosen."""
MEAN_OVER_S: Final = 1.0
"""The least window for watts from energy: the counter itself moves in steps of some 100 ms."""

SILENT: Final = frozenset({Reason.GPU_LOST.value, Reason.GPU_UNREADABLE.value})
"""Faults of GPUs that don't answer."""
CLOSED: Final = GpuFault(Reason.GPU_UNREADABLE.value, "the driver is being opened anew")

_CAP_SYS_ADMIN: Final = 21


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuSample:
    """One reading. `watts` counts only if `ok`; `fault` says what was wrong, fixed or not.

    `age_s` is how long ago the watts were true.
    """

    uuid: str
    watts: float
    age_s: float
    ok: bool
    fault: GpuFault | None


@dataclass(slots=True)
class _Trail:
    """What a GPU said before: enough to tell a steady sensor from a stuck one."""

    watts: float = 0.0
    read_at_s: float = float("-inf")
    frozen_since_s: float = 0.0
    impossible_s: float = float("-inf")
    impossible: GpuFault | None = None
    counted: tuple[float, float] | None = None
    mean: "_Mean | None" = None

    def follow(self, watts: float, now: float) -> float:
        """Take a reading; for how long it has been the same."""
        if watts != self.watts or self.read_at_s == float("-inf"):
            self.frozen_since_s = now
        self.watts, self.read_at_s = watts, now
        return now - self.frozen_since_s

    def refuse(self, watts: float, now: float) -> GpuFault:
        """Take note of watts that can't be; what is told of them."""
        if self.impossible is None:
            told = (
                f"its driver reported a draw of {watts:.0f} W,"
                f" above {nvml.MOST_SHARE:g} times its highest limit"
            )
            self.impossible = GpuFault(Reason.SENSOR_IMPLAUSIBLE.value, told)
        self.impossible_s = now
        return self.impossible

    def told(self, now: float) -> GpuFault | None:
        """What was wrong lately, though it isn't any more."""
        if now - self.impossible_s >= TOLD_FOR_S:
            self.impossible = None
        return self.impossible

    def believe(self) -> None:
        """The sensor moves: what was counted while it didn't is of no use."""
        self.counted = self.mean = None

    def count(self, device: nvml.Device, now: float) -> "_Mean | None":
        """The mean of the last whole second or so, by the energy counter; None before there is one."""
        if self.counted is not None and now - self.counted[0] < MEAN_OVER_S:
            return self.mean
        energy_j, before = device.energy_mj() / 1000.0, self.counted
        self.counted = (now, energy_j)
        if before is None or energy_j < before[1]:  # the driver was loaded anew
            self.mean = None
        else:
            seconds = now - before[0]
            self.mean = _Mean((energy_j - before[1]) / seconds, now - seconds / 2)
        return self.mean


class _Mean(NamedTuple):
    """Mean watts by the energy counter, and the middle of the time that they are of."""

    watts: float
    at_s: float


class GpuSensors:
    """The GPUs of this node, held open."""

    def __init__(self, opened: OpenedGpus, wall: Callable[[], float]) -> None:
        self._opened, self._wall = opened, wall
        self._trails: dict[str, _Trail] = {}
        self._blind_since_s: float | None = None

    @classmethod
    def open(cls, *, wall: Callable[[], float] = time.time) -> "GpuSensors":
        """Load NVML and find the GPUs; HardwareError where there is no driver. Changes nothing.

        Where there is no driver because there is no GPU, there are none.
        """
        made = cls(OpenedGpus(), wall)
        try:
            made._load()
        except nvml.LibraryMissing:
            if nvidia_gpus() != 0:
                raise
        return made

    def refresh(self) -> bool:
        """Open the GPUs that answer by now, and didn't before; whether there are others than there were."""
        try:
            return self._opened.open()
        except HardwareError:
            return False

    def read_slowly(self) -> None:
        """Read again what seldom changes, and no limit depends on; a GPU that fails isn't a raise."""
        self._opened.read_slowly()

    def reopen(self) -> None:
        """Close NVML and load it anew: a driver that was replaced doesn't answer who had loaded the other.

        HardwareError while there is none; then no GPU is open, and the next try begins here.
        """
        self._opened.close(CLOSED)
        nvml.stop()
        self._trails.clear()
        self._blind_since_s = None
        try:
            self._load()
        except HardwareError as error:
            self._opened.close(GpuFault(Reason.GPU_UNREADABLE.value, str(error)))
            raise

    def _load(self) -> None:
        nvml.start()
        try:
            self._opened.open()
        except HardwareError:
            nvml.stop()  # it counts who uses it: a driver that is loaded anew is found by the first one only
            raise

    def close(self) -> None:
        """Let NVML go; limits stay as they are."""
        nvml.stop()

    def blind_s(self, now: float) -> float:
        """For how long not one GPU has answered a sample; 0 where there is none."""
        return now - self._blind_since_s if self._blind_since_s is not None else 0.0

    @property
    def infos(self) -> tuple[GpuInfo, ...]:
        """The GPUs that are open, and their settable ranges."""
        return self._opened.infos

    @property
    def uuids(self) -> Collection[str]:
        """Their UUIDs."""
        return self._opened.devices

    @property
    def unopened(self) -> Mapping[str, GpuFault]:
        """What is wrong with those that aren't."""
        return self._opened.unopened

    @property
    def xids(self) -> Mapping[str, int]:
        """The last XID of each GPU that told one since this process began, also of those that aren't open."""
        return self._opened.xids

    def most_watts(self, uuid: str) -> float:
        """The most that a GPU may draw that isn't open."""
        return self._opened.most_watts(uuid)

    def device(self, uuid: str) -> nvml.Device:
        """The GPU of that UUID; GpuLost if this node hasn't it, HardwareError if it may be here, unread."""
        device = self._opened.devices.get(uuid)
        if device is not None:
            return device
        fault = missing([uuid], self._opened.unopened)[uuid]
        if fault.word == Reason.GPU_LOST:
            raise GpuLost(f"{uuid}: {fault.sentence}")
        raise HardwareError(f"{uuid}: {fault.sentence}")

    def sample(self, now: float) -> tuple[GpuSample, ...]:
        """What every GPU draws at `now` (CLOCK_BOOTTIME); a GPU that fails is a fault, never a raise."""
        wall = self._wall()
        samples = tuple([self._sample(one, now=now, wall=wall) for one in self._opened.devices.values()])
        if not samples or any(sample.fault is None or sample.fault.word not in SILENT for sample in samples):
            self._blind_since_s = None
        elif self._blind_since_s is None:
            self._blind_since_s = now
        return samples

    def _sample(self, device: nvml.Device, *, now: float, wall: float) -> GpuSample:
        uuid = device.uuid
        trail = self._trails.setdefault(uuid, _Trail())
        try:
            return _sampled(device, trail, now=now, wall=wall)
        except nvml.NotSupported as error:
            fault = GpuFault(Reason.SENSOR_MISSING.value, str(error))
        except HardwareError as error:
            fault = fault_of(error)
        return GpuSample(uuid=uuid, watts=trail.watts, age_s=now - trail.read_at_s, ok=False, fault=fault)


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


def _sampled(device: nvml.Device, trail: _Trail, *, now: float, wall: float) -> GpuSample:
    """One GPU's sample from the best source that it has; raises HardwareError."""
    reading = _read(device, wall)
    if reading is None:
        return _by_energy(device, trail, now=now)
    watts, age_s = reading
    if watts > _most_watts(device):
        return _refused(device, trail, watts=watts, now=now)
    frozen_s = trail.follow(watts, now)
    if frozen_s < DOUBT_AFTER_S:
        trail.believe()
    elif (mean := _counted(device, trail, now=now)) is not None and frozen_s >= STUCK_AFTER_S:
        return _doubted(device, trail, age_s=age_s, now=now, mean=mean)
    return GpuSample(uuid=device.uuid, watts=watts, age_s=age_s, ok=True, fault=trail.told(now))


def _most_watts(device: nvml.Device) -> float:
    """More than this no board of the kind can draw, whatever its sensor says."""
    return nvml.MOST_SHARE * device.highest_mw / 1000.0 or float(GPU_WATTS[1])


def _refused(device: nvml.Device, trail: _Trail, *, watts: float, now: float) -> GpuSample:
    fault, age_s = trail.refuse(watts, now), now - trail.read_at_s
    return GpuSample(uuid=device.uuid, watts=trail.watts, age_s=age_s, ok=False, fault=fault)


def _read(device: nvml.Device, wall: float) -> tuple[float, float] | None:
    """Watts and their age; None where the GPU has no power reading."""
    code, rows = device.power.read()
    if code:
        raise nvml.translated(code, uuid=device.uuid, doing="reading the power")
    milliwatts = nvml.value_of(rows, 0)
    if milliwatts is not None:
        return milliwatts / 1000.0, max(0.0, wall - (nvml.taken_at_s(rows) or wall))
    try:
        return device.usage_mw() / 1000.0, 0.0
    except nvml.NotSupported:
        return None


def _by_energy(device: nvml.Device, trail: _Trail, *, now: float) -> GpuSample:
    """What a GPU draws that has a counter only."""
    mean = trail.count(device, now)
    if mean is None:
        raise nvml.NotSupported(f"reading the power of {device.uuid}: its energy is counted instead; wait")
    if mean.watts > _most_watts(device):
        return _refused(device, trail, watts=mean.watts, now=now)
    frozen_s, age_s = trail.follow(mean.watts, now), now - mean.at_s
    if mean.watts == 0.0:
        fault = GpuFault(Reason.SENSOR_STUCK.value, "its energy counter, all that it has, doesn't move")
        return GpuSample(uuid=device.uuid, watts=0.0, age_s=age_s + frozen_s, ok=False, fault=fault)
    return GpuSample(uuid=device.uuid, watts=mean.watts, age_s=age_s, ok=True, fault=trail.told(now))


def _counted(device: nvml.Device, trail: _Trail, *, now: float) -> _Mean | None:
    """None where the GPU's counter doesn't answer: then its sensor is believed, as where there is none."""
    try:
        return trail.count(device, now)
    except HardwareError:
        return None


def _doubted(device: nvml.Device, trail: _Trail, *, age_s: float, now: float, mean: _Mean) -> GpuSample:
    """A reading that repeats: right, replaced by the energy's mean, or not to be used."""
    uuid, watts = device.uuid, trail.watts
    if mean.watts == 0.0:
        told = f"neither its power sensor, which reads {watts:.1f} W, nor its energy counter moves"
        fault = GpuFault(Reason.SENSOR_STUCK.value, told)
        return GpuSample(uuid=uuid, watts=watts, age_s=now - trail.frozen_since_s, ok=False, fault=fault)
    if mean.watts > _most_watts(device):
        return _refused(device, trail, watts=mean.watts, now=now)
    if abs(mean.watts - watts) <= max(STUCK_WATTS, STUCK_SHARE * watts):
        return GpuSample(uuid=uuid, watts=watts, age_s=age_s, ok=True, fault=trail.told(now))
    told = f"its power sensor repeats {watts:.1f} W, which its energy counter doesn't confirm"
    fault = GpuFault(Reason.SENSOR_STUCK.value, told)
    return GpuSample(uuid=uuid, watts=mean.watts, age_s=age_s, ok=True, fault=fault)
