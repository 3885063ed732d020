"""
Puts a lease's watts and clocks on the node's GPUs, and knows what really holds.

An `Order` is what a lease says of one GPU, together with the safe limit that it
falls back to. `apply` asks the clock before and after each setter, because a
process may be stopped between any two of its lines: an order whose deadline is
over isn't begun, and one that was overtaken by it in the setter is taken back to
min(what held before, safe) at once. What is in force already isn't written.

Power limits bind; a locked clock only shapes performance, so that it may outlive
its deadline. The driver can't be asked for locked clocks: `Limits` keeps its own
record of them, and believes it until the SM clock runs above.

What is read back is told as it is: whether a limit there is ours, the guard's or a
stranger's is for `node_gpus` to say. `restore` gives back what was found before the first
write, and may raise limits: only a release calls it.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from loadline_agent.hardware.nvml import Device
from loadline_agent.hardware.sensors import GpuSensors
from loadline_policies.errors import HardwareError, OutOfRange
from loadline_policies.power.protocol.step_downs import lowered_mw

SETTLE_S: Final = 1.0
"""How long after a write a different reading means nothing yet: ten times a cap's delay. Chosen."""
_SAME_MHZ: Final = 30
"""Two steps of the clock table: a driver rounds a lock to a step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A lease's word on one GPU. `clock_mhz` None lets the clock free, if it was ours."""

    uuid: str
    watts: float
    safe_watts: float
    clock_mhz: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of an order, or of a step down: `late` if its deadline was over.

    `limit_watts` is the limit that was written, None where none was. `of_clock` says that the error
    was the clock's, while the limit went well, `unasked` that the order can't be, so that the driver wasn't
    asked.
    """

    uuid: str
    written: bool = False
    limit_watts: float | None = None
    late: bool = False
    error: HardwareError | None = None
    of_clock: bool = False
    unasked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldLimit:
    """What holds on a GPU. `clock_mhz` is our own lock, `sm_mhz` the clock that it runs at, if it tells."""

    uuid: str
    enforced_watts: float
    requested_watts: float
    sm_mhz: int | None
    clock_mhz: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginalLimit:
    """A GPU before our first write; locked clocks can't be read, None stands for free."""

    watts: float
    clock_mhz: int | None = None


@dataclass(slots=True)
class _Written:
    """Our lock on a GPU's clock, None where there is none, and when we last wrote anything to it."""

    clock_mhz: int | None = None
    at_s: float = float("-inf")


