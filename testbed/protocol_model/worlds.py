"""
The whole row at one second: nodes, leaders, the breaker's true heat, and how long a fault excuses the row.

A world is one frozen value, so that a run can branch and two equal worlds are known to be equal.
"""

from collections.abc import Callable
from dataclasses import dataclass

from testbed.protocol_model import nodes
from testbed.protocol_model.heat import WARM
from testbed.protocol_model.leaders import Leader
from testbed.protocol_model.nodes import Node
from testbed.protocol_model.setups import Setup
from testbed.protocol_model.values import changed


@dataclass(frozen=True, kw_only=True)
class World:
    """The truth of a row.

    `budget_watts` is what the domain declares, `known_watts` what the last leader has read of it.
    `leading` has at most two leaders, the older first; `unrenewed_s` is the age of the Kubernetes
    Lease's last renewal. `excused_s` tells for each node how long its last fault still excuses the
    row, `bad_s` since when it truly can't fall to its safe limit. `settled` is True from the first
    plan that all acknowledged; `calm_s` counts from the adversary's last event,
    `gave_up_s` down from a leader's giving up for hearing too few. `unborne` says that more than the
    breaker bears fell to nobody while there was no leader to plan: then heat is nobody's promise until
    a leader has counted it. `hidden` says that a silent node has forgotten its limit: its heat is
    counted too low, for 30 s, until the count has caught up.
    """

    nodes: tuple[Node, ...]
    budget_watts: int
    known_watts: int
    leading: tuple[Leader, ...] = ()
    epochs: int = 0
    busy: bool = True
    api: bool = True
    unrenewed_s: int = 0
    heat: float = WARM
    excused_s: tuple[int, ...] = ()
    bad_s: tuple[int, ...] = ()
    settled: bool = False
    calm_s: int = 0
    rose_at_deadline: bool = False
    releasing: int = 0
    gave_up_s: int = 0
    unborne: bool = False
    hidden: bool = False

    @property
    def leader(self) -> Leader | None:
        return self.leading[-1] if self.leading else None

    @property
    def counted(self) -> tuple[Node, ...]:
        """The nodes on this row's breaker that the promise is about: selected, or still armed."""
        return tuple(node for node in self.nodes if node.selected or node.bound is not None)


def begun(setup: Setup, *, busy: bool = True) -> World:
    """A row that nobody has armed yet."""
    count = len(setup.gpus)
    return World(
        nodes=tuple(nodes.fresh(gpu) for gpu in setup.gpus),
        budget_watts=setup.budget_watts,
        known_watts=setup.budget_watts,
        busy=busy,
        unrenewed_s=setup.times.kube_lease_s,
        heat=WARM if setup.counts_heat else 0.0,
        excused_s=(0,) * count,
        bad_s=(0,) * count,
    )


def with_node(world: World, index: int, change: Callable[[Node], Node]) -> World:
    rows = world.nodes
    return changed(world, nodes=(*rows[:index], change(rows[index]), *rows[index + 1 :]))
