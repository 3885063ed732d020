"""What is wrong with a pod is one reason and one sentence, and stays so while the state lasts."""

from datetime import UTC, datetime
from typing import Any

import pytest

from loadline_api.kv_retention import REFUSAL
from loadline_api.reasons import Reason
from loadline_operator.kube.kinds import Manifest
from loadline_operator.services.facts.faults import PodFault
from loadline_operator.services.facts.pod_faults import diagnose
from loadline_operator.services.facts.pods import fact, seconds_to_wait, unreadable, waiting_long, worst
from loadline_operator.services.facts.scheduling_faults import why_unplaced

BORN, STARTED, LATER = "2026-01-01T12:00:00Z", "2026-01-01T12:05:00Z", "2026-01-01T12:30:00Z"
FAILED: Manifest = {"terminated": {"exitCode": 1, "reason": "Error", "message": "at 12:00:07 it broke"}}
RUNNING: Manifest = {"running": {"startedAt": STARTED}}
BACK_OFF: Manifest = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s restarting"}}


def pod(
    *told: Manifest, first: tuple[Manifest, ...] = (), ready: str = "False", since: str = BORN, **status: Any
) -> Manifest:
    """A placed pod of the service `chat` with these container statuses."""
    conditions = [
        {"type": "PodScheduled", "status": "True"},
        {"type": "Ready", "status": ready, "lastTransitionTime": since},
    ]
    limits = {"limits": {"nvidia.com/gpu": "8", "memory": "32Gi"}}
    return {
        "metadata": {
            "name": "chat-0",
            "namespace": "serving",
            "labels": {"loadline.dev/service": "chat", "loadline.dev/pool": "main"},
        },
        "spec": {"nodeName": "node-0", "containers": [{"name": "vllm", "resources": limits}]},
        "status": {
            "phase": "Running",
            "conditions": conditions,
            "containerStatuses": list(told),
            "initContainerStatuses": list(first),
            **status,
        },
    }


def container(state: Manifest, *, restarts: int = 0, last: Manifest | None = None, **more: Any) -> Manifest:
    name = more.pop("name", "vllm")
    return {
        "name": name,
        "image": "vllm:1",
        "ready": False,
        "restartCount": restarts,
        "state": state,
        "lastState": last or {},
        **more,
    }


def unplaced(message: str, reason: str = "Unschedulable") -> Manifest:
    one = pod()
    one["status"]["conditions"] = [
        {"type": "PodScheduled", "status": "False", "reason": reason, "message": message}
    ]
    del one["spec"]["nodeName"]
    return one


def fault(one: Manifest) -> PodFault:
    found = diagnose(one)
    assert found is not None
    return found


def test_a_ready_pod_has_no_fault() -> None:
    assert diagnose(pod(container(RUNNING, restarts=7, last=FAILED), ready="True")) is None


def test_a_pod_that_is_being_deleted_has_none() -> None:
    one = pod(container(BACK_OFF, restarts=7, last=FAILED))
    one["metadata"]["deletionTimestamp"] = LATER
    assert diagnose(one) is None


def test_a_crash_loop_is_the_same_in_every_turn() -> None:
    turns = [
        pod(container(BACK_OFF, restarts=2, last=FAILED)),
        pod(container(RUNNING, restarts=3, last=FAILED)),
        pod(container(FAILED, restarts=3, last=FAILED)),
        pod(container(BACK_OFF, restarts=40, last=FAILED)),
    ]
    found = {fault(one) for one in turns}
    assert len(found) == 1
    (only,) = found
    assert only.reason is Reason.CRASH_LOOP
    assert only.text == (
        "container vllm of pod chat-0 keeps exiting with exit code 1 (Error):"
        " `kubectl logs -n serving chat-0 -c vllm --previous` shows why"
    )


REFUSED = f"{REFUSAL}SpeculativeDecoding: start it without speculative decoding"
OF_A_LOG = f"Traceback (most recent call last):\nloadline_vllm.CannotBound: {REFUSED}\n  more\nof vLLM's own"


@pytest.mark.parametrize("message", [f"{REFUSED}\n", OF_A_LOG], ids=["last-words", "log"])
@pytest.mark.parametrize("restarts", [0, 40])
def test_an_engine_that_refuses_to_start_says_why_at_once(message: str, restarts: int) -> None:
    ended: Manifest = {"terminated": {"exitCode": 1, "reason": "Error", "message": message}}
    turns = [
        pod(container(ended, restarts=restarts)),
        pod(container(BACK_OFF, restarts=restarts, last=ended)),
        pod(container(RUNNING, restarts=restarts + 1, last=ended)),
    ]
    (only,) = {fault(one) for one in turns}
    assert (only.reason, only.lasting) == (Reason.CRASH_LOOP, True)
    assert only.text == f"container vllm of pod chat-0 refuses to start: {REFUSED}"


def test_one_crash_is_no_loop() -> None:
    assert not fault(pod(container(RUNNING, restarts=1, last=FAILED))).lasting


