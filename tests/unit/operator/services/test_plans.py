"""What is written for a service, and that planning the result again gives nothing."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_api.inference_services import InferenceService
from loadline_api.names import SERVICE_LABEL
from loadline_api.reasons import Reason
from loadline_operator.kube.kinds import DEPLOYMENTS, LEADER_WORKER_SETS, SERVICES, Key, Kind, Manifest
from loadline_operator.services.facts import autoscalers
from loadline_operator.services.facts.object_states import KnownObjects, Ref, Signature
from loadline_operator.services.facts.owned_objects import OwnedObject, owned_object
from loadline_operator.services.objects import manifests
from loadline_operator.services.objects.defaults import Defaults
from loadline_operator.services.objects.descriptions import describe
from loadline_operator.services.plan import Changes, Desired, Observed, plan, refusal, unread, without_rivals

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SPLIT: dict[str, Any] = {"prefill": {"perDecode": "0.5"}, "router": {}}
CHAT = Ref(DEPLOYMENTS, Key("serving", "chat"))


def service(*, status: Manifest | None = None, uid: str = "uid-chat", **spec: Any) -> InferenceService:
    return InferenceService.parse(
        {
            "metadata": {"name": "chat", "namespace": "serving", "uid": uid, "generation": 4},
            "spec": {"model": {"uri": "hf://org/llm"}, **spec},
            "status": status or {},
        }
    )


class Cluster:
    """An API server's memory of the objects of one service, rolled out as far as is said."""

    def __init__(self, offered: frozenset[Kind] = frozenset()) -> None:
        self.objects: dict[Ref, Manifest] = {}
        self.settled: dict[Ref, Signature] = {}
        self.offered = offered
        self.autoscalers: tuple[autoscalers.Autoscaler, ...] = ()
        self.counts: dict[str, int] = {}

    def observe(self, one: InferenceService, *, refused: str = "") -> tuple[Desired, Observed]:
        """As the controller does: facts, and objects where facts can't tell."""
        description, facts = describe(one, Defaults()), self.facts()
        made = manifests.wanted(description, offered=self.offered)
        wanted, rivals = without_rivals(made, facts, self.autoscalers)
        obstacle = manifests.obstacle(description, self.offered)
        desired = Desired(description=description, wanted=wanted, obstacle=obstacle)
        known = KnownObjects(owned_objects=facts, settled=self.settled)
        read = {ref: self.objects.get(ref) for ref in unread(desired, known)}
        return desired, Observed(
            rivals=rivals,
            known=replace(known, read=read),
            autoscalers=self.autoscalers,
            refusal=refusal(CHAT, refused) if refused else None,
        )

    def facts(self) -> Mapping[Ref, OwnedObject]:
        """What the watches tell: labelled objects alone."""
        return {
            ref: owned_object(ref.kind, self._rolled_out(raw))
            for ref, raw in self.objects.items()
            if SERVICE_LABEL in raw["metadata"]["labels"]
        }

    def apply(self, changes: Changes) -> None:
        """Do what a plan wants done."""
        for one in changes.apply:
            before = self.objects.get(Ref.of(one))
            generation = 1 + (before["metadata"]["generation"] if before else 0)
            more = {"uid": f"uid-{one.kind.plural}-{one.key.name}", "generation": generation}
            metadata = {**one.manifest["metadata"], **more, "resourceVersion": str(generation)}
            self.objects[Ref.of(one)] = {**one.manifest, "metadata": metadata}
            self.settled[Ref.of(one)] = Signature.of(one, self.objects[Ref.of(one)])
        for ref, uid in changes.delete:
            assert self.objects.pop(ref)["metadata"]["uid"] == uid

    def _rolled_out(self, raw: Manifest) -> Manifest:
        replicas = raw.get("spec", {}).get("replicas", 0)
        full = dict.fromkeys(("replicas", "readyReplicas", "updatedReplicas"), replicas)
        told = {"observedGeneration": raw["metadata"]["generation"], **full, **self.counts}
        return {**raw, "status": told}


def made(one: InferenceService, cluster: Cluster | None = None) -> Cluster:
    """A cluster as the service wants it."""
    there = cluster or Cluster()
    there.apply(plan(*there.observe(one), now=NOON))
    return there


def told(changes: Changes, type: str = "Ready") -> tuple[str, str, str]:
    assert changes.status is not None
    (found,) = (one for one in changes.status["status"]["conditions"] if one["type"] == type)
    return found["status"], found["reason"], found["message"]


def refs(changes: Changes) -> list[str]:
    return [str(Ref.of(one)) for one in changes.apply]


def test_a_service_becomes_its_objects_in_order() -> None:
    changes = plan(*Cluster().observe(service()), now=NOON)
    assert "Deployment chat" in refs(changes)
    assert "Service chat" in refs(changes)
    assert refs(changes).index("Deployment chat") < refs(changes).index("Service chat")
    assert told(changes) == ("False", "Progressing", "Deployment chat is being created")