class Limits:
    """The setters of one node; `found` is what an earlier process found before its first write."""

    def __init__(
        self,
        gpus: GpuSensors,
        *,
        clock: Callable[[], float],
        found: Mapping[str, OriginalLimit] | None = None,
    ) -> None:
        self._gpus, self._clock = gpus, clock
        self._found = dict(found or {})
        self._written: defaultdict[str, _Written] = defaultdict(_Written)

    @property
    def found(self) -> Mapping[str, OriginalLimit]:
        """What was there before the first write, by UUID; a record keeps it over restarts."""
        return dict(self._found)

    def remember(self) -> tuple[Outcome, ...]:
        """Look at each GPU that can be set and wasn't looked at yet; those that failed. Writes nothing.

        To be called, and `found` recorded, before the first `apply`: a process that dies
        in between must not take its own limits for somebody's.
        """
        new = [info.uuid for info in self._gpus.infos if info.has_range and info.uuid not in self._found]
        looked = [self._guarded(uuid, self._remember, uuid) for uuid in new]
        return tuple([outcome for outcome in looked if outcome.error is not None])

    def _remember(self, uuid: str) -> Outcome:
        _, requested_mw = self._gpus.device(uuid).limits_mw()
        self._found[uuid] = OriginalLimit(watts=requested_mw / 1000.0)
        return Outcome(uuid=uuid)

    def apply(self, orders: Iterable[Order], deadline_s: float) -> tuple[Outcome, ...]:
        """Carry out orders that hold until `deadline_s` (CLOCK_BOOTTIME); errors are in the outcomes."""
        return tuple([self._guarded(order.uuid, self._apply, order, deadline_s) for order in orders])

    def step_down(self, safe_watts: Mapping[str, float]) -> tuple[Outcome, ...]:
        """Every GPU to min(current, safe); never raises a limit, and goes on after an error."""
        return tuple(
            [self._guarded(uuid, self._step_down, uuid, watts) for uuid, watts in safe_watts.items()]
        )

    def read_back(self) -> tuple[HeldLimit, ...]:
        """What holds on each GPU that answers."""
        held: list[HeldLimit] = []
        for info in self._gpus.infos:
            try:
                device = self._gpus.device(info.uuid)
                enforced_mw, requested_mw = device.limits_mw()
                sm_mhz = _sm_mhz(device)
            except HardwareError:
                continue  # sample() of the same GPU carries the fault
            held.append(
                _held(
                    info.uuid,
                    enforced_mw=enforced_mw,
                    requested_mw=requested_mw,
                    sm_mhz=sm_mhz,
                    clock_mhz=self._written[info.uuid].clock_mhz,
                )
            )
        return tuple(held)

    def restore(self, deadline_s: float) -> tuple[Outcome, ...]:
        """Give back limits and clocks as they were before the first write; for a release only.

        Past the deadline (CLOCK_BOOTTIME) nothing more is given back, since that may raise limits.
        What was found is remembered until `forget`, as some of it may have to be given back again.
        """
        return tuple(
            [
                self._guarded(uuid, self._restore, uuid, found, deadline_s)
                for uuid, found in self.found.items()
            ]
        )

    def forget_locks(self) -> None:
        """Believe in no lock of ours any more: a driver that was loaded anew has none."""
        self._written.clear()

    def forget(self, uuids: Iterable[str]) -> None:
        """What was found on these GPUs is back: what is there at the next first write is somebody's own."""
        for uuid in uuids:
            self._found.pop(uuid, None)

    def _guarded(self, uuid: str, act: Callable[..., Outcome], *arguments: object) -> Outcome:
        try:
            return act(*arguments)
        except HardwareError as error:
            return Outcome(uuid=uuid, error=error)

    def _apply(self, order: Order, deadline_s: float) -> Outcome:
        device = self._gpus.device(order.uuid)
        try:
            limit_mw = _in_range(order, device)
        except OutOfRange as error:
            return Outcome(uuid=order.uuid, error=error, unasked=True)
        if order.uuid not in self._found:
            self._remember(order.uuid)
        if self._is_late(deadline_s):
            return Outcome(uuid=order.uuid, late=True)
        before_mw, requested_mw = device.limits_mw()
        written = requested_mw != limit_mw
        if written:
            self._set_limit(device, limit_mw)
        if self._is_late(deadline_s):
            ceiling_mw = min(before_mw, round(order.safe_watts * 1000))
            lowered_watts = self._lower(device, ceiling_mw) if written else None
            return Outcome(uuid=order.uuid, written=written, limit_watts=lowered_watts, late=True)
        limit_watts = limit_mw / 1000 if written else None
        try:
            written |= self._apply_clock(device, order.clock_mhz)
        except HardwareError as error:
            return Outcome(
                uuid=order.uuid, written=written, limit_watts=limit_watts, error=error, of_clock=True
            )
        late = self._is_late(deadline_s)
        return Outcome(uuid=order.uuid, written=written, limit_watts=limit_watts, late=late)

    def _apply_clock(self, device: Device, clock_mhz: int | None) -> bool:
        written = self._written[device.uuid]
        lost = written.clock_mhz is not None and (_sm_mhz(device) or 0) > written.clock_mhz + _SAME_MHZ
        settled = self._clock() - written.at_s >= SETTLE_S
        if clock_mhz == written.clock_mhz and not (lost and settled):
            return False
        if clock_mhz is None:
            device.unlock_clock()
        else:
            device.lock_clock(clock_mhz)
        written.clock_mhz, written.at_s = clock_mhz, self._clock()
        return True

    def _step_down(self, uuid: str, safe_watts: float) -> Outcome:
        lowered_watts = self._lower(self._gpus.device(uuid), round(safe_watts * 1000))
        return Outcome(uuid=uuid, written=lowered_watts is not None, limit_watts=lowered_watts)

    def _lower(self, device: Device, ceiling_mw: int) -> float | None:
        """The limit that was written, in watts; None if what is there is low enough."""
        enforced_mw, requested_mw = device.limits_mw()
        target_mw = lowered_mw(
            enforced_mw=enforced_mw,
            requested_mw=requested_mw,
            safe_mw=ceiling_mw,
            lowest_mw=device.lowest_mw,
        )
        if target_mw is None:
            return None
        self._set_limit(device, target_mw)
        return target_mw / 1000

    def _set_limit(self, device: Device, limit_mw: int) -> None:
        device.set_limit_mw(limit_mw)
        self._written[device.uuid].at_s = self._clock()

    def _restore(self, uuid: str, found: OriginalLimit, deadline_s: float) -> Outcome:
        if self._is_late(deadline_s):
            return Outcome(uuid=uuid, late=True)
        device = self._gpus.device(uuid)
        if device.limits_mw()[1] != round(found.watts * 1000):
            device.set_limit_mw(round(found.watts * 1000))
        if found.clock_mhz is None:
            device.unlock_clock()
        else:
            device.lock_clock(found.clock_mhz)
        self._written[uuid] = _Written()
        return Outcome(uuid=uuid, written=True, late=self._is_late(deadline_s))

    def _is_late(self, deadline_s: float) -> bool:
        return not self._clock() < deadline_s


def _in_range(order: Order, device: Device) -> int:
    lowest, highest = device.lowest_mw / 1000, device.highest_mw / 1000
    if not lowest <= order.watts <= highest:
        raise OutOfRange(f"watts of {order.uuid} is {order.watts:g}: set {lowest:g} to {highest:g}")
    clock_mhz = order.clock_mhz
    if clock_mhz is not None and not device.lowest_mhz <= clock_mhz <= device.highest_mhz:
        fix = f"set {device.lowest_mhz} to {device.highest_mhz}"
        raise OutOfRange(f"clock_mhz of {order.uuid} is {clock_mhz}: {fix}")
    if not order.safe_watts > 0.0:
        raise OutOfRange(f"safe_watts of {order.uuid} is {order.safe_watts:g}: it must be above 0")
    return round(order.watts * 1000)


def _sm_mhz(device: Device) -> int | None:
    """None where the GPU doesn't tell: its limits can be read and set without."""
    with suppress(HardwareError):
        return device.sm_mhz()
    return None


def _held(
    uuid: str, *, enforced_mw: int, requested_mw: int, sm_mhz: int | None, clock_mhz: int | None
) -> HeldLimit:
    return HeldLimit(
        uuid=uuid,
        enforced_watts=enforced_mw / 1000.0,
        requested_watts=requested_mw / 1000.0,
        sm_mhz=sm_mhz,
        clock_mhz=clock_mhz,
    )
