"""
Which GPUs this node has, which of them answer, and what is known of the others.

One odd GPU must not take the others with it. So each is opened for itself: one that can't be opened
is a fault with its UUID, one without a settable range is read and never written. Both count at the
worst that is known: the highest limit that they tell of, else that of their neighbours, since boards
of one server are alike.

The driver counts GPUs also where it can't say which they are. Such a one is named by its place in the
driver's list, as long as no GPU that was opened before is missing there.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from loadline_agent.hardware import nvml, slow_readings
from loadline_agent.hardware.slow_readings import UNREAD, SlowReadings
from loadline_api.reasons import Reason
from loadline_policies.errors import GpuLost, HardwareError
from loadline_policies.power.protocol.bounds import GPU_WATTS
from loadline_policies.power.protocol.messages import UNIDENTIFIED
from loadline_policies.power.protocol.node_states import GpuFault

_UNKNOWN_WATTS: Final = float(GPU_WATTS[1])

NOT_LISTED: Final = GpuFault(Reason.GPU_LOST.value, "the driver doesn't list it, or not any more")


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuInfo:
    """What doesn't change while the driver is loaded: identity and settable ranges; `slow` seldom does.

    Without `has_range` nothing can be set, and both ends are the most that the GPU may draw. Where no
    clock below `max_mhz` is listed none can be locked.
    """

    uuid: str
    name: str
    min_watts: float
    max_watts: float
    default_watts: float | None
    min_mhz: int
    max_mhz: int
    has_range: bool = True
    slow: SlowReadings = UNREAD


@dataclass(slots=True)
class OpenedGpus:
    """The GPUs that could be opened, `devices` and `infos` in the order of that.

    `unopened` are the faults of all others that the driver counts, or counted before it was closed, by
    UUID, or by a name of our own where that can't be read; `most_watts` is what each of them counts at.
    `xids` are the last critical XIDs that were heard, by UUID, also of GPUs that aren't open any more.
    """

    devices: dict[str, nvml.Device] = field(default_factory=dict)
    unopened: dict[str, GpuFault] = field(default_factory=dict)
    infos: tuple[GpuInfo, ...] = ()
    xids: Mapping[str, int] = field(default_factory=dict)
    _known: dict[str, GpuInfo] = field(default_factory=dict)

    def open(self) -> bool:
        """Open all that aren't yet; whether there is any more, or any less.

        Raises HardwareError where there are GPUs, and not one can be opened.
        """
        self._hear()
        listed = nvml.listed()
        before = self.devices.keys() | self.unopened.keys()
        uuids: set[str] = set()
        unknown: list[nvml.Listed] = []
        self.unopened = {}
        for one in listed:
            if one.uuid is None or one.uuid in uuids:
                unknown.append(one)
            else:
                uuids.add(one.uuid)
                self._open(one.uuid)
        self._name(unknown, uuids)
        if listed and not self.devices:
            first = next(iter(self.unopened.values()))
            raise HardwareError(f"none of the {len(listed)} GPUs can be opened: {first.sentence}")
        changed = self.devices.keys() | self.unopened.keys() != before or len(self.infos) != len(self.devices)
        if changed:
            self._describe()
        return changed

    def close(self, why: GpuFault) -> None:
        """Hold none open any more; all that are known are told as faulty, each at its own maximum."""
        self._hear()
        for device in self.devices.values():
            device.xids.close()
        self.unopened = {**dict.fromkeys(self.unopened, why), **dict.fromkeys(self.devices, why)}
        self.devices, self.infos = {}, ()

    def read_slowly(self) -> None:
        """Read again what seldom changes, of each GPU that is open."""
        read = slow_readings.read
        self.infos = tuple([replace(info, slow=read(self.devices[info.uuid])) for info in self.infos])

    def _hear(self) -> None:
        """Know the last XID of each GPU; a new mapping each time, since others read it meanwhile."""
        heard = {uuid: device.xids.fetch() for uuid, device in self.devices.items()}
        self.xids = {**self.xids, **{uuid: xids[-1] for uuid, xids in heard.items() if xids}}

    def most_watts(self, uuid: str) -> float:
        """The most that a GPU may draw that isn't open: as it was known, else as its neighbours."""
        known = self._known.get(uuid)
        if known is not None:
            return known.max_watts
        ranged = [info.max_watts for info in self._known.values() if info.has_range]
        return max(ranged or [info.max_watts for info in self._known.values()], default=_UNKNOWN_WATTS)

    def _open(self, uuid: str) -> None:
        if uuid in self.devices:
            return
        try:
            self.devices[uuid] = nvml.Device(uuid)
        except HardwareError as error:
            self.unopened[uuid] = fault_of(error)

    def _name(self, unknown: list[nvml.Listed], uuids: set[str]) -> None:
        """Take those without a UUID of their own for the ones that are missing, and name the rest."""
        silent = len(self.devices.keys() - uuids)
        gone = [uuid for uuid in self._known if uuid not in uuids and uuid not in self.devices]
        for one in unknown[silent:]:
            self.unopened[gone.pop(0) if gone else f"{UNIDENTIFIED}{one.place}"] = _unknown(one)

    def _describe(self) -> None:
        devices = tuple(self.devices.values())
        worst_watts = _worst_watts(devices)
        self.infos = tuple([_info(device, worst_watts) for device in devices])
        self._known |= {info.uuid: info for info in self.infos}


def fault_of(error: HardwareError) -> GpuFault:
    """What is wrong with a GPU that answered so."""
    lost = isinstance(error, GpuLost)
    return GpuFault((Reason.GPU_LOST if lost else Reason.GPU_UNREADABLE).value, str(error))


def missing(known: Iterable[str], unopened: Mapping[str, GpuFault]) -> dict[str, GpuFault]:
    """What is wrong with the GPUs that are known and not open, and with the rest of those that aren't.

    One that can't be told from others is taken for one that is known, while there is any.
    """
    faults = dict(unopened)
    nameless = [name for name in unopened if name.startswith(UNIDENTIFIED)]
    for uuid in known:
        if uuid not in faults:
            faults[uuid] = faults.pop(nameless.pop(0)) if nameless else NOT_LISTED
    return faults


def _unknown(one: nvml.Listed) -> GpuFault:
    if one.error is not None:
        return fault_of(one.error)
    return GpuFault(Reason.GPU_UNREADABLE.value, f"GPU {one.place} has the UUID {one.uuid} of another GPU")


def _worst_watts(devices: Iterable[nvml.Device]) -> float:
    """The most that a GPU here may draw of which nothing is known."""
    told = max((device.highest_mw for device in devices), default=0)
    told = told or max((device.known_mw for device in devices), default=0)
    return told / 1000.0 or _UNKNOWN_WATTS


def _info(device: nvml.Device, worst_watts: float) -> GpuInfo:
    has_range = device.highest_mw > 0
    most_watts = (device.highest_mw if has_range else device.known_mw) / 1000.0 or worst_watts
    return GpuInfo(
        uuid=device.uuid,
        name=device.name,
        min_watts=device.lowest_mw / 1000.0 if has_range else most_watts,
        max_watts=most_watts,
        default_watts=device.default_mw / 1000.0 if device.default_mw is not None else None,
        min_mhz=device.lowest_mhz,
        max_mhz=device.highest_mhz,
        has_range=has_range,
        slow=slow_readings.read(device),
    )
