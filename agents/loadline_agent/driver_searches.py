"""
How an agent comes to its GPUs: it looks for the driver until there is one, or the agent is stopped.

A node without a driver is no failure: what keeps it from its GPUs is told meanwhile, and looked for again.
Neither is a driver of another version than its library at first, since an upgrade replaces one after the
other. But a process has the library that it has loaded for good, and a container the one that it was
started with. So a search that has heard nothing else for as long as the guard waits ends by OtherVersion,
and with it the agent: the kubelet starts a container with the library of then.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from loadline_agent.hardware.guard import UNMATCHED_FOR_S
from loadline_agent.hardware.node_gpus import NodeGpus
from loadline_agent.hardware.nvml import OtherVersion
from loadline_api.reasons import Reason
from loadline_policies.errors import HardwareError

AGAIN_S: Final = 30.0
"""How often a node without a driver looks for one. Chosen."""

NOT_LOOKED: Final = "the agent has not looked for the driver yet"

log = structlog.get_logger("loadline.agent")


class DriverSearch:
    """One search. `open` raises HardwareError while there is no driver."""

    def __init__(self, open: Callable[[], NodeGpus], node: str, *, clock: Callable[[], float]) -> None:
        self._open, self._node, self._clock = open, node, clock
        self._missing: dict[str, str] = {}
        self._unmatched_since_s: float | None = None

    @property
    def missing(self) -> dict[str, str]:
        """Why there are no GPUs yet, by the word for it."""
        return self._missing or {Reason.DRIVER_MISSING.value: NOT_LOOKED}

    @property
    def looked(self) -> bool:
        """Whether the driver was looked for, and why it wasn't found is known."""
        return bool(self._missing)

    async def run(self, stop: asyncio.Event) -> NodeGpus | None:
        """The node's GPUs, none if it has none; None where `stop` is set before that is known.

        Raises OtherVersion where only a new container can have the driver's library.
        """
        while not stop.is_set():
            found = self.look()
            if found is not None:
                return found
            try:
                await asyncio.wait_for(stop.wait(), AGAIN_S)
            except TimeoutError:
                continue
        return None

    def look(self) -> NodeGpus | None:
        """Look once; None while there is no driver."""
        before = self._missing
        try:
            node_gpus = self._open()
        except OtherVersion as error:
            self._missing = {Reason.DRIVER_MISMATCH.value: str(error)}
            self._wait_or_end(error)
        except HardwareError as error:
            self._missing = {Reason.DRIVER_MISSING.value: str(error)}
            self._unmatched_since_s = None
        else:
            if not node_gpus.infos:
                log.warning("no GPUs: this node counts with its host alone", node=self._node)
            return node_gpus
        if self._missing != before:
            log.warning("no driver", node=self._node, faults=self._missing)
        return None

    def _wait_or_end(self, error: OtherVersion) -> None:
        now = self._clock()
        if self._unmatched_since_s is None:
            self._unmatched_since_s = now
        if now - self._unmatched_since_s >= UNMATCHED_FOR_S:
            raise error
