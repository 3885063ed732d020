"""
One GPU as the driver knows it, through pynvml, in watts and with our own errors.

pynvml's error codes stop here: what a caller can do about one is in the class of
the error raised. Nothing is decided in this module; which GPUs a node has is known to
`opened_gpus`, which watts to ask for to `limits`, what a reading is worth to `sensors`.

A GPU is only as good as what it answers. One that isn't found, or isn't the one asked for, raises;
what a model lacks, or tells in a form that can't be, is left out: a range of 0 to 0 W is no range.

The calls of the 4 Hz loop keep their ctypes arrays, and read them with one
`struct`: pynvml's own call allocates and walks them anew each time.

Field numbers: nvml.h (2026-07); 186 is the instantaneous power, 190 and 192 the limits
in force and asked for; in scope 0 of the GPU, in scope 1 of the module that it is a part of. The
energy counter is asked by itself, and seldom: it took an H200's driver 3 to 7 ms, where 186 takes
55 µs (`benchmarks/results/gpu-sampling.json`).
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from struct import Struct
from typing import Final, NamedTuple, TypeVar

import pynvml  # type: ignore[import-untyped]

from loadline_policies.errors import GpuLost, HardwareError, NoPermission, OutOfRange, shown
from loadline_policies.power.protocol.bounds import GPU_WATTS, GPUS, UUID_BYTES

T = TypeVar("T")

OTHER_VERSION: Final = (
    "the driver in the kernel was upgraded, or its library was, and the other wasn't: delete the agent's pod,"
    " whose containers keep the library that they were started with; if that doesn't help, reboot the node"
)
"""What a person can do about it; this process can't."""

POWER_INSTANT: Final = 186
CURRENT_LIMIT: Final = 190
REQUESTED_LIMIT: Final = 192

MOST_EVENTS: Final = 64
"""How many events are fetched at once: a GPU that tells them faster must not keep its thread."""
XIDS: Final = range(1, 10_000)
"""XIDs that can be; NVIDIA's list ends below 200."""

MOST_SHARE: Final = 1.3
"""How far above its highest limit a board, or a module, may be read. Chosen: above gain and transients."""

OF_GPU: Final = 0
OF_MODULE: Final = 1
"""Scopes of a field."""

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


class LibraryMissing(HardwareError):
    """There is no driver's library: no driver, no GPU, or not shown to this container."""


class OtherVersion(HardwareError):
    """The driver is of another version than the library that this process has loaded, for good."""


def translated(code: int, *, uuid: str, doing: str) -> HardwareError:
    """Our error for an NVML_ERROR code that `doing` met on the GPU `uuid`."""
    where = f"{doing} of {uuid}: NVML answered {code} ({_words(code)})"
    if code in _LOST:
        return GpuLost(f"{where}; reset the GPU or its driver")
    if code == pynvml.NVML_ERROR_NO_PERMISSION:
        return NoPermission(f"{where}; give the agent CAP_SYS_ADMIN")
    if code == pynvml.NVML_ERROR_INVALID_ARGUMENT:
        return OutOfRange(f"{where}; set a value that the GPU accepts")
    if code in (pynvml.NVML_ERROR_NOT_SUPPORTED, pynvml.NVML_ERROR_FUNCTION_NOT_FOUND):
        return NotSupported(f"{where}; this model or driver has no such setting")
    if code == pynvml.NVML_ERROR_LIBRARY_NOT_FOUND:
        return LibraryMissing(f"{where}; install the driver, or let the container runtime mount it")
    if code == pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH:
        return OtherVersion(f"{where}; {OTHER_VERSION}")
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


class Listed(NamedTuple):
    """One of the GPUs that the driver counts: its UUID, or why that isn't known."""

    place: int
    uuid: str | None
    error: HardwareError | None = None


def listed() -> tuple[Listed, ...]:
    """All GPUs that the driver counts, in its order, whether they answer or not."""
    count = _call("the driver", "counting GPUs", pynvml.nvmlDeviceGetCount)
    if count > GPUS[1]:
        raise HardwareError(f"the driver reports {count} GPUs, and Loadline supports at most {GPUS[1]}")
    return tuple([_listed(index) for index in range(count)])


