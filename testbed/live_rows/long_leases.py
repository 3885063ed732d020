"""
A lease of 45 s, which nobody takes, and the longest that there is, which only a gentle curve bears.

The API server refuses the first by name, value and fix. What it takes, operator and coordinator hold
against the curve: a lease that is too long for it leaves the last good declaration in force, and both
say so.
"""

import math
from typing import Final

from loadline_policies.power.protocol.bounds import LEASE_SECONDS
from loadline_policies.power.safety.breakers import FOREVER, WARM, Curve
from loadline_policies.power.safety.safe_states import Timings
from testbed.cluster.errors import ApiError
from testbed.fakegpu.board import boottime
from testbed.live_rows import rows
from testbed.live_rows.leader_deaths import RESTARTED_AFTER_S, LeaderKiller
from testbed.live_rows.rows import CALM, NODES, PEAK
from testbed.live_rows.stages import Stage

GENTLE: Final = Curve(points=((1.05, FOREVER), (1.10, 900.0), (1.30, 150.0)))
"""Bears the row at its maximum for 96 s when warm: twice a reaction with the longest lease takes 66 s."""


def long_lease_refused(stage: Stage) -> None:
    """A lease of 45 s, then the longest there is, under a curve that bears neither."""
    _ask_for_45(stage)
    stage.row.patch(leaseSeconds=LEASE_SECONDS[1])
    stage.judge.watch(10.0)
    _show_lease(stage, borne=False)
    stage.demand(PEAK, for_s=25.0)
    stage.show(
        "leases_stay_short", _longest_s(stage) <= 4.5, f"the longest lease left is {_longest_s(stage):.1f} s"
    )
    stage.row.patch(leaseSeconds=4)
    stage.demand(CALM, for_s=15.0)


def long_lease_borne(stage: Stage) -> None:
    """The longest lease under a curve that bears it; then the leader dies at the worst moment."""
    _ask_for_45(stage)
    stage.row.patch(leaseSeconds=LEASE_SECONDS[1])
    stage.judge.watch(10.0)
    _show_lease(stage, borne=True)
    longest_s = _longest_s(stage)
    stage.show("leases_are_long", longest_s > 20.0, f"the longest lease left is {longest_s:.1f} s")
    killer = LeaderKiller(stage)
    stage.judge.until(killer.ready, within_s=30.0)
    killer.armed = True
    stage.demand(PEAK, for_s=RESTARTED_AFTER_S)
    killer.restart()
    stage.judge.watch(45.0)
    stage.demand(CALM, for_s=30.0)
    stage.show("leaders_killed", killer.kills == 1, f"{killer.kills} times, at a load of {killer.loads}")


def _ask_for_45(stage: Stage) -> None:
    stage.tell("a lease of 45 s is asked for")
    try:
        stage.row.patch(leaseSeconds=45)
        answer = "it was taken"
    except ApiError as error:
        answer = str(error)
    said = "leaseSeconds" in answer and "45" in answer and str(LEASE_SECONDS[1]) in answer
    stage.show("45_s_refused_by_name_value_and_fix", said, answer)


def _show_lease(stage: Stage, *, borne: bool) -> None:
    """Whether operator and coordinator say of the long lease what the curve says of it."""
    warm_s = (1.0 - WARM) * stage.row.curve.trip_s(rows.nameplate_load())
    twice_s = 2 * Timings(lease_s=LEASE_SECONDS[1]).reaction_s
    assert (warm_s >= twice_s) is borne, f"the curve bears {warm_s:.1f} s, and {twice_s:.1f} s are needed"
    said = stage.judge.said
    assert said is not None
    for type in ("Enforceable", "Enforcing"):
        found = [one for one in said.domains[rows.DOMAIN].status.conditions if one.type == type]
        reason = found[0].reason if found else "nothing"
        right = (reason == "ReactionTooSlow") is not borne
        stage.show(f"{type}_says_which", right, f"{type}: {reason}: {found[0].message if found else ''}")


def _longest_s(stage: Stage) -> float:
    """The longest time that a node's lease has left, by the records."""
    records = [stage.row.record(node) for node in NODES]
    left = [record.deadline_s - boottime() for record in records if record is not None and record.armed]
    return max(left, default=-math.inf)