def test_a_crash_long_ago_does_not_explain_a_probe_that_fails_now() -> None:
    found = fault(pod(container(RUNNING, restarts=5, last=FAILED), since=LATER))
    assert found.reason is Reason.PROBE_FAILING
    assert found.text == "container vllm of pod chat-0 runs but no longer passes its readiness probe"


def test_an_engine_that_still_loads_may_get_there() -> None:
    found = fault(pod(container(RUNNING, started=False)))
    assert (found.reason, found.lasting) == (Reason.PROBE_FAILING, False)


@pytest.mark.parametrize("state", [{"terminated": {"exitCode": 137, "reason": "OOMKilled"}}, RUNNING])
def test_too_little_memory_is_told_with_the_limit(state: Manifest) -> None:
    killed = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    found = fault(pod(container(state, restarts=1, last=killed)))
    assert found.reason is Reason.OUT_OF_MEMORY
    assert "limit of 32Gi" in found.text
    assert "raise resources.limits.memory" in found.text


@pytest.mark.parametrize(
    ("reason", "message", "words"),
    [
        ("ErrImagePull", "rpc error: failed to resolve reference: vllm:1: not found", "no such image"),
        ("ImagePullBackOff", 'Back-off pulling image "vllm:1": ErrImagePull: not found', "no such image"),
        ("ErrImagePull", "pull access denied, authorization failed", "imagePullSecrets"),
        ("ErrImagePull", "dial tcp 10.0.0.1:443: i/o timeout", "can't be reached"),
        ("InvalidImageName", "couldn't parse image name", "not a valid image name"),
        ("ErrImagePull", "something new", "kubectl describe pod"),
    ],
)
def test_an_image_that_cannot_be_pulled_is_told_in_our_words(reason: str, message: str, words: str) -> None:
    found = fault(pod(container({"waiting": {"reason": reason, "message": message}})))
    assert found.reason is Reason.IMAGE_UNAVAILABLE
    assert "container vllm of pod chat-0 needs the image vllm:1" in found.text
    assert words in found.text


def test_a_model_that_is_an_image_is_the_model_and_not_the_engine() -> None:
    said = 'Back-off pulling image "models/llm:1": ErrImagePull: not found'
    one = pod(container({"waiting": {"reason": "ImagePullBackOff", "message": said}}))
    one["spec"]["volumes"] = [{"name": "model", "image": {"reference": "models/llm:1"}}]
    assert fault(one).reason is Reason.MODEL_UNAVAILABLE


def test_a_missing_secret_is_told_in_the_kubelets_words() -> None:
    waiting = {"reason": "CreateContainerConfigError", "message": 'secret "token" not found'}
    found = fault(pod(container({"waiting": waiting})))
    assert found.text == 'container vllm of pod chat-0 can\'t be created: secret "token" not found'


def test_a_command_that_is_not_there_is_told_by_the_runtime() -> None:
    last = {"terminated": {"exitCode": 128, "reason": "StartError", "message": 'exec: "nope": not found'}}
    found = fault(pod(container(BACK_OFF, restarts=2, last=last)))
    assert found.text.endswith('can\'t be started: exec: "nope": not found')


def test_an_init_container_that_fails_keeps_the_model_away() -> None:
    first = container(BACK_OFF, restarts=2, last=FAILED, name="fetch-model")
    waits = container({"waiting": {"reason": "PodInitializing"}})
    found = fault(pod(waits, first=(first,)))
    assert found.reason is Reason.MODEL_UNAVAILABLE
    assert found.text.startswith("container fetch-model of pod chat-0 keeps exiting")


def test_an_init_container_of_the_users_own_is_no_model() -> None:
    found = fault(pod(first=(container(BACK_OFF, restarts=2, last=FAILED, name="theirs"),)))
    assert found.reason is Reason.CRASH_LOOP


def test_a_model_that_is_being_fetched_may_come() -> None:
    found = fault(pod(first=(container(RUNNING, name="fetch-model"),)))
    assert (found.reason, found.lasting) == (Reason.MODEL_UNAVAILABLE, False)


def test_missing_gpus_are_told_with_their_count() -> None:
    message = (
        "0/52 nodes are available: 3 node(s) had untolerated taint {gpu: yes},"
        " 49 Insufficient nvidia.com/gpu. preemption: 0/52 nodes are available: 52 No victims found."
    )
    found = fault(unplaced(message))
    assert found.reason is Reason.GPU_MISSING
    assert "asks for 8 nvidia.com/gpu" in found.text
    again = fault(unplaced(message.replace("49", "48").replace("3 node", "4 node")))
    assert found == again, "the scheduler's counts move with every node"


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ("0/1 nodes are available: 1 Insufficient cpu. preemption: none", ("Insufficient cpu",)),
        ("no nodes available to schedule pods", ("no nodes available to schedule pods",)),
        ("", ()),
    ],
)
def test_the_schedulers_reasons_come_without_counts(message: str, why: tuple[str, ...]) -> None:
    assert why_unplaced(message) == why


