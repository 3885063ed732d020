"""
One second of a whole row: the adversary first, then elections, looks, exchanges, writes, and the breaker.

`step` is the only way from one world to the next; it is pure, so a schedule of events is a run.
"""

from collections.abc import Sequence

from testbed.protocol_model import decisions, leaders, nodes
from testbed.protocol_model.adversaries import Event, struck
from testbed.protocol_model.leaders import Leader
from testbed.protocol_model.nodes import Node
from testbed.protocol_model.setups import Setup
from testbed.protocol_model.values import changed
from testbed.protocol_model.worlds import World


def step(world: World, events: Sequence[Event], setup: Setup) -> World:
    """The world one second later."""
    world = changed(world, calm_s=min(world.calm_s + 1, 2 * setup.times.in_u_s))
    for event in events:
        world = struck(world, event, setup)
    world = _edit_read(_elected(world, setup), setup)
    world = changed(world, nodes=tuple(nodes.looked(node, setup.times) for node in world.nodes))
    world = _exchanged(world, setup)
    before, world = world, _acted(world, setup)
    return _judged(before, world, setup=setup)


def _elected(world: World, setup: Setup) -> World:
    """Age and renew the leaders, drop those that are over, elect one where the Kubernetes Lease is free."""
    aged = [
        leaders.aged(_declared(leader, world), setup, api=world.api and leader.reaches_api)
        for leader in world.leading
        if not leader.over
    ]
    renewed = world.api and bool(aged) and aged[-1].reaches_api
    given_up = any(leader.over for leader in world.leading[-1:])
    unrenewed_s = setup.times.kube_lease_s if given_up else 0 if renewed else world.unrenewed_s + 1
    gave_up_s = setup.times.return_memory_s if given_up else max(0, world.gave_up_s - 1)
    world = changed(
        world,
        leading=tuple(aged),
        unrenewed_s=min(unrenewed_s, setup.times.kube_lease_s),
        gave_up_s=gave_up_s,
    )
    if not world.api or world.unrenewed_s < setup.times.kube_lease_s:
        return world
    epoch = world.epochs + 1
    fresh = leaders.elected(
        epoch, setup, budget_watts=world.budget_watts, selected=[node.selected for node in world.nodes]
    )
    fresh = changed(fresh, only=world.gave_up_s > 0 or len(world.nodes) == 1)
    return changed(world, leading=(*world.leading[-1:], fresh), epochs=epoch, unrenewed_s=0)


def _edit_read(world: World, setup: Setup) -> World:
    """A lower budget counts, and excuses the row for a while, from when a leader has read it."""
    read = any(leader.budget_watts == world.budget_watts for leader in world.leading)
    if not read or world.known_watts == world.budget_watts:
        return world
    left_s = setup.times.excused_s if setup.rule.changes_are_excused else 0
    return changed(
        world,
        known_watts=world.budget_watts,
        excused_s=tuple(max(left_s, each) for each in world.excused_s),
    )


def _declared(leader: Leader, world: World) -> Leader:
    """The leader with the domain's declaration, if it can read it."""
    if not (world.api and leader.reaches_api):
        return leader
    rows = tuple(
        leaders.selected(member, node.selected, node.gpu)
        for member, node in zip(leader.members, world.nodes, strict=True)
    )
    return changed(leader, budget_watts=world.budget_watts, members=rows)


def _exchanged(world: World, setup: Setup) -> World:
    """Each node reports to one leader; leaders decide; those whose report came in get an answer."""
    rows = list(world.nodes)
    after = []
    for leader in world.leading:
        asking = [
            index
            for index, node in enumerate(rows)
            if node.agent and node.heard and _addressed(node, index, world) is leader
        ]
        reports = {
            index: nodes.report_of(rows[index], busy=world.busy, times=setup.times) for index in asking
        }
        decided = decisions.decided(leaders.heard(leader, reports, setup), setup)
        decided, leases = decisions.answered(decided, asking, setup)
        for index in asking:
            lease = leases.get(index) if rows[index].answered else None
            rows[index] = nodes.answered(rows[index], lease, times=setup.times)
        after.append(decided)
    return changed(world, nodes=tuple(rows), leading=tuple(after))


