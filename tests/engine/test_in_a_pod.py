"""The host's engine in a pod: what is mounted is enough, for a user without any right."""

from pathlib import Path

import httpx
import pytest

from testbed.cluster.node_beds import NodeBed
from testbed.cluster.workloads import Namespace
from testbed.engines.venvs import Venv
from testbed.images import builds
from testbed.images.engine_mounts import ARGUMENTS, MODEL, EngineMounts

CONFINED = {
    "runAsUser": 65532,
    "runAsNonRoot": True,
    "readOnlyRootFilesystem": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


@pytest.mark.timeout(900)
def test_a_mounted_engine_answers_in_a_pod(
    node_bed: NodeBed, node_namespace: str, engine_venv: Venv, tiny_model: Path, plugins: Path
) -> None:
    image = builds.ensure("base")
    node_bed.load_image(image.archive)
    mounts = EngineMounts(venv=engine_venv, model=tiny_model, image=image, plugins=plugins)
    spec = mounts.template()["spec"]
    (engine,) = spec["containers"]
    engine["args"] = [f"--model={MODEL}", "--served-model-name=tiny", "--port=8000", *ARGUMENTS]
    engine["readinessProbe"] = {"httpGet": {"path": "/health", "port": 8000}, "periodSeconds": 2}
    engine["securityContext"] = CONFINED
    engine["env"].append({"name": "HOME", "value": "/home/engine"})
    for name, path in (("home", "/home/engine"), ("shm", "/dev/shm")):
        spec["volumes"].append({"name": name, "emptyDir": {"medium": "Memory"} if name == "shm" else {}})
        engine["volumeMounts"].append({"name": name, "mountPath": path})

    space = Namespace(node_bed, node_namespace)
    space.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "engine"}, "spec": spec})
    space.wait("wait", "pod/engine", "--for=condition=Ready", standstill_s=600.0)

    address = space.kubectl("get", "pod", "engine", "-o", "jsonpath={.status.podIP}")
    body = {"model": "tiny", "prompt": "Where is the harbour?", "max_tokens": 4, "temperature": 0.0}
    url = f"http://{address}:8000"
    answer = httpx.post(f"{url}/v1/completions", json=body, timeout=60.0, trust_env=False).raise_for_status()
    assert len(answer.json()["choices"][0]["text"].split()) == 4
    assert "loadline:plugin_info{" in httpx.get(f"{url}/metrics", timeout=10.0, trust_env=False).text
