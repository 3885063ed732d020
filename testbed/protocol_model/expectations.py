"""
What a named test is made of: its schedule, the end that is expected, and what an end is read from.
"""

from collections.abc import Callable
from dataclasses import dataclass

from testbed.protocol_model.schedules import Schedule
from testbed.protocol_model.setups import Setup, row
from testbed.protocol_model.worlds import World


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One named test: a schedule, and the end that is expected, in words and as a question."""

    name: str
    expected: str
    setup: Setup
    schedule: Schedule
    end: Callable[[World], bool]
    last_s: int = 95


def led(world: World) -> bool:
    """Whether a leader leads, and the rule doesn't hold the row."""
    return world.leader is not None and not world.leader.held


def able(world: World) -> int:
    """How many nodes say that they fall by themselves."""
    return sum(node.able for node in world.nodes)


def given(world: World) -> list[int | None]:
    """The safe limits that the plan in force sends."""
    return [member.given_watts for member in world.leader.present] if world.leader else []


def planned(world: World) -> list[int]:
    rows = world.leader.members if world.leader else ()
    return [index for index, member in enumerate(rows) if member is not None and member.planned]


def limits(world: World) -> list[int]:
    return [node.gpu.requested_watts for node in world.nodes]


def armed(world: World) -> list[int]:
    """The nodes that a record binds."""
    return [index for index, node in enumerate(world.nodes) if node.bound is not None]


def whole(world: World) -> bool:
    """Led, nobody planned for, everybody able."""
    return led(world) and not planned(world) and able(world) == len(world.nodes)


TEN = row(10, budget_watts=5200)


THREE = row(3, budget_watts=1560)


FOUR = row(4, budget_watts=2400)
