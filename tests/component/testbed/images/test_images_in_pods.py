"""The images on a real node: they start, say what they are, and find each other."""

import httpx
import pytest

from testbed.cluster.clients import Object
from testbed.cluster.node_beds import NodeBed
from testbed.cluster.waits import eventually
from testbed.cluster.workloads import Namespace
from testbed.images import builds
from testbed.images.builds import Image

pytestmark = [pytest.mark.node, pytest.mark.timeout(900)]

PORT = 8000
TRANSFER = '{"kv_connector":"NixlConnector","kv_role":"kv_%s"}'
READER: list[Object] = [
    {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "router"},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}],
    },
    {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "router"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "router"},
        "subjects": [{"kind": "ServiceAccount", "name": "default"}],
    },
]


def loaded(bed: NodeBed, name: str) -> Image:
    """An image that is built and on the node."""
    image = builds.ensure(name)
    assert image.name in bed.load_image(image.archive)
    return image


def pod(name: str, image: Image, *arguments: str, command: list[str] | None = None, path: str) -> Object:
    """A pod of one container that is ready once a path answers."""
    container: Object = {
        "name": "main",
        "image": image.name,
        "imagePullPolicy": "Never",
        "args": list(arguments),
        "env": [
            {"name": "VLLM_NIXL_SIDE_CHANNEL_HOST", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
        ],
        "readinessProbe": {"httpGet": {"path": path, "port": PORT}, "periodSeconds": 1},
        "securityContext": {
            "runAsNonRoot": True,
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    if command:
        container["command"] = command
    spec = {"containers": [container], "terminationGracePeriodSeconds": 5}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"role": name}},
        "spec": spec,
    }


def half(image: Image, name: str, role: str, **more: list[str]) -> Object:
    """A stand-in for one half of a split."""
    transfer = f"--kv-transfer-config={TRANSFER % role}"
    return pod(
        name, image, "--model=tiny", "--port=8000", transfer, path="/health", command=more.get("command")
    )


def test_a_split_of_stand_ins_is_served_by_the_router(node_bed: NodeBed, node_namespace: str) -> None:
    space = Namespace(node_bed, node_namespace)
    standin, router = loaded(node_bed, "standin"), loaded(node_bed, "router")
    flags = ["--host=0.0.0.0", f"--port={PORT}", "--policy=round_robin", "--vllm-pd-disaggregation"]
    flags += ["--service-discovery", f"--service-discovery-namespace={node_namespace}"]
    flags += [f"--service-discovery-port={PORT}", "--prefill-selector", "role=prefill"]
    flags += ["--decode-selector", "role=decode"]
    module = ["python3", "-m", "vllm.entrypoints.openai.api_server"]
    space.apply(
        *READER,
        half(standin, "prefill", "producer"),
        half(standin, "decode", "consumer", command=module),
        pod("router", router, *flags, path="/readiness"),
    )
    space.wait("wait", "pod", "--all", "--for=condition=Ready", standstill_s=120.0)

    url = f"http://{address(space, 'router')}:{PORT}/v1/completions"
    body = {"model": "tiny", "prompt": "one two three", "max_tokens": 8}
    split = httpx.post(url, json=body, timeout=10.0, trust_env=False).raise_for_status()
    alone = httpx.post(
        url.replace(address(space, "router"), address(space, "prefill")), json=body, timeout=10.0
    )
    assert split.json()["choices"] == alone.json()["choices"]

    told = httpx.get(f"http://{address(space, 'decode')}:{PORT}/metrics", trust_env=False).text
    assert 'source="external_kv_transfer"} 3.0' in told


def test_the_image_of_loadline_has_its_programs(node_bed: NodeBed, node_namespace: str) -> None:
    space, image = Namespace(node_bed, node_namespace), loaded(node_bed, "loadline")
    script = "loadline-operator --help && loadline-agent --help && id --user && echo whole"
    assert once(space, image, ["sh", "-c", script]).split()[-2:] == ["65532", "whole"]


def test_the_worker_takes_the_wheel_and_nothing_else(node_bed: NodeBed, node_namespace: str) -> None:
    space, image = Namespace(node_bed, node_namespace), loaded(node_bed, "worker")
    script = "import importlib.metadata as m; print(*sorted(d.name for d in m.distributions()))"
    told = once(space, image, ["python3", "-c", script]).split()
    assert "loadline" in told
    assert not {"kopf", "kubernetes", "httpx", "aiohttp"} & set(told)


def once(space: Namespace, image: Image, command: list[str]) -> str:
    """What a command prints that is run once in an image."""
    container = {"name": "main", "image": image.name, "imagePullPolicy": "Never", "command": command}
    spec = {"restartPolicy": "Never", "containers": [container]}
    space.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "once"}, "spec": spec})
    phase = ("get", "pod", "once", "-o", "jsonpath={.status.phase}")
    assert eventually(lambda: space.kubectl(*phase) in ("Succeeded", "Failed"), 60.0)
    return space.kubectl("logs", "once")


def address(space: Namespace, name: str) -> str:
    """A pod's address."""
    return space.kubectl("get", "pod", name, "-o", "jsonpath={.status.podIP}")