@given(
    replicas=st.integers(0, 4),
    ready=st.integers(0, 4),
    spec=st.sampled_from([{}, SPLIT, {"parallelism": {"tensor": 8}}, {"slo": {"itlMs": 50}}]),
    refused=st.sampled_from(["", "spec.template is wrong"]),
)
def test_planning_its_own_result_gives_nothing(
    replicas: int, ready: int, spec: dict[str, Any], refused: str
) -> None:
    one = service(replicas=replicas, **spec)
    cluster = made(one)
    cluster.counts = {"readyReplicas": ready}
    first = plan(*cluster.observe(one, refused=refused), now=NOON)
    assert not first.apply
    assert not first.delete
    assert first.status is not None
    after = service(replicas=replicas, **spec, status=first.status["status"])
    assert not plan(*cluster.observe(after, refused=refused), now=NOON + timedelta(days=1))


def test_a_new_operator_reads_what_it_has_not_made_and_writes_nothing() -> None:
    one = service(**SPLIT)
    cluster = made(one)
    cluster.settled = {}
    desired, observed = cluster.observe(one)
    assert len(observed.known.read) == len(desired.wanted)
    assert not plan(desired, observed, now=NOON).apply


def test_what_is_settled_is_not_read_again() -> None:
    cluster = made(service())
    assert cluster.observe(service())[1].known.read == {}


def test_what_the_api_server_words_differently_is_settled_after_one_apply() -> None:
    cluster = made(service())
    cluster.objects[CHAT]["spec"] = {"worded": "differently"}
    assert not plan(*cluster.observe(service()), now=NOON).apply
    cluster.objects[CHAT]["metadata"]["generation"] += 1
    assert refs(plan(*cluster.observe(service()), now=NOON)) == ["Deployment chat"]


def test_an_edit_that_only_removes_is_noticed() -> None:
    cluster = made(service(template={"spec": {"hostNetwork": True}}))
    assert "Deployment chat" in refs(plan(*cluster.observe(service()), now=NOON))


def test_what_the_spec_no_longer_wants_is_deleted_by_uid() -> None:
    cluster = made(service(**SPLIT))
    changes = plan(*cluster.observe(service()), now=NOON)
    gone = {str(ref) for ref, _ in changes.delete}
    assert {"Deployment chat-prefill", "Deployment chat-router"} <= gone
    assert not gone & {"Deployment chat", "Service chat"}
    cluster.apply(changes)
    assert not plan(*cluster.observe(service()), now=NOON).delete


def test_nothing_of_a_namesake_is_deleted() -> None:
    cluster = made(service(uid="uid-before", **SPLIT))
    assert plan(*cluster.observe(service()), now=NOON).delete == ()


def test_nothing_obsolete_goes_before_the_new_is_accepted() -> None:
    cluster = made(service(**SPLIT))
    assert plan(*cluster.observe(service(), refused="no"), now=NOON).delete == ()


@pytest.mark.parametrize("labels", [{}, {"loadline.dev/service": "chat"}])
def test_an_object_of_somebody_else_is_not_taken_over(labels: dict[str, str]) -> None:
    cluster = Cluster()
    metadata = {"name": "chat", "uid": "u", "generation": 1, "resourceVersion": "1", "labels": labels}
    cluster.objects[CHAT] = {"metadata": metadata, "spec": {}}
    changes = plan(*cluster.observe(service()), now=NOON)
    assert "Deployment chat" not in refs(changes)
    assert "Service chat" in refs(changes)
    assert told(changes)[1] == "NameTaken"
    assert (
        told(changes)[2]
        == "Deployment chat exists, and Loadline did not create it: rename it, or the InferenceService"
    )
    assert changes.waits


def test_an_object_that_lost_its_label_is_labelled_again() -> None:
    cluster = made(service())
    cluster.objects[CHAT]["metadata"]["labels"] = {}
    assert refs(plan(*cluster.observe(service()), now=NOON)) == ["Deployment chat"]


def test_an_object_that_is_being_deleted_is_waited_for() -> None:
    cluster = made(service())
    cluster.objects[CHAT]["metadata"]["deletionTimestamp"] = "2026-01-01T12:00:00Z"
    changes = plan(*cluster.observe(service()), now=NOON)
    assert changes.apply == ()
    assert changes.delete == ()


def test_replicas_that_somebody_scales_are_left_to_him() -> None:
    one = service(replicas=1)
    cluster = made(one)
    owned: Manifest = {"f:spec": {"f:replicas": {}}}
    entry = {"manager": "keda", "subresource": "scale", "fieldsV1": owned}
    cluster.objects[CHAT]["metadata"]["managedFields"] = [entry]
    cluster.objects[CHAT]["spec"]["replicas"] = 3
    cluster.objects[CHAT]["metadata"]["generation"] += 1
    changes = plan(*cluster.observe(one), now=NOON)
    (left,) = changes.apply
    assert "replicas" not in left.manifest["spec"]
    assert told(changes, "ScalingReady")[:2] == ("False", "OtherScaler")
    assert told(changes)[:2] == ("True", "AsDeclared")
    assert changes.status is not None
    assert changes.status["status"]["pools"][0]["replicas"] == 3