def _addressed(node: Node, index: int, world: World) -> Leader | None:
    """The leader that the node reports to: the newest that can hear it, or the older one if it stays."""
    able = [leader for leader in world.leading if index not in leader.deaf_to]
    if not able:
        return None
    return able[0] if node.stays and node.lease_left_s > 0 else able[-1]


def _acted(world: World, setup: Setup) -> World:
    """Every node writes, or steps down where no lease binds it."""
    after = tuple(nodes.acted(node, rule=setup.rule, times=setup.times) for node in world.nodes)
    rose = any(
        new.gpu.requested_watts > old.gpu.requested_watts
        for old, new in zip(world.nodes, after, strict=True)
        if old.lease_left_s == 0 or not old.agent
    )
    return changed(world, nodes=after, rose_at_deadline=rose)


def _drawn_watts(before: World, after: World) -> int:
    """What the row truly draws in this second: the limits of its begin, since writes settle at its end."""
    return sum(
        nodes.drawn_watts(old, busy=after.busy)
        for old, new in zip(before.nodes, after.nodes, strict=True)
        if new.selected or new.bound is not None
    )


def _judged(before: World, world: World, *, setup: Setup) -> World:
    """The breaker's true heat, and what the oracles have to remember."""
    heat = world.heat
    if setup.counts_heat:
        heat = setup.curve.heated(heat, load=_drawn_watts(before, world) / world.known_watts)
    excused_s = tuple(
        _excuse_left_s(left_s, node, world=world, setup=setup)
        for left_s, node in zip(world.excused_s, world.nodes, strict=True)
    )
    bad_s = tuple(
        min(age_s + 1, 2 * setup.times.in_u_s) if nodes.faulty(node) else 0
        for age_s, node in zip(world.bad_s, world.nodes, strict=True)
    )
    if setup.rule.changes_are_excused and _releasing(world) > world.releasing:
        excused_s = tuple(max(setup.times.excused_s, left_s) for left_s in excused_s)
    counted = world.leader is not None and world.leader.heat >= heat
    unborne = (world.unborne and not counted) or not world.settled or _unborne(world, setup)
    hidden = (world.hidden and not counted) or _hidden(world)
    settled = world.settled or _all_acknowledged(world)
    return changed(
        world,
        heat=heat,
        excused_s=excused_s,
        bad_s=bad_s,
        settled=settled,
        releasing=_releasing(world),
        unborne=unborne,
        hidden=hidden,
    )


def _unborne(world: World, setup: Setup) -> bool:
    """Whether nodes would fall to more than is borne while nobody leads them."""
    falls = sum(node.true_fall_watts for node in world.counted)
    return not _led(world, setup) and falls > setup.borne_watts(world.known_watts)


def _hidden(world: World) -> bool:
    """Whether a node that the leader doesn't hear may draw more than the leader believes."""
    leader = world.leader
    if leader is None:
        return False
    return any(
        member is not None and member.silent_s > 0 and node.gpu.requested_watts > member.holds_watts
        for member, node in zip(leader.members, world.nodes, strict=True)
    )


def _releasing(world: World) -> int:
    """How many members are under a release order."""
    return sum(member.releasing for member in world.leader.present) if world.leader else 0


def _excuse_left_s(left_s: int, node: Node, *, world: World, setup: Setup) -> int:
    """A setter that is dead and was not yet tried excuses on; so does the time without a leader."""
    if not node.gpu.settable and not node.proof.failing and node.bound is not None:
        return max(left_s, setup.times.excused_s)
    if left_s and setup.rule.excuse_waits_for_leader and not _led(world, setup):
        return left_s
    return max(0, left_s - 1)


def _led(world: World, setup: Setup) -> bool:
    leader = world.leader
    return leader is not None and not leaders.acquainting(leader, setup)


def _all_acknowledged(world: World) -> bool:
    leader = world.leader
    return leader is not None and all(
        member.report is not None and member.report.armed and member.acknowledged(held=False)
        for member in leader.present
    )
