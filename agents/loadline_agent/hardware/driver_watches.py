"""
Whether the driver is still the one that was loaded, and what is to be done if it isn't.

GPUs come back after a reset, and a driver is unloaded and loaded anew under a running agent. Then NVML has
to be closed and opened again, which can take a driver seconds, so it is done only once no GPU has
answered for longer than a reset takes. A library that is of another version than the driver can be replaced
only by a new process.
"""

from collections.abc import Callable
from enum import Enum, auto
from typing import Final

from loadline_agent.hardware.nvml import OtherVersion
from loadline_agent.hardware.sensors import GpuSensors
from loadline_agent.hardware.slow_readings import READ_EVERY_S
from loadline_policies.errors import HardwareError

COUNT_EVERY_S: Final = 10.0
"""How often it is asked whether there are GPUs that didn't answer before. Chosen."""

BLIND_AFTER_S: Final = 5.0
"""How long no GPU may answer before NVML is loaded anew. Chosen: a reset of one takes longer."""

RELOAD_EVERY_S: Final = 10.0
"""How often at most NVML is loaded anew; that can take a driver seconds. As the guard does."""

OUTDATED_AFTER_S: Final = 60.0
"""How long NVML must say nothing but that it is of another version before this process ends. Chosen, as for
the guard: an upgrade replaces library and driver one after the other."""


class DriverChange(Enum):
    """What a look at the driver found."""

    NONE = auto()
    MORE_GPUS = auto()
    GONE = auto()
    LOADED = auto()


class DriverWatch:
    """Looks after the driver behind the node's sensors."""

    def __init__(self, gpus: GpuSensors, clock: Callable[[], float]) -> None:
        self._gpus, self._clock = gpus, clock
        self._counted_s = self._loaded_s = self._slowly_s = clock()
        self._outdated_since_s: float | None = None

    def look(self) -> DriverChange:
        """Take in GPUs that answer by now; where none does any more, load NVML anew.

        Raises OtherVersion where only a new process can load the library of the driver that is there.
        """
        now = self._clock()
        blind = self._is_blind(now)
        if now - self._counted_s < COUNT_EVERY_S and not blind:
            return DriverChange.NONE
        self._counted_s = now
        if blind:
            return self._load(now)
        change = DriverChange.MORE_GPUS if self._gpus.refresh() else DriverChange.NONE
        if now - self._slowly_s >= READ_EVERY_S:
            self._slowly_s = now
            self._gpus.read_slowly()
        return change

    def _load(self, now: float) -> DriverChange:
        outdated_since_s, self._outdated_since_s = self._outdated_since_s, None
        try:
            self._gpus.reopen()
        except OtherVersion:
            self._outdated_since_s = now if outdated_since_s is None else outdated_since_s
            if now - self._outdated_since_s >= OUTDATED_AFTER_S:
                raise
            return DriverChange.GONE
        except HardwareError:
            return DriverChange.GONE
        finally:
            self._loaded_s = self._clock()
        return DriverChange.LOADED

    def _is_blind(self, now: float) -> bool:
        """Whether NVML is to be loaded anew: no GPU of several answers, or none is open."""
        if now - self._loaded_s < RELOAD_EVERY_S:
            return False
        return self._gpus.blind_s(now) >= BLIND_AFTER_S or not self._gpus.infos
