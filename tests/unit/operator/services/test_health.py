"""What pools come to: ready, on their way, or wrong; and what a router makes of it."""

from dataclasses import replace
from typing import Any

import pytest

from loadline_api.conditions import ConditionType
from loadline_api.kv_retention import REFUSAL
from loadline_api.reasons import Reason
from loadline_operator.findings import Finding
from loadline_operator.kube.kinds import Key
from loadline_operator.services import health
from loadline_operator.services.facts.faults import PodFault
from loadline_operator.services.facts.owned_objects import Rollout
from loadline_operator.services.facts.pod_faults import diagnose
from loadline_operator.services.facts.pods import PodFact
from loadline_operator.services.health import PoolView

CRASH = PodFault(reason=Reason.CRASH_LOOP, text="it ends again and again")
LOADING = PodFault(reason=Reason.PROBE_FAILING, text="it loads", lasting=False)
NO_GPU = PodFault(reason=Reason.GPU_MISSING, text="no node has 8")
GATED = PodFault(reason=Reason.SCHEDULING_GATED, text="gated")
STUCK = PodFault(reason=Reason.UNAVAILABLE, text="no progress", lasting=False)


def view(asked: int = 2, ready: int = 2, *faults: PodFault, name: str = "main", **more: Any) -> PoolView:
    """A pool; what isn't said is as it should be."""
    counts = {"asked": asked, "there": asked, "ready": ready, "updated": asked, "current": True, **more}
    pods = tuple(
        PodFact(key=Key("serving", f"{name}-{index}"), pool=name, fault=fault)
        for index, fault in enumerate(faults)
    )
    rollout = Rollout(**counts)
    return PoolView(name=name, workload=f"Deployment {name}", asked=asked, rollout=rollout, pods=pods)


def ready(*pools: PoolView, obstacle: Finding | None = None) -> Finding:
    return health.findings(pools, obstacle)[ConditionType.READY]


def test_all_replicas_as_asked_for_are_ready() -> None:
    found = ready(view(2, 2))
    assert (found.so, found.reason, found.text) == (True, Reason.AS_DECLARED, "2 of 2 replicas are ready")


@pytest.mark.parametrize(
    "pool",
    [
        view(2, 1),
        view(2, 2, updated=1),
        view(2, 2, there=3),
        view(2, 2, current=False),
        PoolView(name="main", workload="Deployment main", asked=2, rollout=None),
    ],
)
def test_less_is_progress_while_nothing_is_wrong(pool: PoolView) -> None:
    assert (ready(pool).so, ready(pool).reason) == (False, Reason.PROGRESSING)


def test_a_rollout_behind_old_pods_says_how_many_are_new() -> None:
    assert ready(view(2, 2, updated=1)).text == "2 of 2 replicas are ready, 1 of them from the current spec"


def test_a_pods_fault_is_the_reason() -> None:
    found = ready(view(2, 1, CRASH))
    assert (found.so, found.reason) == (False, Reason.CRASH_LOOP)
    assert found.text == "1 of 2 replicas are ready: it ends again and again"


def test_an_engine_that_refuses_to_start_is_the_reason_in_its_own_words() -> None:
    ended = {"terminated": {"exitCode": 1, "message": f"{REFUSAL}Attention: serve another model\n"}}
    container = {"name": "vllm", "ready": False, "restartCount": 0, "state": ended}
    pod = {
        "metadata": {"name": "main-0", "namespace": "serving"},
        "spec": {"nodeName": "a", "containers": [{"name": "vllm"}]},
        "status": {"phase": "Running", "containerStatuses": [container]},
    }
    fault = diagnose(pod)
    assert fault is not None
    found = ready(view(2, 1, fault))
    assert (found.so, found.reason) == (False, Reason.CRASH_LOOP)
    assert found.text.endswith(f"refuses to start: {REFUSAL}Attention: serve another model")


def test_a_new_pod_that_fails_is_told_though_the_old_ones_serve() -> None:
    assert ready(view(2, 2, CRASH, updated=1, there=3)).reason is Reason.CRASH_LOOP


def test_a_fault_of_a_pool_that_has_all_it_needs_is_none() -> None:
    assert ready(view(2, 2, CRASH)).so


def test_loading_becomes_a_fault_when_the_workload_complains() -> None:
    assert ready(view(2, 1, LOADING)).reason is Reason.PROGRESSING
    assert ready(view(2, 1, LOADING, complaint=STUCK)).reason is Reason.PROBE_FAILING
    assert ready(view(2, 1, complaint=STUCK)).reason is Reason.UNAVAILABLE


def test_nobody_asked_for_a_replica() -> None:
    told = health.findings((view(0, 0),), None)
    assert told[ConditionType.WORKLOADS_READY].so
    assert told[ConditionType.READY].reason is Reason.SCALED_TO_ZERO


