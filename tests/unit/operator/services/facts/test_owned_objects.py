"""What is remembered of an object: whose it is, what it was made from, how far it is rolled out."""

from typing import Any

import pytest

from loadline_api.reasons import Reason
from loadline_operator.kube.kinds import DEPLOYMENTS, LEADER_WORKER_SETS, SERVICES, Manifest
from loadline_operator.services.facts.faults import PodFault
from loadline_operator.services.facts.owned_objects import owned_object
from loadline_operator.services.facts.refused_creations import refused_pods


def deployment(*conditions: Manifest, **status: Any) -> Manifest:
    return {
        "metadata": {
            "name": "chat",
            "namespace": "serving",
            "uid": "u",
            "generation": 3,
            "resourceVersion": "100",
            "labels": {"loadline.dev/service": "chat"},
            "annotations": {"loadline.dev/applied": "abc"},
            "ownerReferences": [{"uid": "uid-chat"}],
        },
        "spec": {"replicas": 2},
        "status": {"observedGeneration": 3, "conditions": list(conditions), **status},
    }


def test_a_status_moves_the_rollout_and_not_the_state() -> None:
    before = owned_object(DEPLOYMENTS, deployment())
    after = owned_object(DEPLOYMENTS, deployment(readyReplicas=1))
    assert before.state == after.state == "3"
    assert before != after
    assert (before.applied, before.service) == ("abc", "chat")
    assert before.is_of("uid-chat")
    assert not before.is_of("uid-of-a-namesake")


def test_a_kind_without_generations_goes_by_its_version() -> None:
    raw = deployment()
    del raw["metadata"]["generation"]
    found = owned_object(SERVICES, raw)
    assert (found.state, found.rollout) == ("100", None)


def test_a_rollout_is_current_once_its_controller_has_seen_the_change() -> None:
    assert owned_object(DEPLOYMENTS, deployment()).rollout.current  # type: ignore[union-attr]
    assert not owned_object(DEPLOYMENTS, deployment(observedGeneration=2)).rollout.current  # type: ignore[union-attr]


def test_no_progress_is_no_lasting_fault_by_itself() -> None:
    late = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "x"}
    rollout = owned_object(DEPLOYMENTS, deployment(late)).rollout
    assert rollout is not None
    assert rollout.complaint is not None
    assert (rollout.complaint.reason, rollout.complaint.lasting) == (Reason.UNAVAILABLE, False)


def complaint(*conditions: Manifest, spec: Manifest | None = None, **status: Any) -> PodFault | None:
    raw = deployment(*conditions, **status)
    raw["spec"].update(spec or {})
    rollout = owned_object(DEPLOYMENTS, raw).rollout
    assert rollout is not None
    return rollout.complaint


def test_a_replica_set_that_is_refused_is_told_by_the_quota() -> None:
    said = (
        'Failed to create new replica set "chat-7f": replicasets.apps "chat-7f" is forbidden: exceeded quota:'
        " few, requested: count/replicasets.apps=1, used: count/replicasets.apps=0, limited:"
        " count/replicasets.apps=0"
    )
    refused = {"type": "Progressing", "status": "False", "reason": "ReplicaSetCreateError", "message": said}
    found = complaint(refused)
    assert found is not None
    assert (found.reason, found.lasting) == (Reason.QUOTA_EXCEEDED, True)
    assert "ResourceQuota few allows count/replicasets.apps=0" in found.text


def test_a_paused_deployment_says_so_where_that_keeps_pods_away() -> None:
    pause = {"paused": True}
    for updated in (None, 0):
        found = complaint(spec=pause, replicas=2 if updated is not None else 0, updatedReplicas=updated or 0)
        assert found is not None
        assert found.reason is Reason.PAUSED
        assert "kubectl rollout resume deployment/chat -n serving" in found.text
    assert complaint(spec=pause, replicas=2, updatedReplicas=2) is None


def test_a_group_has_more_pods_than_replicas() -> None:
    raw = {**deployment(replicas=2), "spec": {"replicas": 2, "leaderWorkerTemplate": {"size": 4}}}
    rollout = owned_object(LEADER_WORKER_SETS, raw).rollout
    assert rollout is not None
    assert rollout.lacks(2, pods=7)
    assert not rollout.lacks(2, pods=8)
    assert rollout.lacks(3, pods=8)


@pytest.mark.parametrize("pod", ["chat-7f-abcde", "chat-7f-vwxyz"])
@pytest.mark.parametrize("used", ["8", "16"])
def test_a_quota_is_told_alike_at_each_attempt(pod: str, used: str) -> None:
    said = (
        f'pods "{pod}" is forbidden: exceeded quota: team-a, requested: requests.nvidia.com/gpu=8,'
        f" used: requests.nvidia.com/gpu={used}, limited: requests.nvidia.com/gpu=16"
    )
    found = refused_pods(said)
    assert found.reason is Reason.QUOTA_EXCEEDED
    assert found.text == (
        "ResourceQuota team-a allows requests.nvidia.com/gpu=16"
        " and a pod asks for requests.nvidia.com/gpu=8: raise the quota"
    )


def test_pods_that_are_forbidden_are_the_templates_fault() -> None:
    said = 'pods "chat-7f-abcde" is forbidden: violates PodSecurity "restricted:latest": host namespaces'
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": said}
    rollout = owned_object(DEPLOYMENTS, deployment(failure)).rollout
    assert rollout is not None
    assert rollout.complaint is not None
    assert rollout.complaint.reason is Reason.TEMPLATE_REFUSED
    assert rollout.complaint.text.startswith("the API server refuses to create pods: violates PodSecurity")
