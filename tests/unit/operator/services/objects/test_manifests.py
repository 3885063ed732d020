"""Everything that a service becomes, in the order of applying, and what is missing for it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_api.inference_services import InferenceService
from loadline_operator.kube.kinds import (
    DEPLOYMENTS,
    INFERENCE_POOLS,
    LEADER_WORKER_SETS,
    POD_DISRUPTION_BUDGETS,
    POD_MONITORS,
    SERVICES,
    Kind,
    Manifest,
)
from loadline_operator.services.facts.owned_objects import owners_of
from loadline_operator.services.objects.defaults import Defaults
from loadline_operator.services.objects.descriptions import describe
from loadline_operator.services.objects.manifests import (
    APPLIED,
    OPTIONAL_KINDS,
    OWNED_KINDS,
    Wanted,
    lacking,
    wanted,
    without_replicas,
)

ALL = frozenset(OPTIONAL_KINDS)
PICKED = Defaults(endpoint_picker="{service}-epp", monitor_labels={"release": "prometheus"})


def service(name: str = "chat", **spec: Any) -> InferenceService:
    model = {} if "workloadRef" in spec else {"model": {"uri": "hf://org/llm"}}
    metadata = {"name": name, "namespace": "serving", "uid": f"uid-{name}"}
    return InferenceService.parse({"metadata": metadata, "spec": {**model, **spec}})


def listed(one: InferenceService, offered: frozenset[Kind] = frozenset()) -> list[str]:
    made = wanted(describe(one, Defaults()), offered=offered)
    return [f"{each.kind.kind} {each.manifest['metadata']['name']}" for each in made]


def found(
    one: InferenceService,
    kind: Kind,
    *,
    name: str,
    offered: frozenset[Kind] = ALL,
    defaults: Defaults = PICKED,
) -> Manifest:
    made = {
        (each.kind, each.key.name): each.manifest for each in wanted(describe(one, defaults), offered=offered)
    }
    return made[kind, name]


def test_a_plain_service_is_an_account_a_deployment_and_a_service() -> None:
    assert listed(service()) == ["ServiceAccount chat-engine", "Deployment chat", "Service chat"]


def test_a_split_service_is_all_of_it_in_the_order_of_applying() -> None:
    one = service(replicas=2, prefill={"perDecode": "1.5"}, router={"replicas": 2})
    assert listed(one, ALL) == [
        "ServiceAccount chat-engine",
        "ServiceAccount chat-router",
        "RoleBinding chat-router",
        "Deployment chat",
        "Deployment chat-prefill",
        "Deployment chat-router",
        "Service chat",
        "PodDisruptionBudget chat",
        "PodDisruptionBudget chat-prefill",
        "PodDisruptionBudget chat-router",
        "PodMonitor chat",
        "PodMonitor chat-router",
    ]


def test_a_pool_over_nodes_is_a_group_and_the_other_is_not() -> None:
    prefill = {"replicas": 1, "parallelism": {"tensor": 8}}
    one = service(parallelism={"tensor": 16, "nodes": 2}, prefill=prefill, router={})
    workloads = [each for each in listed(one, ALL) if each.startswith(("Deployment", "LeaderWorkerSet"))]
    assert workloads == ["LeaderWorkerSet chat", "Deployment chat-prefill", "Deployment chat-router"]


def test_optional_kinds_are_made_where_they_are_served() -> None:
    kinds = {each.kind for each in wanted(describe(service(replicas=2), PICKED), offered=ALL)}
    assert {POD_MONITORS, INFERENCE_POOLS} <= kinds
    assert not kinds & {each.kind for each in wanted(describe(service(), PICKED))} & ALL


def test_every_kind_that_is_made_is_among_the_owned() -> None:
    specs: list[dict[str, Any]] = [
        {"replicas": 2, "router": {}},
        {"replicas": 2, "parallelism": {"tensor": 2, "nodes": 2}},
    ]
    assert {
        each.kind for spec in specs for each in wanted(describe(service(**spec), PICKED), offered=ALL)
    } == set(OWNED_KINDS)


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"parallelism": {"tensor": 4, "nodes": 4}}, "parallelism.nodes is 4"),
        (
            {"prefill": {"replicas": 1, "parallelism": {"tensor": 2, "nodes": 2}}, "router": {}},
            "prefill.parallelism.nodes is 2",
        ),
    ],
)
def test_what_needs_an_absent_api_is_said_and_nothing_is_made(spec: dict[str, Any], field: str) -> None:
    one = service(**spec)
    sentence = lacking(describe(one, PICKED), frozenset({POD_MONITORS}))
    assert sentence is not None
    assert sentence.startswith(field)
    assert "leaderworkerset.x-k8s.io/v1" in sentence
    assert wanted(describe(one, Defaults()), offered=frozenset({POD_MONITORS})) == ()
    assert lacking(describe(one, PICKED), frozenset({LEADER_WORKER_SETS})) is None


def test_an_attached_service_becomes_nothing() -> None:
    attached = service(workloadRef={"apiVersion": "apps/v1", "kind": "Deployment", "name": "theirs"})
    assert wanted(describe(attached, PICKED), offered=ALL) == ()
    assert lacking(describe(attached, PICKED), frozenset()) is None


def test_everything_belongs_to_the_service_and_says_so() -> None:
    one = service(replicas=2, prefill={"replicas": 2}, router={"replicas": 2})
    for each in wanted(describe(one, PICKED), offered=ALL):
        metadata = each.manifest["metadata"]
        assert (each.manifest["apiVersion"], each.manifest["kind"]) == (each.kind.api_version, each.kind.kind)
        assert metadata["namespace"] == "serving"
        assert metadata["labels"]["loadline.dev/service"] == "chat"
        (owner,) = metadata["ownerReferences"]
        assert (owner["uid"], owner["controller"]) == ("uid-chat", True)
        assert one.metadata.uid in owners_of(each.manifest)
        assert service("other").metadata.uid not in owners_of(each.manifest)


def test_requests_go_to_routers_where_there_are_some() -> None:
    routed = found(service(router={}), SERVICES, name="chat")["spec"]["selector"]
    assert routed == {"loadline.dev/service": "chat", "loadline.dev/pool": "router"}
    plain = found(service(), SERVICES, name="chat")["spec"]["selector"]
    assert plain == {"loadline.dev/service": "chat", "loadline.dev/pool": "main"}
    spread = found(service(parallelism={"tensor": 2, "nodes": 2}), SERVICES, name="chat")["spec"]["selector"]
    assert spread == {**plain, "leaderworkerset.sigs.k8s.io/worker-index": "0"}


def test_a_drain_takes_one_pod_at_a_time_and_any_that_is_broken() -> None:
    budget = found(service(replicas=2), POD_DISRUPTION_BUDGETS, name="chat")["spec"]
    assert (budget["maxUnavailable"], budget["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")
    assert budget["selector"]["matchLabels"]["loadline.dev/pool"] == "main"


@pytest.mark.parametrize("replicas", [0, 1])
def test_a_single_replica_does_not_keep_its_node_from_being_drained(replicas: int) -> None:
    assert not any("Budget" in each for each in listed(service(replicas=replicas)))


def test_engines_and_routers_are_read_where_they_tell_of_themselves() -> None:
    one = service(router={})
    engines, routers = (found(one, POD_MONITORS, name=name) for name in ("chat", "chat-router"))
    assert engines["spec"]["podMetricsEndpoints"] == [{"port": "http", "path": "/metrics"}]
    assert routers["spec"]["podMetricsEndpoints"] == [{"port": "metrics", "path": "/metrics"}]
    assert engines["metadata"]["labels"]["release"] == "prometheus"
    pools = [each["spec"]["selector"]["matchExpressions"][0]["values"] for each in (engines, routers)]
    assert pools == [["main", "prefill"], ["router"]]


def test_a_gateway_is_offered_the_pool_that_has_no_router() -> None:
    pool = found(service(), INFERENCE_POOLS, name="chat")["spec"]
    assert pool["selector"]["matchLabels"]["loadline.dev/pool"] == "main"
    assert pool["endpointPickerRef"] == {
        "name": "chat-epp",
        "port": {"number": 9002},
        "failureMode": "FailOpen",
    }
    assert pool["targetPorts"] == [{"number": 8000}]


@pytest.mark.parametrize(("spec", "defaults"), [({"router": {}}, PICKED), ({}, Defaults())])
def test_no_pool_is_offered_beside_a_router_or_without_a_picker(
    spec: dict[str, Any], defaults: Defaults
) -> None:
    assert INFERENCE_POOLS not in {
        each.kind for each in wanted(describe(service(**spec), defaults), offered=ALL)
    }


def test_the_hash_shows_what_an_edit_removes() -> None:
    before = found(service(template={"hostNetwork": True}), DEPLOYMENTS, name="chat")
    after = found(service(), DEPLOYMENTS, name="chat")
    assert before["metadata"]["annotations"][APPLIED] != after["metadata"]["annotations"][APPLIED]


def test_replicas_can_be_left_to_somebody_else() -> None:
    (one,) = [each for each in wanted(describe(service(replicas=3), Defaults())) if each.kind is DEPLOYMENTS]
    left = without_replicas(one)
    assert "replicas" not in left.manifest["spec"]
    assert left.manifest["spec"]["template"] == one.manifest["spec"]["template"]
    assert left.manifest["metadata"]["annotations"] != one.manifest["metadata"]["annotations"]
    (other,) = [
        each for each in wanted(describe(service(replicas=5), Defaults())) if each.kind is DEPLOYMENTS
    ]
    assert without_replicas(other) == left


NAMES = st.from_regex(r"[a-z]([-a-z0-9]{0,51}[a-z0-9])?", fullmatch=True)


@given(name=NAMES)
def test_every_name_and_label_is_short_enough(name: str) -> None:
    one = service(name, replicas=2, prefill={"replicas": 2}, router={"replicas": 2})
    for each in wanted(describe(one, PICKED), offered=ALL):
        metadata = each.manifest["metadata"]
        template = each.manifest.get("spec", {}).get("template", {}).get("metadata", {})
        assert len(metadata["name"]) <= 63
        labels = {**metadata["labels"], **template.get("labels", {})}
        assert all(len(value) <= 63 for value in labels.values())


def test_wanted_twice_is_the_same_twice() -> None:
    one = service(replicas=2, prefill={"replicas": 2}, router={})
    assert wanted(describe(one, PICKED), offered=ALL) == wanted(describe(one, PICKED), offered=ALL)
    assert all(isinstance(each, Wanted) for each in wanted(describe(one, PICKED), offered=ALL))


QUEUED = {
    "kueue.x-k8s.io/queue-name": "team-a",
    "kueue.x-k8s.io/priority-class": "high",
    "kai.scheduler/queue": "a",
    "runai/queue": "a",
    "scheduling.volcano.sh/queue-name": "a",
    "yunikorn.apache.org/queue": "root.a",
    "leaderworkerset.sigs.k8s.io/exclusive-topology": "rack",
}
LEFT = {
    "team": "blue",
    "app.kubernetes.io/name": "theirs",
    "kueue": "x",
    "example.com/kueue.x-k8s.io": "x",
    "argocd.argoproj.io/instance": "prod",
    "leaderworkerset.sigs.k8s.io/name": "x",
    "loadline.dev/pool": "x",
}


@pytest.mark.parametrize("part", ["labels", "annotations"])
@pytest.mark.parametrize("spec", [{}, {"parallelism": {"tensor": 2, "nodes": 2}}], ids=["pods", "groups"])
def test_what_queues_read_of_a_service_its_workloads_carry(part: str, spec: dict[str, Any]) -> None:
    def made(marks: dict[str, str]) -> dict[str, Manifest]:
        metadata = {"name": "chat", "namespace": "serving", "uid": "u", part: marks}
        whole = {"model": {"uri": "hf://org/llm"}, "router": {}, **spec}
        one = InferenceService.parse({"metadata": metadata, "spec": whole})
        return {
            f"{each.kind.kind} {each.key.name}": each.manifest
            for each in wanted(describe(one, PICKED), offered=ALL)
        }

    plain, queued = made({}), made({**QUEUED, **LEFT})
    changed = {name for name in plain if plain[name] != queued[name]}
    assert changed == {name for name in plain if name.split()[0] in ("Deployment", "LeaderWorkerSet")}
    for name in changed:
        before, after = plain[name]["metadata"][part], queued[name]["metadata"][part]
        assert {key: after[key] for key in after.keys() - before.keys()} == QUEUED
        assert {key: after[key] for key in before if key != APPLIED} == {
            key: before[key] for key in before if key != APPLIED
        }
        assert queued[name]["spec"] == plain[name]["spec"], "no pod is made anew"