def _listed(index: int) -> Listed:
    which = f"GPU {index}"
    try:
        handle = _call(which, "finding the handle", pynvml.nvmlDeviceGetHandleByIndex, index)
        uuid = str(_call(which, "reading the UUID", pynvml.nvmlDeviceGetUUID, handle))
    except HardwareError as error:
        return Listed(index, None, error)
    if not 0 < len(uuid.encode()) <= UUID_BYTES:
        return Listed(index, None, HardwareError(f"{which} has an invalid UUID: {shown(uuid)}"))
    return Listed(index, uuid)


def parent_of(mig_uuid: str) -> str:
    """UUID of the GPU that a MIG device is a part of."""
    part = _call(mig_uuid, "finding the device", pynvml.nvmlDeviceGetHandleByUUID, mig_uuid)
    whole = _call(mig_uuid, "finding the GPU", pynvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle, part)
    return str(_call(mig_uuid, "reading the UUID", pynvml.nvmlDeviceGetUUID, whole))


class Fields:
    """Several fields of one GPU, read by one call into memory that is kept."""

    def __init__(self, handle: object, ids: Sequence[int], *, scope: int = OF_GPU) -> None:
        self._handle, self._count = handle, len(ids)
        self._array = (pynvml.c_nvmlFieldValue_t * len(ids))()
        for row, field in zip(self._array, ids, strict=True):
            row.fieldId, row.scopeId = field, scope
        self._struct = Struct(_FIELD * len(ids))
        self._read = _field_values()

    def read(self) -> tuple[int, tuple[int, ...]]:
        """The call's error code, and the rows end to end as `value_of` takes them."""
        code: int = self._read(self._handle, self._count, self._array)
        return code, self._struct.unpack_from(self._array)


def _field_values() -> Callable[..., int]:
    """The call itself, without what pynvml does around it; one that fails where a library lacks it."""
    try:
        call: Callable[..., int] = pynvml.nvmlLib["nvmlDeviceGetFieldValues"]
    except AttributeError:
        return lambda *_: int(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND)
    return call


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


class XidEvents:
    """The critical XIDs of one GPU, fetched without waiting; a GPU that can't be listened to tells none."""

    def __init__(self, uuid: str, handle: object) -> None:
        self._uuid = uuid
        self._events: object | None = None
        with suppress(HardwareError):
            self._events = _call(uuid, "making a set of events", pynvml.nvmlEventSetCreate)
            register, kind = pynvml.nvmlDeviceRegisterEvents, pynvml.nvmlEventTypeXidCriticalError
            _call(uuid, "listening to XIDs", register, handle, kind, self._events)
            return
        self.close()

    def fetch(self) -> tuple[int, ...]:
        """Those that came since the last call, in order, at most `MOST_EVENTS`; the rest is for the next."""
        found: list[int] = []
        with suppress(HardwareError):  # as a rule that there are no more
            for _ in range(MOST_EVENTS if self._events is not None else 0):
                event = _call(self._uuid, "fetching XIDs", pynvml.nvmlEventSetWait_v2, self._events, 0)
                if event.eventType == pynvml.nvmlEventTypeXidCriticalError and event.eventData in XIDS:
                    found.append(int(event.eventData))
        return tuple(found)

    def close(self) -> None:
        """Listen no more."""
        events, self._events = self._events, None
        if events is not None:
            with suppress(HardwareError):
                _call(self._uuid, "freeing a set of events", pynvml.nvmlEventSetFree, events)


