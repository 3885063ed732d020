"""What services become is what the API server takes, field by field, and PodSecurity admits its pods."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import yaml

from loadline_api import generate
from loadline_api.inference_services import InferenceService
from loadline_api.names import API_VERSION
from loadline_operator.kube.kinds import DEPLOYMENTS, LEADER_WORKER_SETS, Manifest
from loadline_operator.services.objects.defaults import Defaults
from loadline_operator.services.objects.descriptions import describe
from loadline_operator.services.objects.manifests import OPTIONAL_KINDS, Wanted, wanted
from testbed import pages
from testbed.cluster import definitions
from testbed.cluster.bed import Bed
from testbed.cluster.clients import APPLY, Object
from testbed.cluster.errors import ApiError

EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("*.yaml"))
PICKED = Defaults(
    endpoint_picker="{service}-epp",
    monitor_labels={"release": "prometheus"},
    agent_url="http://loadline-agent-workers.loadline-system.svc:9479",
)
CACHED = Defaults(model_cache="/var/lib/loadline-models")

SPECS: dict[str, dict[str, Any]] = {
    "plain": {},
    "full": {
        "model": {"uri": "hf://org/llm@v1", "name": "talk"},
        "replicas": 2,
        "parallelism": {"tensor": 2, "data": 2, "expert": True},
        "engine": {"maxModelLength": 4096, "maxSequences": 8, "arguments": ["--enforce-eager"]},
        "kvCache": {"dtype": "fp8"},
        "rolloutStrategy": {"maxSurge": "25%", "maxUnavailable": 1},
    },
    "split": {"replicas": 2, "prefill": {"perDecode": "1"}, "router": {"replicas": 2}},
    "groups": {"replicas": 2, "parallelism": {"tensor": 8, "nodes": 2}, "router": {}},
    "claim": {"model": {"uri": "pvc://weights/llm"}},
    "image": {"model": {"uri": "oci://registry.example:5000/models/llm:v2/weights"}},
    "tls": {"engine": {"arguments": ["--ssl-certfile=/tls/tls.crt", "--ssl-keyfile=/tls/tls.key"]}},
    "elsewhere": {
        "template": {"containers": [{"name": "vllm", "ports": [{"name": "http", "containerPort": 9000}]}]},
        "router": {"template": {"containers": [{"name": "router", "ports": [{"containerPort": 8000}]}]}},
    },
    "bare-port": {"template": {"containers": [{"name": "vllm", "ports": [{"containerPort": 8000}]}]}},
    "draft": {
        "engine": {"arguments": ['--speculative-config={"model":"org/draft","num_speculative_tokens":3}']},
        "template": {"initContainers": [{"name": "proxy", "image": "proxy:1", "restartPolicy": "Always"}]},
    },
    "file": {"model": {"uri": "file:///models/tiny"}},
}

EMPTY: Mapping[str, Any] = MappingProxyType({})

OTHERS = (
    definitions.LEADER_WORKER_SETS,
    definitions.POD_MONITORS,
    definitions.INFERENCE_POOLS,
    definitions.SCALED_OBJECTS,
)


@pytest.fixture(scope="module")
def server(bed: Bed) -> Iterator[Bed]:
    """The bed with our kinds, and for as long with those that a service may be made into."""
    others = [definitions.read(one) for one in OTHERS]
    bed.apply([*map(generate.crd, generate.DEFINITIONS), *others])
    yield bed
    for one in others:
        bed.client.delete(bed.client.path_of(one))


@pytest.fixture(scope="module")
def guarded(server: Bed) -> Iterator[dict[str, str]]:
    """Two namespaces in which PodSecurity refuses what it would warn of elsewhere."""
    names = {level: f"guarded-{level}" for level in ("baseline", "restricted")}
    for level, name in names.items():
        label = {"pod-security.kubernetes.io/enforce": level}
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": label}}
        server.apply([namespace])
        server.wait("wait", "--for=create", "serviceaccount/default", namespace=name)
    yield names
    for name in names.values():
        server.kubectl("delete", "namespace", name, "--wait=false")


def made(
    defaults: Defaults, *, namespace: str = "default", marks: Mapping[str, Any] = EMPTY, **spec: Any
) -> tuple[Wanted, ...]:
    """What a service of that spec becomes where everything is installed; `marks` is more of its metadata."""
    uid = "11111111-1111-1111-1111-111111111111"
    metadata = {**marks, "name": "chat", "namespace": namespace, "uid": uid}
    whole = {"model": {"uri": "hf://org/llm"}, **spec}
    described = describe(InferenceService.parse({"metadata": metadata, "spec": whole}), defaults)
    return wanted(described, offered=frozenset(OPTIONAL_KINDS))


def tried(bed: Bed, manifest: Manifest) -> Object:
    """What the API server would make of an apply; it refuses what its schema doesn't know."""
    told = {"fieldManager": "test", "force": "true", "dryRun": "All", "fieldValidation": "Strict"}
    return bed.client.patch(bed.client.path_of(manifest), manifest, content_type=APPLY, **told)


