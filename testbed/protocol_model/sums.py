"""
The sums over a leader's members that its decisions go by, in watts.

What is counted is what the plan relies on, the total is what the evidence allows, and the draw is
what sensors show or silent members may draw.
"""

from testbed.protocol_model.leaders import Leader
from testbed.protocol_model.setups import Setup


def total_watts(leader: Leader, setup: Setup) -> int:
    """The sum by which the policy leads: each member at its worst, or at what is counted if that is more."""
    times, rule = setup.times, setup.rule
    return sum(max(m.counted_watts(times, rule), m.worst_watts(times)) for m in leader.present)


def above_borne(leader: Leader, setup: Setup) -> bool:
    """Whether that sum is more than the breaker bears, so that the policy doesn't lead."""
    return total_watts(leader, setup) > setup.borne_watts(leader.budget_watts)


def counted_watts(leader: Leader, setup: Setup) -> int:
    """S1's sum."""
    return sum(m.counted_watts(setup.times, setup.rule) for m in leader.present)


def drawn_watts(leader: Leader, setup: Setup) -> int:
    """What the row draws, as far as the leader sees: sensors, or what silent members may draw."""
    return sum(
        m.report.drawn_watts
        if m.report is not None and m.heard(setup.times)
        else m.holds_watts
        if m.report is not None and m.silent_s <= setup.times.forgotten_after_s
        else m.highest_watts
        for m in leader.present
    )


def ceiling(leader: Leader, setup: Setup) -> float:
    """The heat up to which limits may lie above safe."""
    times = setup.times
    load = sum(m.highest_watts for m in leader.present) / leader.budget_watts
    return setup.curve.ceiling(load, reaction_s=times.reaction_s + times.settle_s)
