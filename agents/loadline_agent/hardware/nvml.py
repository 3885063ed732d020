"""
One GPU as the driver knows it, through pynvml, in watts and with our own errors.

pynvml's error codes stop here: what a caller can do about one is in the class of
the error raised. Nothing is decided in this module; which watts to ask for is
known to `limits`, what a reading is worth to `sensors`.

The calls of the 4 Hz loop keep their ctypes arrays, and read them with one
`struct`: pynvml's own call allocates and walks them anew each time.

Field numbers: nvml.h (2026-07); 186 is the instantaneous power, 190 and 192 the limits
in force and asked for. The energy counter is asked by itself, and seldom: it took an H200's
driver 3 to 7 ms, where 186 takes 55 µs (`benchmarks/results/gpu-sampling.json`).
"""

from collections.abc import Callable, Sequence
from struct import Struct
from typing import Final, TypeVar

import pynvml  # type: ignore[import-untyped]

from loadline_policies.errors import GpuLost, HardwareError, NoPermission, OutOfRange

T = TypeVar("T")

POWER_INSTANT: Final = 186
CURRENT_LIMIT: Final = 190
REQUESTED_LIMIT: Final = 192

_FIELD: Final = "IIqqIIQ"  # id, scope, timestamp in µs, latency, type, error, value
_FIELD_SIZE: Final = 7
_UNSIGNED_INT: Final = pynvml.NVML_VALUE_TYPE_UNSIGNED_INT
_LOST: Final = frozenset(
    {
        pynvml.NVML_ERROR_GPU_IS_LOST,
        pynvml.NVML_ERROR_RESET_REQUIRED,
        pynvml.NVML_ERROR_GPU_NOT_FOUND,
        pynvml.NVML_ERROR_NOT_FOUND,
    }
)


class NotSupported(HardwareError):
    """This model of GPU, or its driver, doesn't have what was asked for."""


def translated(code: int, *, uuid: str, doing: str) -> HardwareError:
    """Our error for an NVML_ERROR code that `doing` met on the GPU `uuid`."""
    where = f"{doing} of {uuid}: NVML answered {code} ({_words(code)})"
    if code in _LOST:
        return GpuLost(f"{where}; reset the GPU or its driver")
    if code == pynvml.NVML_ERROR_NO_PERMISSION:
        return NoPermission(f"{where}; give the agent CAP_SYS_ADMIN")
    if code == pynvml.NVML_ERROR_INVALID_ARGUMENT:
        return OutOfRange(f"{where}; ask for a value in the GPU's settable range")
    if code in (pynvml.NVML_ERROR_NOT_SUPPORTED, pynvml.NVML_ERROR_FUNCTION_NOT_FOUND):
        return NotSupported(f"{where}; leave this setting to another model or driver")
    return HardwareError(where)


def start() -> None:
    """Load and initialise NVML; HardwareError if there is no library or no driver."""
    _call("the driver", "initialising NVML", pynvml.nvmlInit)


def stop() -> None:
    """Shut NVML down; a driver that is gone already is fine."""
    try:
        pynvml.nvmlShutdown()
    except pynvml.NVMLError_Uninitialized:
        return


def uuids() -> tuple[str, ...]:
    """UUIDs of the GPUs that answer, in the driver's order; a lost one isn't among them."""
    count = _call("the driver", "counting GPUs", pynvml.nvmlDeviceGetCount)
    found: list[str] = []
    for index in range(count):
        try:
            found.append(pynvml.nvmlDeviceGetUUID(pynvml.nvmlDeviceGetHandleByIndex(index)))
        except pynvml.NVMLError as error:
            if error.value not in _LOST:
                raise translated(error.value, uuid=f"GPU {index}", doing="reading the UUID") from error
    return tuple(found)


def parent_of(mig_uuid: str) -> str:
    """UUID of the GPU that a MIG device is a part of."""
    part = _call(mig_uuid, "finding the device", pynvml.nvmlDeviceGetHandleByUUID, mig_uuid)
    whole = _call(mig_uuid, "finding the GPU", pynvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle, part)
    return str(_call(mig_uuid, "reading the UUID", pynvml.nvmlDeviceGetUUID, whole))


class Fields:
    """Several fields of one GPU, read by one call into memory that is kept."""

    def __init__(self, handle: object, ids: Sequence[int]) -> None:
        self._handle, self._count = handle, len(ids)
        self._array = (pynvml.c_nvmlFieldValue_t * len(ids))()
        for row, field in zip(self._array, ids, strict=True):
            row.fieldId = field
        self._struct = Struct(_FIELD * len(ids))
        self._read = pynvml.nvmlLib["nvmlDeviceGetFieldValues"]

    def read(self) -> tuple[int, tuple[int, ...]]:
        """The call's error code, and the rows end to end as `value_of` takes them."""
        code: int = self._read(self._handle, self._count, self._array)
        return code, self._struct.unpack_from(self._array)


