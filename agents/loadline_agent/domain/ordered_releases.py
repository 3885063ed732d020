"""
Has the node released by a person's order, from taking it to the answer.

The order lies in the state directory (`release_orders`); what it does to the node's place in the
protocol is for `nodes` to say. Here it is tried as often as any release, in the thread of the
GPUs, written down, and answered with what was read back.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from loadline_agent.hardware.gpu_thread import GpuThread
from loadline_agent.hardware.limits import SETTLE_S
from loadline_agent.hardware.node_gpus import Done, NodeGpus
from loadline_agent.hardware.release_orders import Answer, ReleaseOrders
from loadline_api.journals import Journal
from loadline_policies.errors import HardwareError
from loadline_policies.power.protocol.node_states import NodeState
from loadline_policies.power.protocol.release_tries import TRIES

HELD_OFF_S: Final = 60.0
"""How long the guard is held off while limits go back. Chosen: longer than all tries."""

LOOK_EVERY_S: Final = 1.0
"""How often the state directory is looked at: the agent is polled several times a second. Chosen."""


class OrderedReleases:
    """Orders of one state directory, and their answers; `count` is told of every try."""

    def __init__(
        self,
        orders: ReleaseOrders,
        node_gpus: NodeGpus,
        gpu_thread: GpuThread,
        *,
        node: str,
        journal: Journal,
        clock: Callable[[], float],
        count: Callable[[Done], None],
    ) -> None:
        self._orders, self._node_gpus, self._gpu_thread = orders, node_gpus, gpu_thread
        self._node, self._journal, self._clock, self._count = node, journal, clock, count
        self._look_from_s = float("-inf")

    def take(self, *, armed: bool) -> bool:
        """Whether to release now; where nothing is armed the order is answered at once."""
        now = self._clock()
        if now < self._look_from_s:
            return False
        self._look_from_s = now + LOOK_EVERY_S
        if not self._orders.take():
            return False
        if not armed:
            self._answer(Answer(released=True))
        return armed

    async def carry_out(self) -> NodeState:
        """Give back what was found, and answer; how it left the node. Never raises for a GPU or a disk."""
        errors: tuple[str, ...] = ()
        for _ in range(TRIES):
            errors = await self._attempt()
            if not self._gpu_thread.state.armed:
                break
            await asyncio.sleep(SETTLE_S)
        left = await self._gpu_thread.do(lambda: self._node_gpus.left)
        state = self._gpu_thread.state
        self._journal.write(
            "leaf/release",
            kind="Node",
            name=self._node,
            observation={"now_s": self._clock()},
            decision={"armed": state.armed, "left": list(left), "errors": list(errors)},
            reason="ordered on the node",
        )
        self._answer(Answer(not state.armed, left))
        return state

    async def _attempt(self) -> tuple[str, ...]:
        try:
            done = await self._gpu_thread.do(self._restore)
        except (OSError, HardwareError) as error:
            return (str(error),)
        self._count(done)
        return tuple(map(str, done.errors))

    def _restore(self) -> Done:
        return self._node_gpus.restore(self._clock() + HELD_OFF_S)

    def _answer(self, answer: Answer) -> None:
        with suppress(OSError):  # whoever asked gives up in time, and sees the NodeCapacity
            self._orders.answer(answer)
