"""Attacks on a live row, each some minutes of real time, in which it must keep all its promises."""

from typing import Final

from testbed.live_rows import rows
from testbed.live_rows.bad_policies import bad_policy, bad_policy_leader_killed
from testbed.live_rows.driver_reloads import driver_reload
from testbed.live_rows.leader_deaths import QUICK, leader_killed
from testbed.live_rows.long_leases import GENTLE, long_lease_borne, long_lease_refused
from testbed.live_rows.rows import CALM, LABELS, NODES, NOWHERE, PEAK, STEEP
from testbed.live_rows.stages import Scenario, Stage
from testbed.live_rows.unreadable_gpus import unreadable_gpu


def dead_setters(stage: Stage) -> None:
    """Two of five nodes can't be set any more, which nobody can know until the peak; later they can."""
    dead_setters_at_peak(stage, for_s=60.0)
    stage.demand(CALM, for_s=10.0)
    stage.tell("the setters work again")
    stage.row.heal_setters()
    stage.demand(PEAK, for_s=65.0)
    stage.demand(CALM, for_s=10.0)


def dead_setters_at_peak(stage: Stage, for_s: float = 52.0) -> None:
    """The first half of it: the setters die in calm, and the row is asked for all that it has."""
    stage.tell("the setters of node-1 and node-3 die")
    stage.row.fail_setters("node-1", "node-3")
    stage.judge.watch(3.0)
    stage.demand(PEAK, for_s=for_s)
    truth = stage.judge.truth
    refuse = sum(map(len, truth.dead.values())) if truth is not None else 0
    stage.show("all_dead_setters_were_tried", refuse == 2 * rows.GPUS, f"{refuse} GPUs have refused a write")
    load = stage.row.plant.load
    stage.show("within_budget_at_the_end", load <= 1.001, f"the true load is {load:.3f}")


def stranger(stage: Stage) -> None:
    """Somebody writes the maximum on three nodes every four seconds, at peak, and stops again."""
    stage.demand(PEAK, for_s=5.0)
    stage.tell("a stranger writes on node-0, node-1 and node-2")
    strangers = [stage.row.haunt(node, every_s=4.0) for node in NODES[:3]]
    stage.judge.watch(75.0)
    for process in strangers:
        process.kill()
    stage.tell("the stranger is gone")
    truth = stage.judge.truth
    writes = {node: len(times) for node, times in truth.foreign_s.items()} if truth is not None else {}
    haunted = all(writes.get(node, 0) > 10 for node in NODES[:3])
    stage.show("the_stranger_wrote", haunted, f"writes seen: {writes}")
    stage.demand(PEAK, for_s=15.0)
    stage.demand(CALM, for_s=15.0)


def rival(stage: Stage) -> None:
    """A younger domain in Observe selects the same nodes; then an older one does, by an edit."""
    younger = rows.domain("younger", stage.row.curve, mode="Observe")
    stage.tell("a younger rival in Observe selects the same nodes")
    stage.row.bed.apply([younger])
    stage.demand(PEAK, for_s=15.0)
    stage.demand(CALM, for_s=10.0)
    stage.row.bed.client.delete(stage.row.bed.client.path_of(younger))
    stage.judge.watch(12.0)
    stage.tell("an older rival in Observe selects them too")
    stage.row.patch("older", nodeSelector={"matchLabels": LABELS})
    stage.demand(PEAK, for_s=20.0)
    stage.demand(CALM, for_s=15.0)
    stage.row.patch("older", nodeSelector={"matchLabels": NOWHERE})
    stage.judge.watch(15.0)


SCENARIOS: Final = {
    "dead-setters": Scenario(title="setters dead on two of five nodes, at peak", attack=dead_setters),
    "stranger": Scenario(title="a stranger writes the maximum on three nodes", attack=stranger),
    "rival": Scenario(
        title="rivals in Observe select the same nodes",
        attack=rival,
        early=(rows.domain("older", STEEP, mode="Observe", labels=NOWHERE),),
    ),
    "bad-policy": Scenario(
        title="five policy documents that can't be used, at peak, and a good one", attack=bad_policy
    ),
    "bad-policy-leader-killed": Scenario(
        title="the leader dies while a typo stands in the policy", attack=bad_policy_leader_killed
    ),
    "unreadable-gpu": Scenario(
        title="four GPUs of three nodes unreadable, lost or implausible, at peak", attack=unreadable_gpu
    ),
    "driver-reload": Scenario(
        title="a follower's driver and the leader's are loaded anew, at peak", attack=driver_reload
    ),
    "leader-killed": Scenario(
        title="the leader is killed at the worst moment, ten times", attack=leader_killed, curve=QUICK
    ),
    "long-lease-refused": Scenario(
        title="a lease of 45 s, and of 30 s, not borne", attack=long_lease_refused
    ),
    "long-lease-borne": Scenario(
        title="a lease of 45 s, and of 30 s, which is borne", attack=long_lease_borne, curve=GENTLE
    ),
}
