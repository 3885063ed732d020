"""
Which GPUs a release leaves behind, because what was found on them can't be given back.

A release waits for nobody: a GPU whose setter fails would else keep its node armed for ever. So
it is tried three times (`release_tries`), and then the node is disarmed and that GPU keeps what it
holds. Back is only what is read back.

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

_UNREAD_WATTS: Final = 0.0
"""In a record: nobody knows what the GPU was asked for when it was left."""


def not_back(
    outcomes: Iterable[Outcome], held: Mapping[str, HeldLimit], found: Mapping[str, OriginalLimit]
) -> list[str]:
    """GPUs on which one try has failed, sorted; `held` was read after it.

    One that isn't there any more counts not, and a setter that says yes and does nothing has failed too.
    """
    errors = {outcome.uuid: outcome.error for outcome in outcomes if outcome.error is not None}
    lost = {uuid for uuid, error in errors.items() if isinstance(error, GpuLost)}
    wrong = {uuid for uuid, one in held.items() if uuid in found and not _is_back(one, found[uuid])}
    return sorted((errors.keys() | wrong) - lost)


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
    in_force_watts = held.enforced_watts if held is not None else None
    return f"LeftBehind: {gpu.uuid}: {in_force_and_found(in_force_watts, gpu.found_watts)}"


def in_force_and_found(in_force_watts: float | None, found_watts: float | None) -> str:
    """Both watts of a GPU that is left behind, for people; None where it can't be read."""
    in_force = "unknown" if in_force_watts is None else f"{in_force_watts:g} W"
    return f"in force {in_force}, found {found_watts:g} W"


def _is_back(held: HeldLimit, found: OriginalLimit) -> bool:
    return abs(held.requested_watts - found.watts) < ROUNDING_WATTS
