"""
What can go wrong with a row, as events: each is one change of the truth, at the begin of a second.

An event that changes nothing is allowed, so that a schedule stays valid while it is shrunk. What
an event excuses (the promise bears a fault for a while) is written down here beside it, since both
are the adversary's side of the contract.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from testbed.protocol_model.nodes import Node
from testbed.protocol_model.setups import Setup
from testbed.protocol_model.values import changed
from testbed.protocol_model.worlds import World, with_node


class Kind(StrEnum):
    """One kind of event; the words are those that a schedule is printed in."""

    BREAK = "its setter fails from now on"
    FIX = "its setter works again"
    BLIND = "its limit can't be read from now on"
    SEE = "its limit can be read again"
    MUTE = "its reports are lost from now on"
    DEAFEN = "its answers are lost from now on"
    LATE = "its answers take a second from now on"
    CONNECT = "it is connected again"
    DIE = "agent and guard die"
    HANG = "the agent dies, its guard lives"
    REVIVE = "agent and guard are back"
    REBOOT = "it reboots and forgets its limit"
    RESET = "its driver is reset and forgets its limit"
    FOREIGN = "somebody else sets its limit"
    CAP = "a BMC caps it (0 W: no longer)"
    UNRECORD = "its record can't be written from now on"
    RECORD = "its record can be written again"
    LEAVE = "the domain selects it no longer"
    JOIN = "the domain selects it"
    BUDGET = "the budget is edited"
    BUSY = "the row is busy"
    IDLE = "the row is idle"
    DEPOSE = "the leader dies"
    ISOLATE = "the newest leader can't reach the API server any more"
    UNHEAR = "the newest leader can't hear it any more"
    STAY = "it reports to the older of two leaders"
    TURN = "it reports to the newest leader"
    API_DOWN = "the API server is away"
    API_UP = "the API server is back"


@dataclass(frozen=True)
class Event:
    """One event; `node` and `watts` matter to some kinds only."""

    kind: Kind
    node: int = 0
    watts: int = 0

    def __str__(self) -> str:
        return f"node {self.node}: {self.kind}" + (f" ({self.watts} W)" if self.watts else "")


NODE_CHANGES: dict[Kind, dict[str, Any]] = {
    Kind.MUTE: {"heard": False},
    Kind.DEAFEN: {"answered": False},
    Kind.LATE: {"late": True},
    Kind.CONNECT: {"heard": True, "answered": True, "late": False, "coming": None},
    Kind.DIE: {"agent": False, "guard": False},
    Kind.HANG: {"agent": False},
    Kind.REVIVE: {"agent": True, "guard": True},
    Kind.STAY: {"stays": True},
    Kind.TURN: {"stays": False},
    Kind.UNRECORD: {"recordable": False},
    Kind.RECORD: {"recordable": True},
}
"""Events that set fields of a node."""

GPU_CHANGES: dict[Kind, dict[str, Any]] = {
    Kind.BREAK: {"settable": False},
    Kind.FIX: {"settable": True},
    Kind.BLIND: {"readable": False},
    Kind.SEE: {"readable": True},
}
"""Events that set fields of a GPU."""

FAULTS = frozenset(
    {
        Kind.BREAK,
        Kind.BLIND,
        Kind.MUTE,
        Kind.DEAFEN,
        Kind.DIE,
        Kind.HANG,
        Kind.REBOOT,
        Kind.RESET,
        Kind.FOREIGN,
        Kind.UNRECORD,
        Kind.UNHEAR,
    }
)
"""Events from which the promise is excused for a while."""


CHANGES = frozenset({Kind.JOIN, Kind.LEAVE})
"""Events that are nobody's fault, and that make the sum too high for a while all the same."""


def struck(world: World, event: Event, setup: Setup) -> World:
    world = changed(_changed(world, event, setup), calm_s=0)
    excusing = FAULTS | CHANGES if setup.rule.changes_are_excused else FAULTS
    return _excused(world, event, setup) if event.kind in excusing else world


def _changed(world: World, event: Event, setup: Setup) -> World:
    kind = event.kind
    if kind in NODE_CHANGES:
        return with_node(world, event.node, lambda node: changed(node, **NODE_CHANGES[kind]))
    if kind in GPU_CHANGES:
        return with_node(world, event.node, lambda node: _gpu(node, **GPU_CHANGES[kind]))
    if kind in (Kind.REBOOT, Kind.RESET, Kind.FOREIGN, Kind.CAP):
        return with_node(world, event.node, lambda node: _limit_changed(node, event))
    if kind in (Kind.LEAVE, Kind.JOIN):
        return with_node(world, event.node, lambda node: changed(node, selected=kind is Kind.JOIN))
    if kind in (Kind.DEPOSE, Kind.ISOLATE, Kind.UNHEAR):
        return _leaders_changed(world, event)
    if kind is Kind.BUDGET:
        return changed(world, budget_watts=event.watts)
    if kind in (Kind.BUSY, Kind.IDLE):
        return changed(world, busy=kind is Kind.BUSY)
    return changed(world, api=kind is Kind.API_UP)


def _gpu(node: Node, **changes: Any) -> Node:
    return changed(node, gpu=changed(node.gpu, **changes))


def _limit_changed(node: Node, event: Event) -> Node:
    gpu = node.gpu
    if event.kind is Kind.REBOOT:
        return changed(node, gpu=gpu.rebooted(), lease=None, lease_left_s=0, agent=True, guard=True)
    if event.kind is Kind.RESET:
        return changed(node, gpu=gpu.reset())
    if event.kind is Kind.CAP:
        return _gpu(node, cap_watts=event.watts or None)
    return _gpu(node, requested_watts=max(gpu.lowest_watts, min(gpu.highest_watts, event.watts)))


def _leaders_changed(world: World, event: Event) -> World:
    leader = world.leader
    if leader is None:
        return world
    if event.kind is Kind.DEPOSE:
        return changed(world, leading=world.leading[:-1])
    if event.kind is Kind.UNHEAR:
        leader = changed(leader, deaf_to=leader.deaf_to | {event.node})
    else:
        leader = changed(leader, reaches_api=False)
    return changed(world, leading=(*world.leading[:-1], leader))


def _excused(world: World, event: Event, setup: Setup) -> World:
    """A fault excuses the row from when it could first be seen; on a silent node that is later."""
    node, times = world.nodes[event.node], setup.times
    unheard = not (node.heard and node.agent) or event.kind in (Kind.UNHEAR, Kind.DEAFEN)
    left_s = times.excused_s + unheard * (times.silent_after_s + times.forgotten_after_s)
    rows = world.excused_s
    return changed(
        world,
        excused_s=(*rows[: event.node], max(rows[event.node], left_s), *rows[event.node + 1 :]),
    )