def test_no_room_is_told() -> None:
    found = fault(unplaced("0/3 nodes are available: 3 Insufficient cpu."))
    assert (found.reason, found.lasting) == (Reason.UNSCHEDULABLE, True)


def test_a_gated_pod_waits() -> None:
    assert fault(unplaced("gated", reason="SchedulingGated")).reason is Reason.SCHEDULING_GATED


def test_an_odd_amount_drops_no_pod() -> None:
    one = unplaced("0/3 nodes are available: 3 Insufficient nvidia.com/gpumem.")
    one["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpumem"] = "8k"
    assert "asks for 8k nvidia.com/gpumem" in fault(one).text
    assert fact(one).fault == fault(one)


def test_a_pod_that_no_scheduler_looks_at_is_told_after_a_while() -> None:
    one = pod()
    one["metadata"]["creationTimestamp"] = BORN
    one["spec"] = {**one["spec"], "schedulerName": "nobody", "nodeName": ""}
    one["status"] = {"phase": "Pending"}
    soon = datetime(2026, 1, 1, 12, 0, 20, tzinfo=UTC)
    (young,) = waiting_long([fact(one)], now=soon)
    assert young.fault is None
    assert seconds_to_wait([young], now=soon) == 11.0
    (old,) = waiting_long([young], now=datetime(2026, 1, 1, 12, 0, 30, tzinfo=UTC))
    assert old.fault is not None
    assert old.fault.reason is Reason.NOT_SCHEDULED
    assert "the scheduler nobody" in old.fault.text
    assert seconds_to_wait([old], now=soon) is None


def test_a_pod_that_cannot_be_read_is_there_all_the_same() -> None:
    found = unreadable({"metadata": pod()["metadata"], "spec": {}})
    assert (found.service, found.pool, found.lives) == ("chat", "main", True)
    assert found.fault is not None
    assert "pod chat-0 can't be parsed" in found.fault.text


@pytest.mark.parametrize(
    ("why", "reason"),
    [
        ("OutOfnvidia.com/gpu", Reason.GPU_MISSING),
        ("OutOfcpu", Reason.UNSCHEDULABLE),
        ("OutOfpods", Reason.UNSCHEDULABLE),
        ("NodeAffinity", Reason.UNAVAILABLE),
    ],
)
def test_a_kubelet_that_turns_a_pod_away_says_what_lacks(why: str, reason: Reason) -> None:
    assert fault(pod(phase="Failed", reason=why, message="Node didn't have enough resource")).reason is reason


def test_a_network_card_that_lacks_is_no_gpu() -> None:
    message = "Allocate failed due to requested number of devices unavailable for rdma/hca. Requested: 1"
    found = fault(pod(phase="Failed", reason="UnexpectedAdmissionError", message=message))
    assert found.reason is Reason.UNSCHEDULABLE


def test_a_missing_volume_claim_keeps_the_model_away() -> None:
    found = fault(unplaced('0/3 nodes are available: persistentvolumeclaim "weights" not found. x'))
    assert found.reason is Reason.MODEL_UNAVAILABLE
    assert "PersistentVolumeClaim weights, which does not exist: create it" in found.text


def test_an_evicted_pod_says_why() -> None:
    found = fault(pod(phase="Failed", reason="Evicted", message="The node was low on resource: memory."))
    assert found.reason is Reason.UNAVAILABLE
    assert "has ended (Evicted): The node was low on resource: memory." in found.text


def test_a_device_plugin_that_has_no_gpu_left_is_a_missing_gpu() -> None:
    message = "Allocate failed due to requested number of devices unavailable for nvidia.com/gpu"
    found = fault(pod(phase="Failed", reason="UnexpectedAdmissionError", message=message))
    assert found.reason is Reason.GPU_MISSING


def test_a_silent_node_is_suspected_when_all_containers_were_ready() -> None:
    found = fault(pod(container(RUNNING, ready=True)))
    assert "node node-0 doesn't answer" in found.text


def test_the_fact_of_a_pod_is_small_and_tells_where_it_belongs() -> None:
    found = fact(pod(container(RUNNING), ready="True"))
    assert (found.service, found.pool, found.node, found.ready) == ("chat", "main", "node-0", True)
    assert found.fault is None


def test_the_worst_pod_is_a_living_one_whose_fault_lasts() -> None:
    loading = pod(container(RUNNING))
    evicted = pod(phase="Failed", reason="Evicted")
    crashing = pod(container(BACK_OFF, restarts=2, last=FAILED))
    for name, one in (("chat-1", loading), ("chat-2", evicted), ("chat-3", crashing)):
        one["metadata"]["name"] = name
    found = worst(map(fact, (loading, evicted, crashing)))
    assert found is not None
    assert found.reason is Reason.CRASH_LOOP
    assert worst(()) is None