def pods(defaults: Defaults, namespace: str, **spec: Any) -> list[Object]:
    """A pod of each template of a service."""
    templates = []
    for one in made(defaults, namespace=namespace, **spec):
        if one.kind is DEPLOYMENTS:
            templates.append(one.manifest["spec"]["template"])
        elif one.kind is LEADER_WORKER_SETS:
            group = one.manifest["spec"]["leaderWorkerTemplate"]
            templates += [group["leaderTemplate"], group["workerTemplate"]]
    head = {"apiVersion": "v1", "kind": "Pod"}
    return [
        {
            **head,
            "metadata": {**template["metadata"], "name": f"pod-{index}", "namespace": namespace},
            "spec": {**template["spec"], "serviceAccountName": "default"},
        }
        for index, template in enumerate(templates)
    ]


@pytest.mark.parametrize("defaults", [PICKED, CACHED], ids=["picked", "cached"])
@pytest.mark.parametrize("name", SPECS)
def test_every_manifest_is_taken_strictly(server: Bed, name: str, defaults: Defaults) -> None:
    for one in made(defaults, **SPECS[name]):
        taken = tried(server, one.manifest)
        assert taken["metadata"]["name"] == one.key.name


QUEUED = {
    "labels": {"kueue.x-k8s.io/queue-name": "team-a", "kai.scheduler/queue": "a", "team": "blue"},
    "annotations": {
        "scheduling.volcano.sh/queue-name": "a",
        "leaderworkerset.sigs.k8s.io/exclusive-topology": "rack",
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
    },
}


def test_queues_find_deployments_and_groups_by_the_objects_themselves(server: Bed) -> None:
    """A group of nodes, a split and a router: each workload, and no pod of it."""
    spec: dict[str, Any] = {"parallelism": {"tensor": 8, "nodes": 2}, "router": {}}
    spec["prefill"] = {"replicas": 1, "parallelism": {"tensor": 8}}
    kinds = set()
    for one in made(PICKED, marks=QUEUED, **spec):
        metadata = tried(server, one.manifest)["metadata"]
        workload = one.kind in (DEPLOYMENTS, LEADER_WORKER_SETS)
        labels, annotations = metadata["labels"], metadata.get("annotations", {})
        assert ("kueue.x-k8s.io/queue-name" in labels) is ("kai.scheduler/queue" in labels) is workload
        assert ("scheduling.volcano.sh/queue-name" in annotations) is workload
        assert ("leaderworkerset.sigs.k8s.io/exclusive-topology" in annotations) is workload
        assert "team" not in labels
        assert "kueue" not in str(one.manifest.get("spec", {}).get("template", ""))
        kinds |= {one.kind} if workload else set()
    assert kinds == {DEPLOYMENTS, LEADER_WORKER_SETS}


def test_a_field_that_nobody_knows_would_be_refused(server: Bed) -> None:
    (deployment,) = [one.manifest for one in made(PICKED) if one.kind is DEPLOYMENTS]
    wrong = {**deployment, "spec": {**deployment["spec"], "replica": 2}}
    with pytest.raises(ApiError, match="replica"):
        tried(server, wrong)


@pytest.mark.parametrize("name", SPECS)
def test_baseline_admits_the_pods(server: Bed, guarded: dict[str, str], name: str) -> None:
    found = pods(Defaults(), guarded["baseline"], **SPECS[name])
    assert found
    for pod in found:
        tried(server, pod)


def test_baseline_refuses_the_nodes_cache(server: Bed, guarded: dict[str, str]) -> None:
    (pod,) = pods(CACHED, guarded["baseline"])
    with pytest.raises(ApiError, match=r'violates PodSecurity "baseline.*hostPath volumes'):
        tried(server, pod)


def test_restricted_asks_for_a_user_and_nothing_else(server: Bed, guarded: dict[str, str]) -> None:
    (plain,) = pods(Defaults(), guarded["restricted"])
    with pytest.raises(ApiError, match="runAsNonRoot") as refused:
        tried(server, plain)
    assert not any(other in str(refused.value) for other in ("seccomp", "capabilities", "Escalation"))
    template = {"securityContext": {"runAsNonRoot": True, "runAsUser": 1000}}
    for pod in pods(Defaults(), guarded["restricted"], template=template):
        tried(server, pod)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_taken(server: Bed, example: Path) -> None:
    for one in yaml.safe_load_all(example.read_text()):
        tried(server, one)


@pytest.mark.parametrize(
    "block",
    [one for one in pages.blocks(pages.README) if one.language == "yaml"],
    ids=lambda block: block.section,
)
def test_every_manifest_of_readme_is_taken(server: Bed, block: pages.Block) -> None:
    tried(server, yaml.safe_load(block.text))


@pytest.mark.parametrize(
    "spec",
    [
        {"parallelism": {"tensor": 2, "nodes": 2}},
        {"prefill": {"replicas": 1, "parallelism": {"tensor": 2, "nodes": 2}}, "router": {}},
    ],
)
def test_a_group_of_nodes_needs_a_name_that_its_pods_can_bear(server: Bed, spec: dict[str, Any]) -> None:
    head = {"apiVersion": API_VERSION, "kind": "InferenceService"}
    whole = {**head, "spec": {"model": {"uri": "hf://org/llm"}, **spec}}
    tried(server, {**whole, "metadata": {"name": "c" * 40, "namespace": "default"}})
    with pytest.raises(ApiError, match="shorten it to 40 characters"):
        tried(server, {**whole, "metadata": {"name": "c" * 41, "namespace": "default"}})
    alone = {**whole, "spec": {"model": {"uri": "hf://org/llm"}}}
    tried(server, {**alone, "metadata": {"name": "c" * 53, "namespace": "default"}})
