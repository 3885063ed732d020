"""
GPUs that nobody can read, one by one or with their driver, and from when to when each is so.

A GPU that doesn't answer can't be lowered either, since nobody lowers a limit that he can't read. One
whose sensor tells what can't be is lowered as any other. When the fault is over the GPU answers at
once, but not everybody knows at once: who had opened a driver that is gone looks for another one
every ten seconds. So long, and no longer, both may be said of it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from loadline_agent.hardware.driver_watches import RELOAD_EVERY_S
from loadline_agent.hardware.sensors import TOLD_FOR_S
from loadline_policies.power.protocol.node_states import UNREADABLE_AFTER_S
from testbed.fakegpu.board import Board, boottime


class Kind(NamedTuple):
    """A way to fail: whether the GPU is `silent`, and for how long after its end it may still be told."""

    silent: bool
    told_for_s: float


UNREADABLE: Final = Kind(silent=True, told_for_s=1.0)
IMPLAUSIBLE: Final = Kind(silent=False, told_for_s=TOLD_FOR_S + 1.0)
DRIVERLESS: Final = Kind(silent=True, told_for_s=RELOAD_EVERY_S + 1.0)
"""One second of each is a sample, a look and the way to the status."""


COUNTED_AFTER_S: Final = UNREADABLE_AFTER_S + 1.0
"""A GPU counts at its maximum once its limit wasn't read for two seconds, and from the next report on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """One GPU's fault, and its time on the boot clock; `index` and `gpu` are its place on the board."""

    node: str
    index: int
    gpu: int
    uuid: str
    kind: Kind
    from_s: float
    until_s: float = math.inf

    def lasts(self, at_s: float) -> bool:
        """Whether the GPU is faulty then."""
        return self.from_s <= at_s < self.until_s

    def is_news(self, at_s: float) -> bool:
        """Whether it is silent since so lately that it can't count at its maximum yet."""
        return self.kind.silent and 0.0 <= at_s - self.from_s < COUNTED_AFTER_S

    @property
    def stays(self) -> bool:
        """Whether nobody can lower its limit now."""
        return self.kind.silent and self.until_s == math.inf

    def may_be_told(self, at_s: float, *, for_s: float = 0.0) -> bool:
        """Whether it is faulty, or was a moment ago, or so much earlier than that."""
        return self.from_s <= at_s < self.until_s + self.kind.told_for_s + for_s


class Outages:
    """Makes GPUs fail and heal; `known` is every outage so far. `on_change` is called after each change."""

    def __init__(self, board: Board, on_change: Callable[[], None]) -> None:
        self.known: tuple[Outage, ...] = ()
        self._board, self._on_change = board, on_change
        self._nodes = board.node_names

    def silence(self, node: str, gpu: int, *, error: int) -> None:
        """Let every reading of a GPU be answered with an error of NVML; its setter works."""
        self._board.fail(self._nodes.index(node), gpu, reads=error)
        self._begin(node, [gpu], UNREADABLE)

    def lose(self, node: str, gpu: int) -> None:
        """Let a GPU fall off the bus."""
        self._board.lose(self._nodes.index(node), gpu)
        self._begin(node, [gpu], UNREADABLE)

    def garble(self, node: str, gpu: int, *, watts: float) -> None:
        """Let a GPU's sensor tell these watts, whatever it draws."""
        self._board.stick(self._nodes.index(node), gpu, watts=watts)
        self._begin(node, [gpu], IMPLAUSIBLE)

    def heal(self) -> None:
        """Let each GPU that failed by itself answer again."""
        for one in self.known:
            if one.until_s == math.inf and one.kind is not DRIVERLESS:
                self._board.heal(one.index, one.gpu)
        self._end(lambda one: one.kind is not DRIVERLESS)

    def unload_driver(self, node: str) -> None:
        """Take a node's driver away, and with it all its limits."""
        self._board.unload_driver(self._nodes.index(node))
        self._begin(node, range(self._board.gpus.shape[1]), DRIVERLESS)

    def load_driver(self, node: str) -> None:
        """Load it anew: whoever looks for it finds it."""
        self._board.load_driver(self._nodes.index(node))
        self._end(lambda one: one.kind is DRIVERLESS and one.node == node)

    def _begin(self, node: str, gpus: "list[int] | range", kind: Kind) -> None:
        index, now = self._nodes.index(node), boottime()
        uuids = self._board.uuids(index)
        self.known += tuple(
            Outage(node=node, index=index, gpu=gpu, uuid=uuids[gpu], kind=kind, from_s=now) for gpu in gpus
        )
        self._on_change()

    def _end(self, over: Callable[[Outage], bool]) -> None:
        now = boottime()
        self.known = tuple(
            replace(one, until_s=now) if one.until_s == math.inf and over(one) else one for one in self.known
        )
        self._on_change()