class Device:
    """A GPU found by its UUID; every method raises our HardwareError, and no other."""

    def __init__(self, uuid: str) -> None:
        self.uuid = uuid
        self.handle = self._ask("finding the handle", pynvml.nvmlDeviceGetHandleByUUID, uuid)
        self._verify()
        self.power = Fields(self.handle, (POWER_INSTANT,))
        self._limits = Fields(self.handle, (CURRENT_LIMIT, REQUESTED_LIMIT))
        self._module = self._found_module()
        self.name = str(self._told("reading the name", pynvml.nvmlDeviceGetName) or "")
        self.lowest_mw, self.highest_mw = self._settable_range()
        self.default_mw = self._limit("reading the default", pynvml.nvmlDeviceGetPowerManagementDefaultLimit)
        self.lowest_mhz, self.highest_mhz = self._clock_range()
        self.xids = XidEvents(uuid, self.handle)

    def _verify(self) -> None:
        actual = self._ask("reading the UUID", pynvml.nvmlDeviceGetUUID, self.handle)
        if actual != self.uuid:
            raise GpuLost(f"the driver found GPU {actual!r} instead of {self.uuid!r}; restart the agent")

    def _found_module(self) -> Fields | None:
        """The fields of the GPU's module; None where not one answers, as on most boards."""
        module = Fields(self.handle, (CURRENT_LIMIT, POWER_INSTANT), scope=OF_MODULE)
        code, rows = module.read()
        told = not code and (value_of(rows, 0) is not None or value_of(rows, 1) is not None)
        return module if told else None

    def _settable_range(self) -> tuple[int, int]:
        """The lowest and the highest limit that can be set, in mW; 0 to 0 where there is no such range."""
        try:
            lowest, highest = self._ask(
                "reading the settable range", pynvml.nvmlDeviceGetPowerManagementLimitConstraints, self.handle
            )
        except NotSupported:
            return 0, 0
        lowest = max(lowest, _watts_mw(GPU_WATTS[0]))
        return (lowest, highest) if lowest <= highest <= _watts_mw(GPU_WATTS[1]) else (0, 0)

    def _limit(self, doing: str, function: Callable[[object], object]) -> int | None:
        limit_mw = self._told(doing, function)
        return int(limit_mw) if isinstance(limit_mw, int) and believable(limit_mw) else None

    def _clock_range(self) -> tuple[int, int]:
        """The lowest and the highest SM clock that can be locked; equal where none is listed below it."""
        with suppress(HardwareError):
            memory = self._ask("listing clocks", pynvml.nvmlDeviceGetSupportedMemoryClocks, self.handle)
            clocks = self._ask(
                "listing clocks",
                pynvml.nvmlDeviceGetSupportedGraphicsClocks,
                self.handle,
                max(memory, default=0),
            )
            if clocks:
                return min(clocks), max(clocks)
        with suppress(HardwareError):
            clock = pynvml.NVML_CLOCK_SM
            highest = self._ask("reading the top clock", pynvml.nvmlDeviceGetMaxClockInfo, self.handle, clock)
            return int(highest), int(highest)
        return 0, 0

    def _told(self, doing: str, function: Callable[[object], T]) -> T | None:
        """What the GPU says of itself; None where it doesn't: it can be read and limited without."""
        with suppress(HardwareError):
            return self._ask(doing, function, self.handle)
        return None

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
        if not (believable(enforced) and believable(requested)):
            told = f"{enforced / 1000:g} W in force, {requested / 1000:g} W set"
            raise HardwareError(f"reading the limits of {self.uuid}: {told}, which is impossible")
        return enforced, requested

    @property
    def known_mw(self) -> int:
        """The highest limit that the GPU tells of; 0 where it tells of none."""
        told = [self.highest_mw, self.default_mw or 0]
        with suppress(HardwareError):
            told += self.limits_mw()
        return max(told)

    def usage_mw(self) -> int:
        """GetPowerUsage in mW: instantaneous on the A100 and older, a mean of 1 s on later ones."""
        return int(self._ask("reading the power", pynvml.nvmlDeviceGetPowerUsage, self.handle))

    def persistence(self) -> int:
        """Persistence mode as the driver tells it: 1 is on, 0 is off, anything else is no mode."""
        return int(
            self._ask("reading the persistence mode", pynvml.nvmlDeviceGetPersistenceMode, self.handle)
        )

    def module_mw(self) -> tuple[int | None, int | None]:
        """Limit in force and power of the GPU's module, in mW; None for what isn't told or wasn't at open."""
        if self._module is None:
            return None, None
        code, rows = self._module.read()
        if code:
            raise translated(code, uuid=self.uuid, doing="reading the module")
        return value_of(rows, 0), value_of(rows, 1)

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
    except UnicodeDecodeError as error:
        raise HardwareError(f"{doing} of {uuid}: NVML returned no text") from error


def believable(limit_mw: int) -> bool:
    """Whether a board can have such a limit."""
    return _watts_mw(GPU_WATTS[0]) <= limit_mw <= _watts_mw(GPU_WATTS[1])


def _watts_mw(watts: int) -> int:
    return watts * 1000


def _words(code: int) -> str:
    try:
        return str(pynvml.nvmlErrorString(code))
    except pynvml.NVMLError:
        return "NVML is not loaded"
