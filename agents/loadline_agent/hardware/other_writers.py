"""
Whether another program writes the limits of this node's GPUs.

A limit that isn't ours is a conflict only if it is seen twice and the guard hasn't stepped in between:
the guard lowers limits when this process was stopped, and that is no other program. One that writes often
is counted for itself, by GPU: such a GPU can't be relied on to stay low.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from loadline_agent.hardware.armed_records import GpuRecord
from loadline_agent.hardware.limits import HeldLimit, Order
from loadline_agent.hardware.orders import same
from loadline_policies.power.protocol.foreign_writes import ForeignWrites

SUSPECT_FOR_S: Final = 60.0
"""Another's limit seen twice within this time is a conflict. Chosen: other agents write once a minute."""

CONFLICT_FOR_S: Final = 600.0
"""How long a conflict is told after it was last seen, and keeps a node from being armed. Chosen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """Another's limit where ours should be."""

    uuid: str
    wanted_watts: float
    requested_watts: float
    enforced_watts: float

    @property
    def sentence(self) -> str:
        """What was found on the GPU, for people."""
        asked = f"the limit is now {self.requested_watts:g} W, with {self.enforced_watts:g} W in force"
        return f"set to {self.wanted_watts:g} W, and {asked}"


JustRead = Callable[[str], HeldLimit | None]
"""What the last look has read of a GPU; None if it didn't answer."""


class OtherWriters:
    """Follows whose limits are found. `conflicts` are those seen last, at `conflict_s`; `disturbed` says that
    the last look found a limit that isn't ours. Times are of one clock, in seconds.
    """

    def __init__(self) -> None:
        self.conflicts: tuple[Conflict, ...] = ()
        self.conflict_s = float("-inf")
        self.disturbed = False
        self._foreign: dict[str, ForeignWrites] = {}
        self._suspected_s: dict[str, float] = {}

    def take_in(self, uuids: Iterable[str]) -> None:
        """Follow these GPUs too."""
        for uuid in uuids:
            self._foreign.setdefault(uuid, ForeignWrites())

    def forget(self) -> None:
        """Know nothing of any GPU, as when the driver was loaded anew."""
        self._foreign.clear()
        self._suspected_s.clear()

    def begin(self, uuids: Iterable[str]) -> None:
        """Count from the beginning, on these GPUs: nothing is promised of them any more."""
        self._foreign = {uuid: ForeignWrites() for uuid in uuids}

    def know(self, uuid: str, watts: float) -> None:
        """Take a limit as ours."""
        if uuid in self._foreign:
            self._foreign[uuid].know(watts)

    def suspect_none(self) -> None:
        """Forget what was seen once: it was ours, or nothing is enforced."""
        self._suspected_s.clear()

    def often(self, uuid: str, now: float) -> bool:
        """Whether another program writes the GPU's limit again and again."""
        return self._foreign[uuid].often(now)

    def highest_watts(self, uuid: str, now: float) -> float:
        """The highest limit that another program has written there lately; 0 if none has."""
        return self._foreign[uuid].highest_watts(now)

    def in_conflict(self, now: float) -> bool:
        """Whether another program has written limits here lately."""
        return now - self.conflict_s < CONFLICT_FOR_S

    def watch(self, gpus: Iterable[GpuRecord], just_read: JustRead, *, guard_acted: bool, now: float) -> None:
        """See which requested limits are neither ours nor the guard's."""
        for gpu in gpus:
            held = just_read(gpu.uuid)
            if held is None:
                continue
            if guard_acted:
                self._foreign[gpu.uuid].know(held.requested_watts)
            self._foreign[gpu.uuid].seen(held.requested_watts, safe_watts=gpu.safe_watts, now=now)

    def compare(self, orders: Iterable[Order], just_read: JustRead, now: float) -> None:
        """Compare requested limits with what was ordered, also where an order had nothing to write.

        One in force below what is requested is a BMC's or a module's own: that is the safe side.
        """
        read = [(order, just_read(order.uuid)) for order in orders]
        conflicts = tuple(
            Conflict(
                uuid=order.uuid,
                wanted_watts=order.watts,
                requested_watts=held.requested_watts,
                enforced_watts=held.enforced_watts,
            )
            for order, held in read
            if held is not None and not same(held.requested_watts, order.watts)
        )
        self.disturbed = bool(conflicts)
        if any(0.0 < now - self._suspected_s.get(one.uuid, now) < SUSPECT_FOR_S for one in conflicts):
            self.conflict_s, self.conflicts = now, conflicts
        self._suspected_s |= {one.uuid: now for one in conflicts}
