"""
How a service of ours is: what its pools' workloads and pods come to, as findings.

A service is ready when every pool of engines has as many ready replicas as asked for, all
made from the spec as it is now, and the router, where there is one, is ready and has
somebody to send requests to. What a pod finds wrong with itself comes before what its
Deployment complains of later, and a failure of one pool before the progress of another.
A service that nobody asked a replica of has nothing wrong with it, but nothing answers
either.

Pure, and the words stay the same while the state lasts: they are compared, and written
when they differ.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from loadline_api.conditions import ConditionType
from loadline_api.names import MAIN_POOL, PREFILL_POOL, ROUTER_POOL
from loadline_api.reasons import Reason
from loadline_operator.findings import Finding
from loadline_operator.services.facts import pods
from loadline_operator.services.facts.faults import PodFault
from loadline_operator.services.facts.owned_objects import Rollout
from loadline_operator.services.facts.pods import PodFact

Findings = dict[ConditionType, Finding]

WITHOUT_ENGINES = frozenset({Reason.PROGRESSING, Reason.PROBE_FAILING})
"""What becomes of a router that knows no engine yet or any more: the engines are the reason."""

PASSING = frozenset({Reason.PROGRESSING, Reason.SCALED_TO_ZERO})
"""Reasons that are no failure."""

OUT_OF_CAPACITY = frozenset({Reason.UNSCHEDULABLE, Reason.GPU_MISSING, Reason.QUOTA_EXCEEDED})

NOBODY_KNOWS = frozenset({Reason.SCHEDULING_GATED, Reason.NOT_SCHEDULED, Reason.NOT_TOLD})
"""Reasons of pods of which nobody has said yet whether they find room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolView:
    """One pool: how many were asked for, what its workload tells, and its pods."""

    name: str
    workload: str
    asked: int
    rollout: Rollout | None
    pods: tuple[PodFact, ...] = ()

    @property
    def ready(self) -> int:
        return self.rollout.ready if self.rollout is not None else 0

    @property
    def lacks_pods(self) -> bool:
        """Whether fewer pods are there than were asked for."""
        if self.rollout is None:
            return self.asked > 0
        return self.rollout.lacks(self.asked, pods=sum(pod.lives for pod in self.pods))


def findings(pools: tuple[PoolView, ...], obstacle: Finding | None) -> Findings:
    """Everything that workloads and pods tell; an obstacle is why they aren't as the spec says."""
    works, router = workloads(pools), routing(pools)
    if obstacle is not None:
        made = any(one.rollout is not None for one in pools)
        goes_on = f"; the workloads created before continue: {works.text}" if made else ""
        works = replace(obstacle, text=f"{obstacle.text}{goes_on}")
    told = {ConditionType.WORKLOADS_READY: works, ConditionType.CAPACITY_LIMITED: capacity(pools)}
    if router is not None:
        told[ConditionType.ROUTER_READY] = router
    return {**told, ConditionType.READY: _ready(pools, works=works, router=router)}


def workloads(pools: tuple[PoolView, ...]) -> Finding:
    """Whether every pool of engines is as asked for."""
    found = {one.name: pool(one) for one in pools if one.name != ROUTER_POOL}
    bad = {name: one for name, one in found.items() if not one.so}
    lasting = {name: one for name, one in bad.items() if one.reason is not Reason.PROGRESSING}
    for name, one in (lasting or bad).items():
        return replace(one, text=one.text if len(found) == 1 else f"{name}: {one.text}")
    text = "; ".join(one.text if len(found) == 1 else f"{name}: {one.text}" for name, one in found.items())
    return Finding(so=True, reason=Reason.AS_DECLARED, text=text)


def pool(one: PoolView) -> Finding:
    """Whether one pool is as asked for."""
    there = one.rollout
    if there is None:
        return Finding(so=False, reason=Reason.PROGRESSING, text=f"{one.workload} is being created")
    text = f"{there.ready} of {one.asked} replicas are ready"
    if there.current and one.asked == there.asked == there.ready == there.there == there.updated:
        return Finding(so=True, reason=Reason.AS_DECLARED, text=text)
    if there.ready >= one.asked and there.updated < one.asked:
        text = f"{text}, {there.updated} of them from the current spec"
    why = _fault(one)
    if why is None:
        return Finding(so=False, reason=Reason.PROGRESSING, text=text)
    return Finding(so=False, reason=why.reason, text=f"{text}: {why.text}")


def _fault(one: PoolView) -> PodFault | None:
    """Why a pool doesn't get there: a pod's lasting fault, or what its workload complains of."""
    worst = pods.worst(one.pods)
    complaint = one.rollout.complaint if one.rollout is not None else None
    if worst is not None and worst.lasting:
        return worst
    if complaint is None or complaint.lasting:
        return complaint
    return worst or replace(complaint, text=f"{one.workload}: {complaint.text}")


def routing(pools: tuple[PoolView, ...]) -> Finding | None:
    """Whether the router answers and has pods of every phase behind it; None where there is no router."""
    by_name = {one.name: one for one in pools}
    if ROUTER_POOL not in by_name:
        return None
    router = pool(by_name[ROUTER_POOL])
    if not router.so and router.reason not in WITHOUT_ENGINES:
        return router
    for name in (MAIN_POOL, PREFILL_POOL):
        behind = by_name.get(name)
        if behind is not None and not behind.ready:
            why = pool(behind)
            reason = Reason.SCALED_TO_ZERO if not behind.asked else why.reason
            text = f"the router has no {name} pod to send requests to: {why.text}"
            return Finding(so=False, reason=reason, text=text)
    return router


def capacity(pools: tuple[PoolView, ...]) -> Finding:
    """Whether pods wait for nodes, GPUs or quota; pods that aren't there yet say nothing of it."""
    faults = tuple(_lasting(pools))
    for reasons, so in ((OUT_OF_CAPACITY, True), (NOBODY_KNOWS, None)):
        for fault in faults:
            if fault.reason in reasons:
                return Finding(so=so, reason=fault.reason, text=f"pods wait for {fault.waits_for}")
    if any(one.lacks_pods for one in pools):
        text = "not all pods have been created yet, so it is unknown whether nodes have room for them"
        return Finding(so=None, reason=Reason.NOT_TOLD, text=text)
    return Finding(so=False, reason=Reason.AS_DECLARED, text="no pod waits for nodes, GPUs or quota")


def _lasting(pools: tuple[PoolView, ...]) -> Iterable[PodFault]:
    for one in pools:
        complaint = one.rollout.complaint if one.rollout is not None else None
        bad = (pod for pod in sorted(one.pods, key=lambda pod: pod.key) if pod.lives or one.ready < one.asked)
        told = [*(pod.fault for pod in bad), complaint]
        yield from (fault for fault in told if fault is not None and fault.lasting)


def _ready(pools: tuple[PoolView, ...], *, works: Finding, router: Finding | None) -> Finding:
    main = next((one for one in pools if one.name == MAIN_POOL), None)
    if works.so and main is not None and not main.asked:
        return Finding(so=False, reason=Reason.SCALED_TO_ZERO)
    bad = [one for one in (works, router) if one is not None and not one.so]
    lasting = [one for one in bad if one.reason not in PASSING]
    return next(iter([*lasting, *bad, works]))
