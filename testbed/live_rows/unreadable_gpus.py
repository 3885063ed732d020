"""
GPUs that don't answer any more, or tell what can't be, while the row is asked for all that it has.

Two fall silent while the row is free, so that they hold their maximum and draw it; two more fail at the
peak, one off the bus and, beside one that is silent, one whose sensor tells ten times what a board can
draw. The others give for them, the status names them, and later they answer again.
"""

from functools import partial
from typing import Final

from loadline_api.conditions import ConditionType
from testbed.fakegpu.board import boottime
from testbed.live_rows.domain_statements import CAPPED_WATTS
from testbed.live_rows.node_statements import AGAIN_WITHIN_S
from testbed.live_rows.rows import CALM, MAX_WATTS, NODES, PEAK
from testbed.live_rows.stages import Stage
from testbed.live_rows.survivors import Survivors

TIMEOUT, UNKNOWN = 10, 999
IMPOSSIBLE_WATTS: Final = 4000.0
ALL_FAULTY_S: Final = 46.0
"""S1 is judged again 40 s after a fault."""


def unreadable_gpu(stage: Stage) -> None:
    """Four GPUs of three nodes fail, two in calm and two at the peak; then all of them heal."""
    survivors, outages = Survivors(stage.row), stage.row.outages
    stage.tell("a GPU of node-1 and one of node-3 answer no reading")
    outages.silence("node-1", 3, error=UNKNOWN)
    outages.silence("node-3", 5, error=TIMEOUT)
    stage.judge.watch(3.0)
    stage.demand(PEAK, for_s=8.0)
    stage.tell("one of node-0 is off the bus, another one of node-1 tells 4,000 W")
    outages.lose("node-0", 0)
    outages.garble("node-1", 7, watts=IMPOSSIBLE_WATTS)
    stage.judge.watch(ALL_FAULTY_S)
    _show_faults(stage)
    stage.tell("all GPUs answer again")
    outages.heal()
    _show_healed(stage, since_s=boottime())
    stage.demand(CALM, for_s=6.0)
    survivors.show(stage)


def _show_faults(stage: Stage) -> None:
    """Whether the GPUs are named and none of them is vouched for, and the others are held."""
    said, truth = stage.judge.said, stage.judge.truth
    assert said is not None
    assert truth is not None
    for one in truth.outages:
        condition = said.of_node(one.node, ConditionType.GPUS_READY)
        told = {gpu.uuid: gpu.enforced_watts for gpu in said.nodes[one.node].status.gpus}.get(one.uuid)
        named = condition is not None and condition.status == "False" and one.uuid in condition.message
        text = f"{condition.reason}: {condition.message}" if condition is not None else "nothing"
        right = named and (told is None) is one.kind.silent
        stage.show(f"{one.node}/{one.gpu}: named", right, f"{text}; enforcedWatts is {told}")
    others = [
        watts
        for node in NODES
        for uuid, watts in zip(truth.uuids[node], truth.limits_watts[node], strict=True)
        if uuid not in truth.silent(node)
    ]
    most_watts, load = max(others), stage.row.plant.load
    held = most_watts < MAX_WATTS - CAPPED_WATTS
    stage.show(
        "others_are_enforced", held, f"the highest limit of {len(others)} others is {most_watts:.0f} W"
    )
    stage.show("within_budget_at_the_end", load <= 1.001, f"the true load is {load:.3f}")


def _show_healed(stage: Stage, *, since_s: float) -> None:
    """Whether the nodes say soon that their GPUs answer, and after three good writes that they obey."""
    for type, within_s in ((ConditionType.GPUS_READY, 15.0), (ConditionType.LIMITS_SETTABLE, AGAIN_WITHIN_S)):
        so = stage.judge.until(partial(_all_say, stage, type), within_s=within_s)
        stage.show(f"{type}_again", so, f"of all nodes {boottime() - since_s:.1f} s after the GPUs healed")


def _all_say(stage: Stage, type: ConditionType) -> bool:
    """Whether a condition is True of every node."""
    said = stage.judge.said
    conditions = [said.of_node(node, type) for node in NODES] if said is not None else [None]
    return all(one is not None and one.status == "True" for one in conditions)
