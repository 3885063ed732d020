"""
Which GPUs a release leaves behind, because what was found on them can't be given back.

A release waits for nobody: a GPU whose setter fails would else keep its node armed for ever. So
it is tried three times, and then the node is disarmed and that GPU keeps what it holds. Back is
only what is read back; a setter that says yes and does nothing has failed too.

What was found there stays in the record, disarmed, over restarts: so that people can be told
both watts, and so that the node, armed again, isn't held for ever under a limit of our own.
Once somebody has set such a GPU its limit is theirs, and nothing is remembered any more.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from loadline_agent.hardware.armed_records import GpuRecord
from loadline_agent.hardware.limits import HeldLimit, OriginalLimit, Outcome
from loadline_policies.errors import GpuLost
from loadline_policies.power.protocol.plausibility import ROUNDING_WATTS

TRIES: Final = 3
"""How often a GPU is given what was found before it is left behind as it is. From the protocol's rule."""

_UNREAD_WATTS: Final = 0.0
"""In a record: nobody knows what the GPU was asked for when it was left."""


class Tries:
    """How often giving back has failed on each GPU of one release."""

    def __init__(self) -> None:
        self._failed: dict[str, int] = {}

    def count(
        self,
        outcomes: Iterable[Outcome],
        held: Mapping[str, HeldLimit],
        found: Mapping[str, OriginalLimit],
    ) -> None:
        """Take what came of one try; `held` was read after it. A GPU that isn't there any more counts not."""
        errors = {outcome.uuid: outcome.error for outcome in outcomes if outcome.error is not None}
        lost = {uuid for uuid, error in errors.items() if isinstance(error, GpuLost)}
        wrong = {uuid for uuid, one in held.items() if uuid in found and not _is_back(one, found[uuid])}
        self._failed = {uuid: self._failed.get(uuid, 0) + 1 for uuid in (errors.keys() | wrong) - lost}

    def forgive(self, uuid: str) -> None:
        """A write on this GPU was read back: its setter works again."""
        self._failed.pop(uuid, None)

    @property
    def over(self) -> bool:
        """Whether nothing is left to be tried: every GPU has what was found, or was tried often enough."""
        return all(times >= TRIES for times in self._failed.values())

    @property
    def left(self) -> tuple[str, ...]:
        """GPUs that didn't get back what was found at the last try."""
        return tuple(sorted(self._failed))


def left_gpu(uuid: str, held: HeldLimit | None, found: OriginalLimit) -> GpuRecord:
    """What the record keeps of a GPU that is left behind: what it is asked for, and what was found."""
    watts = held.requested_watts if held is not None else _UNREAD_WATTS
    return GpuRecord(uuid, watts, found.watts, found.clock_mhz)


def as_left(gpu: GpuRecord, held: HeldLimit | None) -> bool:
    """Whether nobody has set a GPU since it was left behind, as far as is known."""
    if held is None or gpu.safe_watts == _UNREAD_WATTS:
        return True
    return abs(held.requested_watts - gpu.safe_watts) < ROUNDING_WATTS


def left_sentence(gpu: GpuRecord, held: HeldLimit | None) -> str:
    """Both watts, for people: what is in force as read back, and what was found."""
    if held is not None and abs(held.requested_watts - (gpu.found_watts or 0.0)) < ROUNDING_WATTS:
        return f"LeftBehind: {gpu.uuid}: its limit is back, its clock may still be locked"
    in_force = "unknown" if held is None else f"{held.enforced_watts:g} W"
    return f"LeftBehind: {gpu.uuid}: in force {in_force}, found {gpu.found_watts:g} W"


def _is_back(held: HeldLimit, found: OriginalLimit) -> bool:
    return abs(held.requested_watts - found.watts) < ROUNDING_WATTS