def value_of(rows: tuple[int, ...], position: int) -> int | None:
    """The value of the field at `position` of a read; None where the model lacks it."""
    at = position * _FIELD_SIZE
    if rows[at + 5]:
        return None
    value = rows[at + 6]
    return value & 0xFFFFFFFF if rows[at + 4] == _UNSIGNED_INT else value


def taken_at_s(rows: tuple[int, ...]) -> float:
    """When the driver took the first field, in seconds of the wall clock; 0 if it doesn't say."""
    return rows[2] / 1e6


class Device:
    """A GPU found by its UUID; every method raises our HardwareError, and no other."""

    def __init__(self, uuid: str) -> None:
        self.uuid = uuid
        self.handle = self._ask("finding the handle", pynvml.nvmlDeviceGetHandleByUUID, uuid)
        self._verify()
        self.power = Fields(self.handle, (POWER_INSTANT,))
        self._limits = Fields(self.handle, (CURRENT_LIMIT, REQUESTED_LIMIT))
        self.name: str = self._ask("reading the name", pynvml.nvmlDeviceGetName, self.handle)
        lowest, highest = self._ask(
            "reading the settable range", pynvml.nvmlDeviceGetPowerManagementLimitConstraints, self.handle
        )
        self.lowest_mw, self.highest_mw = int(lowest), int(highest)
        self.default_mw: int = self._ask(
            "reading the default limit", pynvml.nvmlDeviceGetPowerManagementDefaultLimit, self.handle
        )
        self.lowest_mhz, self.highest_mhz = self._clock_range()

    def _verify(self) -> None:
        actual = self._ask("reading the UUID", pynvml.nvmlDeviceGetUUID, self.handle)
        if actual != self.uuid:
            raise GpuLost(f"uuid is {actual!r} where {self.uuid!r} was asked for; restart the agent")

    def _clock_range(self) -> tuple[int, int]:
        try:
            memory = self._ask("listing clocks", pynvml.nvmlDeviceGetSupportedMemoryClocks, self.handle)
            clocks = self._ask(
                "listing clocks", pynvml.nvmlDeviceGetSupportedGraphicsClocks, self.handle, max(memory)
            )
            return min(clocks), max(clocks)
        except NotSupported:
            highest = self._ask(
                "reading the top clock", pynvml.nvmlDeviceGetMaxClockInfo, self.handle, pynvml.NVML_CLOCK_SM
            )
            return int(highest), int(highest)

    def _ask(self, doing: str, function: Callable[..., T], *arguments: object) -> T:
        return _call(self.uuid, doing, function, *arguments)

    def limits_mw(self) -> tuple[int, int]:
        """The power limit in force and the one asked for, in mW."""
        code, rows = self._limits.read()
        if code:
            raise translated(code, uuid=self.uuid, doing="reading the limits")
        enforced, requested = value_of(rows, 0), value_of(rows, 1)
        if enforced is None:
            enforced = self._ask(
                "reading the enforced limit", pynvml.nvmlDeviceGetEnforcedPowerLimit, self.handle
            )
        if requested is None:
            requested = self._ask("reading the limit", pynvml.nvmlDeviceGetPowerManagementLimit, self.handle)
        return enforced, requested

    def usage_mw(self) -> int:
        """GetPowerUsage in mW: instantaneous on the A100 and older, a mean of 1 s on later ones."""
        return int(self._ask("reading the power", pynvml.nvmlDeviceGetPowerUsage, self.handle))

    def energy_mj(self) -> int:
        """Energy since the driver was loaded, in mJ; NotSupported before Volta."""
        return int(self._ask("reading the energy", pynvml.nvmlDeviceGetTotalEnergyConsumption, self.handle))

    def sm_mhz(self) -> int:
        """The SM clock of now, in MHz; locked clocks themselves can't be read."""
        clock = pynvml.NVML_CLOCK_SM
        return int(self._ask("reading the clock", pynvml.nvmlDeviceGetClockInfo, self.handle, clock))

    def set_limit_mw(self, limit_mw: int) -> None:
        """Ask for a power limit. Not the `_v2` call: pynvml drops its error code."""
        self._ask("setting the limit", pynvml.nvmlDeviceSetPowerManagementLimit, self.handle, limit_mw)

    def lock_clock(self, highest_mhz: int) -> None:
        """Let the SM clock move between the GPU's lowest and `highest_mhz`, so that it idles low."""
        lowest = min(self.lowest_mhz, highest_mhz)
        self._ask("locking clocks", pynvml.nvmlDeviceSetGpuLockedClocks, self.handle, lowest, highest_mhz)

    def unlock_clock(self) -> None:
        """Take any lock off the clocks."""
        self._ask("unlocking clocks", pynvml.nvmlDeviceResetGpuLockedClocks, self.handle)


def _call(uuid: str, doing: str, function: Callable[..., T], *arguments: object) -> T:
    try:
        return function(*arguments)
    except pynvml.NVMLError as error:
        raise translated(error.value, uuid=uuid, doing=doing) from error


def _words(code: int) -> str:
    try:
        return str(pynvml.nvmlErrorString(code))
    except pynvml.NVMLError:
        return "NVML is not loaded"
