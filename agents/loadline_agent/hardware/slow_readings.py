"""
What is read of a GPU at open, and then once a minute: what people must know and no limit depends on.

Where persistence mode is off, the driver forgets all limits when its last client closes. Agent and guard
are such clients, and both are gone while their pod is replaced. Loadline doesn't turn the mode on: the
node's owner does, by nvidia-persistenced.

Some boards (GH200, GB200) are one module of GPUs and a Grace CPU. NVML tells its power and its limit where
a field is asked for in the module's scope. Whether a GPU has a module is asked at open only, and nothing
is ever set there.

What can't be is not believed: a mode that is neither 1 nor 0 is Unknown, as is one that isn't told, and a
module's watts that can't be are left out. No answer raises.
"""

from contextlib import suppress
from typing import Final, NamedTuple

from loadline_agent.hardware import nvml
from loadline_api.node_capacities import PersistenceMode
from loadline_policies.errors import HardwareError
from loadline_policies.power.protocol.bounds import GPU_WATTS

READ_EVERY_S: Final = 60.0
"""Chosen: people act on it within minutes, and what the calls take on a real driver isn't known."""

_MODES: Final = {0: PersistenceMode.OFF, 1: PersistenceMode.ON}


class SlowReadings(NamedTuple):
    """One round of them; a module's watts are None where there is no module, or it doesn't tell."""

    persistence: PersistenceMode = PersistenceMode.UNKNOWN
    module_limit_watts: float | None = None
    module_watts: float | None = None


UNREAD: Final = SlowReadings()
"""Of a GPU that isn't open."""


def read(device: nvml.Device) -> SlowReadings:
    """What a GPU says now; never raises HardwareError."""
    limit_watts, watts = _module(device)
    return SlowReadings(_persistence(device), limit_watts, watts)


def _persistence(device: nvml.Device) -> PersistenceMode:
    with suppress(HardwareError):
        return _MODES.get(device.persistence(), PersistenceMode.UNKNOWN)
    return PersistenceMode.UNKNOWN


def _module(device: nvml.Device) -> tuple[float | None, float | None]:
    """The limit in force and the draw of the GPU's module: it has at least the least limit of the GPU."""
    limit_mw, power_mw = None, None
    with suppress(HardwareError):
        limit_mw, power_mw = device.module_mw()
    if limit_mw is not None and not (nvml.believable(limit_mw) and limit_mw >= device.lowest_mw):
        limit_mw = None
    most_mw = nvml.MOST_SHARE * limit_mw if limit_mw is not None else GPU_WATTS[1] * 1000
    if power_mw is not None and not 0 < power_mw <= most_mw:
        power_mw = None
    return _watts(limit_mw), _watts(power_mw)


def _watts(milliwatts: int | None) -> float | None:
    return milliwatts / 1000.0 if milliwatts is not None else None
