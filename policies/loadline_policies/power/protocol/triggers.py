"""
How far a node may rise before it reports out of turn.

Everybody gets an equal share of half the headroom, the watts left until the policy
wants to decide again. Half, so that all shares together stay within the headroom
until it has halved; then they could hide a crossing, and are given anew.

A fall is told like a rise. Were only rises told, the coordinator would add up every
node's highest draw of the last second and cap a row that has room: near the thresholds
of the virtual demo its sum stood 2.1 % of the budget too high; so it is within 0.1 %.
"""

from loadline_policies.power.rows import Caps

LEAST_SLACK_SHARE = 0.005
"""Triggers never get closer than this share of the budget, all nodes together, or the row would only talk.

Chosen: half a point of the budget, well under the whole points in which thresholds are stated.
"""


def headroom_watts(caps: Caps, *, watts: float, budget_watts: float) -> float:
    """How far a row that draws `watts` may rise before its policy wants to decide again."""
    next_load = caps.next_load if watts > budget_watts else min(1.0, caps.next_load)
    return next_load * budget_watts - watts


def slack_watts(headroom: float, *, budget_watts: float, nodes: int) -> float:
    """One node's share of the headroom."""
    half = min(headroom, budget_watts) / 2
    return max(LEAST_SLACK_SHARE * budget_watts, half) / max(1, nodes)


def worth_telling(watts: float, *, told_watts: float, slack_watts: float) -> bool:
    """Whether a node that last told `told_watts` should report out of turn."""
    return abs(watts - told_watts) > slack_watts


def blinding(given_watts: float, *, headroom: float, budget_watts: float) -> bool:
    """Whether the slack that is out, all nodes together, could hide a crossing."""
    return given_watts > max(headroom, 2 * LEAST_SLACK_SHARE * budget_watts)