def test_a_failure_of_one_pool_comes_before_the_progress_of_another() -> None:
    found = ready(view(2, 1), view(1, 0, CRASH, name="prefill"))
    assert found.reason is Reason.CRASH_LOOP
    assert found.text.startswith("prefill: 0 of 1 replicas are ready")


def test_a_router_needs_somebody_of_every_phase() -> None:
    told = health.findings((view(2, 2), view(1, 0, name="prefill"), view(1, 1, name="router")), None)
    found = told[ConditionType.ROUTER_READY]
    assert (found.so, found.reason) == (False, Reason.PROGRESSING)
    assert "the router has no prefill pod to send requests to" in found.text


@pytest.mark.parametrize("ready", [0, 1])
def test_a_router_in_front_of_nothing_says_so(ready: int) -> None:
    told = health.findings((view(0, 0), view(1, ready, name="router")), None)
    assert told[ConditionType.WORKLOADS_READY].so
    assert told[ConditionType.ROUTER_READY].reason is Reason.SCALED_TO_ZERO
    assert told[ConditionType.READY].reason is Reason.SCALED_TO_ZERO


def test_a_router_that_crashes_is_the_reason_whatever_is_behind_it() -> None:
    told = health.findings((view(2, 0), view(1, 0, CRASH, name="router")), None)
    assert told[ConditionType.WORKLOADS_READY].reason is Reason.PROGRESSING
    assert told[ConditionType.ROUTER_READY].reason is Reason.CRASH_LOOP
    assert told[ConditionType.READY].reason is Reason.CRASH_LOOP


def test_without_a_router_there_is_nothing_to_say_of_one() -> None:
    assert ConditionType.ROUTER_READY not in health.findings((view(),), None)


def test_an_obstacle_is_told_with_what_goes_on() -> None:
    obstacle = Finding(so=False, reason=Reason.TEMPLATE_REFUSED, text="Deployment chat: no")
    found = ready(view(2, 2), obstacle=obstacle)
    assert found.reason is Reason.TEMPLATE_REFUSED
    assert (
        found.text == "Deployment chat: no; the workloads created before continue: 2 of 2 replicas are ready"
    )


def test_an_obstacle_to_the_first_of_everything_leaves_nothing_to_go_on() -> None:
    obstacle = Finding(so=False, reason=Reason.NAME_TAKEN, text="Deployment chat belongs to somebody else")
    none = PoolView(name="main", workload="Deployment main", asked=2, rollout=None)
    assert ready(none, obstacle=obstacle).text == "Deployment chat belongs to somebody else"


@pytest.mark.parametrize(
    ("pool", "so"),
    [
        (view(2, 1, NO_GPU), True),
        (view(2, 1, complaint=PodFault(reason=Reason.QUOTA_EXCEEDED, text="q")), True),
        (view(2, 1, CRASH), False),
        (view(2, 1, GATED), None),
        (view(2, 1, GATED, NO_GPU), True),
        (view(2, 1, PodFault(reason=Reason.NOT_TOLD, text="can't be read")), None),
        (view(2, 1, there=1), None),
        (view(2, 1, there=1, complaint=PodFault(reason=Reason.TEMPLATE_REFUSED, text="no")), None),
        (view(1, 0, size=4), None),
        (view(0, 0), False),
        (PoolView(name="main", workload="Deployment main", asked=2, rollout=None), None),
        (PoolView(name="main", workload="Deployment main", asked=0, rollout=None), False),
        (view(2, 2), False),
    ],
)
def test_capacity_is_limited_where_pods_wait_for_nodes_gpus_or_quota(pool: PoolView, so: bool | None) -> None:
    assert health.capacity((pool,)).so is so


def test_what_pods_wait_for_is_told_in_words_of_its_own() -> None:
    lacking = PodFault(reason=Reason.GPU_MISSING, text="pod main-0 asks for 8 GPUs", waits_for="8 GPUs")
    assert health.capacity((view(2, 1, lacking),)).text == "pods wait for 8 GPUs"


def test_pods_that_have_ended_wait_for_nothing_once_others_serve() -> None:
    pool = view(2, 2)
    ended = PodFact(key=Key("serving", "main-9"), pool="main", phase="Failed", fault=NO_GPU)
    assert health.capacity((replace(pool, pods=(ended,)),)).so is False
    assert health.capacity((replace(view(2, 1), pods=(ended,)),)).so is True


@pytest.mark.parametrize("reason", [Reason.PAUSED, Reason.QUOTA_EXCEEDED])
def test_what_keeps_pods_from_being_made_comes_before_one_that_loads(reason: Reason) -> None:
    found = ready(view(2, 1, LOADING, complaint=PodFault(reason=reason, text="no pod is made")))
    assert (found.reason, found.text) == (reason, "1 of 2 replicas are ready: no pod is made")
