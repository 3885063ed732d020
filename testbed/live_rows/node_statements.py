"""What the NodeCapacity of a node says, against the truth of that node; only its agent can correct it."""

from typing import Final

from loadline_api.conditions import ConditionType
from loadline_api.reasons import Reason
from testbed.live_rows.sights import Contradictions, Sight
from testbed.live_rows.truths import names_gpus

AGAIN_WITHIN_S: Final = 60.0
"""A setter that works again is proven by three writes over 30 s, one each 10 s."""

SAME_WATTS: Final = 1.5
"""Limits are told in whole watts, and a GPU that isn't able is ordered a watt less now and then."""


def settable(sight: Sight) -> Contradictions:
    """`LimitsSettable` names all GPUs whose setters refuse, and no others but those that can't be read."""
    said, truth = sight.said, sight.truth
    for node in sight.running:
        one = said.of_node(node, ConditionType.LIMITS_SETTABLE)
        if one is None:
            continue
        dead, silent = set(truth.dead[node]), truth.silent(node)
        fixed = {
            uuid
            for uuid in truth.uuids[node]
            if truth.at_s - truth.healed_s.get(uuid, float("-inf")) < AGAIN_WITHIN_S
        }
        named = names_gpus(one.message, truth.uuids[node]) if one.status == "False" else set()
        if dead - named:
            yield node, f"LimitsSettable={one.status} names {len(named)} GPUs, {len(dead)} refuse"
        elif silent and one.status == "True":
            yield node, f"LimitsSettable=True, and {len(silent)} GPUs can't be read"
        elif named - dead - fixed - truth.may_be_told(node, for_s=AGAIN_WITHIN_S) or (
            one.status == "False" and not named
        ):
            yield node, f"LimitsSettable=False/{one.reason}: {one.message[:60]}…, and none refuses"


def conflict(sight: Sight) -> Contradictions:
    """`Conflict` tells of a stranger from its second write on, and of domains that both select the node."""
    said, truth = sight.said, sight.truth
    for node in sight.running:
        one = said.of_node(node, ConditionType.CONFLICT)
        times = truth.foreign_s[node]
        if one is None:
            continue
        if len(times) > 1 and one.status != "True":
            yield node, f"Conflict={one.status}, and a stranger wrote {len(times)} times"
        elif one.reason == Reason.OTHER_WRITER and not times:
            yield node, f"Conflict=True/OtherWriter ({one.message[:80]}…), and nobody else wrote"
        elif truth.claims > 1 and one.status != "True":
            yield node, f"Conflict={one.status}, and {truth.claims} domains select it"
        elif truth.claims < 2 and one.reason == Reason.NODE_CLAIMED_TWICE:
            yield node, "Conflict=True/NodeClaimedTwice, and one domain selects it"


def armed(sight: Sight) -> Contradictions:
    """`Enforcing` of the node is what its record says."""
    for node in sight.running:
        one, record = sight.said.of_node(node, ConditionType.ENFORCING), sight.truth.records[node]
        if one is not None and record is not None and (one.status == "True") != record.armed:
            yield node, f"Enforcing={one.status} of the node, and its record says armed={record.armed}"


def gpus_ready(sight: Sight) -> Contradictions:
    """`GpusReady` names all GPUs that can't be read, or tell what can't be, and no others."""
    for node in sight.running:
        one, truth = sight.said.of_node(node, ConditionType.GPUS_READY), sight.truth
        if one is None:
            continue
        faulty = truth.faulty(node)
        named = names_gpus(one.message, truth.uuids[node]) if one.status == "False" else set()
        if faulty - named:
            yield node, f"GpusReady={one.status} names {len(named)} GPUs, {len(faulty)} don't answer"
        elif named - truth.may_be_told(node) or (one.status != "True" and not named):
            yield node, f"GpusReady={one.status}/{one.reason}: {one.message[:60]}…, and every GPU answers"


def limits(sight: Sight) -> Contradictions:
    """`enforcedWatts` are the limits in force; none is told of a GPU that can't be read.

    Each number that is told is a sentence of its own, or limits that move every few seconds would always lag.
    """
    for node in sight.running:
        if node not in sight.said.nodes:
            continue
        told = {gpu.uuid: gpu.enforced_watts for gpu in sight.said.nodes[node].status.gpus}
        held = zip(sight.truth.uuids[node], sight.truth.limits_watts[node], strict=True)
        silent, unknown = sight.truth.silent(node), sight.truth.may_be_told(node)
        wrong = {}
        for uuid, watts in held:
            says = told.get(uuid)
            if uuid in silent and says is not None:
                wrong[f"{node}, {uuid}"] = f"enforcedWatts is {says}, and it can't be read"
            elif uuid not in unknown and abs((says or 0) - watts) > SAME_WATTS:
                wrong[f"{node}, {says} W"] = f"enforcedWatts is {says}, and {watts:.0f} W are in force"
        yield from wrong.items()