def test_a_refused_template_is_told_in_the_api_servers_words() -> None:
    cluster = made(service())
    changes = plan(*cluster.observe(service(), refused="restartPolicy: Unsupported"), now=NOON)
    status, reason, text = told(changes)
    assert (status, reason) == ("False", "TemplateRefused")
    assert text.startswith(
        "Deployment chat: restartPolicy: Unsupported; the workloads created before continue"
    )
    assert changes.waits


def test_extras_that_are_refused_are_told_and_keep_nobody_from_being_ready() -> None:
    cluster = made(service())
    desired, observed = cluster.observe(service())
    observed = replace(observed, remarks=("PodMonitor chat was refused: no",))
    changes = plan(desired, observed, now=NOON)
    assert told(changes) == (
        "True",
        "AsDeclared",
        "1 of 1 replicas are ready; PodMonitor chat was refused: no",
    )
    assert changes.waits


def test_a_quota_that_refuses_an_object_is_a_quota() -> None:
    said = "exceeded quota: few, requested: count/x=1, used: count/x=1, limited: count/x=1"
    assert refusal(CHAT, said).reason is Reason.QUOTA_EXCEEDED


def test_groups_of_nodes_wait_for_their_api_and_leave_what_runs() -> None:
    wide = service(parallelism={"tensor": 8, "pipeline": 2, "nodes": 2})
    cluster = made(service())
    changes = plan(*cluster.observe(wide), now=NOON)
    assert (changes.apply, changes.delete) == ((), ())
    assert told(changes)[1] == "ApiMissing"
    cluster.offered = frozenset({LEADER_WORKER_SETS})
    changes = plan(*cluster.observe(wide), now=NOON)
    assert "LeaderWorkerSet chat" in refs(changes)
    assert "Deployment chat" in {str(ref) for ref, _ in changes.delete}


def test_a_turn_to_a_failure_is_one_event() -> None:
    cluster = made(service())
    first = plan(*cluster.observe(service(), refused="no"), now=NOON)
    assert [(one["reason"], one["type"]) for one in first.events] == [("TemplateRefused", "Warning")]
    assert first.status is not None
    after = service(status=first.status["status"])
    again = plan(*cluster.observe(after, refused="no, in other words"), now=NOON)
    assert again.status is not None
    assert again.events == ()


def test_progress_and_rest_are_no_event() -> None:
    cluster = made(service())
    assert plan(*Cluster().observe(service()), now=NOON).events == ()
    assert plan(*cluster.observe(service()), now=NOON).events == ()
    none = service(replicas=0)
    assert plan(*made(none).observe(none), now=NOON).events == ()


def test_others_conditions_are_left_alone() -> None:
    cluster = made(service())
    first = plan(*cluster.observe(service()), now=NOON)
    assert first.status is not None
    theirs = {"type": "Theirs", "status": "True", "reason": "Said"}
    status = {**first.status["status"], "conditions": [*first.status["status"]["conditions"], theirs]}
    after = service(status=status)
    assert not plan(*cluster.observe(after), now=NOON)


def test_a_condition_that_no_longer_applies_is_taken_back() -> None:
    split = service(**SPLIT)
    first = plan(*made(split).observe(split), now=NOON)
    assert first.status is not None
    after = service(status=first.status["status"])
    changes = plan(*made(after).observe(after), now=NOON)
    assert changes.status is not None
    assert "RouterReady" not in {one["type"] for one in changes.status["status"]["conditions"]}


def test_the_status_tells_where_and_how_many() -> None:
    one = service(replicas=4, **SPLIT)
    changes = plan(*made(one).observe(one), now=NOON)
    assert changes.status is not None
    status = changes.status["status"]
    assert status["url"] == "http://chat.serving.svc:8000"
    assert (status["replicas"], status["readyReplicas"], status["observedGeneration"]) == (4, 4, 4)
    assert status["selector"] == "loadline.dev/pool=main,loadline.dev/service=chat"
    assert [(pool["name"], pool["replicas"]) for pool in status["pools"]] == [
        ("main", 4),
        ("prefill", 2),
        ("router", 1),
    ]


def test_parts_that_nothing_acts_on_are_named() -> None:
    one = service(scaling={"maxReplicas": 4}, experts={"policyRef": {"name": "x"}}, power={"maxWatts": 300})
    text = told(plan(*made(one).observe(one), now=NOON))[2]
    assert text.endswith("; this version of Loadline does not act on spec.scaling")


def test_objectives_are_a_condition_only_where_there_are_any() -> None:
    def types(one: InferenceService) -> set[str]:
        changes = plan(*made(one).observe(one), now=NOON)
        assert changes.status is not None
        return {each["type"] for each in changes.status["status"]["conditions"]}

    assert "SLOMet" not in types(service())
    assert "SLOMet" in types(service(slo={"ttftMs": 500}))


def test_the_front_is_no_workload_but_is_put_right_too() -> None:
    cluster = made(service())
    front = Ref(SERVICES, Key("serving", "chat"))
    del cluster.objects[front]
    assert refs(plan(*cluster.observe(service()), now=NOON)) == ["Service chat"]
