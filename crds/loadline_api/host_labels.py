"""
What one server draws without its GPUs, where it isn't what its domain says of all.

Trays and servers of several generations hang on one breaker, and a single `hostWatts` for all must be that
of the hungriest. So a Node may say its own by labels, which no kubelet can write (`NODE_RESTRICTION_PREFIX`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from loadline_api.names import HOST_IDLE_WATTS_LABEL, HOST_MAX_WATTS_LABEL
from loadline_api.power_domains import HostWatts
from loadline_policies.errors import InvalidInput
from loadline_policies.power.protocol.bounds import HOST_WATTS


@dataclass(frozen=True, slots=True, kw_only=True)
class HostDraw:
    """Watts of a server without its GPUs: at most, and with idle GPUs."""

    max_watts: float = 0.0
    idle_watts: float = 0.0


def declared_draw(declared: HostWatts | None) -> HostDraw:
    """What a domain says of each server, 0 where it says nothing; without `idle` it always draws `max`."""
    if declared is None:
        return HostDraw()
    idle_watts = declared.max if declared.idle is None else declared.idle
    return HostDraw(max_watts=float(declared.max), idle_watts=float(idle_watts))


def host_draw(labels: Mapping[str, str], declared: HostWatts | None) -> HostDraw:
    """What a Node with these labels draws; InvalidInput names a label that can't be used.

    A maximum of its own without an idle draw of its own is what it always draws.
    """
    if HOST_MAX_WATTS_LABEL not in labels:
        if HOST_IDLE_WATTS_LABEL in labels:
            fix = f"label the node with {HOST_MAX_WATTS_LABEL} too, or remove it"
            raise InvalidInput(HOST_IDLE_WATTS_LABEL, labels[HOST_IDLE_WATTS_LABEL], fix=fix)
        return declared_draw(declared)
    max_watts = _watts(labels, HOST_MAX_WATTS_LABEL)
    idle_watts = _watts(labels, HOST_IDLE_WATTS_LABEL) if HOST_IDLE_WATTS_LABEL in labels else max_watts
    if idle_watts > max_watts:
        fix = f"lower it to {HOST_MAX_WATTS_LABEL}, which is {max_watts}, or raise that"
        raise InvalidInput(HOST_IDLE_WATTS_LABEL, idle_watts, fix=fix)
    return HostDraw(max_watts=float(max_watts), idle_watts=float(idle_watts))


def _watts(labels: Mapping[str, str], label: str) -> int:
    text, (least, most) = labels[label], HOST_WATTS
    digits = text.isascii() and text.isdecimal() and len(text) <= len(str(most))
    if not digits or not least <= int(text) <= most:
        raise InvalidInput(label, text, fix=f"give whole watts, {least} to {most}")
    return int(text)
