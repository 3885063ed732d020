"""A key goes out of our pod by every way in which kubectl writes, and is back once nobody removes it."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from testbed.api_callers import eventually
from testbed.cluster.bed import Bed
from testbed.cluster.clients import Object
from testbed.cluster.errors import KubectlFailed
from testbed.doubles.operators import says, service

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("operator")]

GPU, SLICE = "nvidia.com/gpu", "nvidia.com/mig-1g.10gb"
REMOVAL = {"container": "vllm", "path": f"resources.limits[{GPU}]"}
CONTAINER = {"name": "vllm", "resources": {"limits": {SLICE: "1"}}}


def manifest(namespace: str, *removals: Object) -> str:
    """A service on a slice of a GPU, as its user writes it."""
    template = {"remove": list(removals), "spec": {"containers": [CONTAINER]}}
    return json.dumps(service("mig", namespace=namespace, template=template))


def limits(bed: Bed, namespace: str) -> Object:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/mig"
    (engine,) = bed.client.get(path)["spec"]["template"]["spec"]["containers"]
    found: Object = engine["resources"]["limits"]
    return found


def has_a_slice_alone(bed: Bed, namespace: str) -> None:
    assert limits(bed, namespace) == {SLICE: "1"}


def has_both(bed: Bed, namespace: str) -> None:
    assert limits(bed, namespace) == {SLICE: "1", GPU: "1"}


Write = Callable[..., Any]


def create(bed: Bed, namespace: str) -> None:
    bed.kubectl("create", "-f", "-", input=manifest(namespace, REMOVAL))


def apply(bed: Bed, namespace: str) -> None:
    bed.kubectl("apply", "-f", "-", input=manifest(namespace, REMOVAL))


def apply_over_an_older_one(bed: Bed, namespace: str) -> None:
    bed.kubectl("apply", "-f", "-", input=manifest(namespace))
    eventually(lambda: has_both(bed, namespace))
    apply(bed, namespace)


def apply_on_the_server(bed: Bed, namespace: str) -> None:
    bed.kubectl("apply", "--server-side", "-f", "-", input=manifest(namespace, REMOVAL))


def patch(bed: Bed, namespace: str) -> None:
    bed.kubectl("apply", "-f", "-", input=manifest(namespace))
    change = json.dumps({"spec": {"template": {"remove": [REMOVAL]}}})
    bed.kubectl("patch", "llsvc/mig", "-n", namespace, "--type=merge", "-p", change)


@pytest.mark.parametrize(
    "write",
    [create, apply, apply_over_an_older_one, apply_on_the_server, patch],
    ids=lambda write: write.__name__,
)
def test_a_gpu_goes(harbour: Bed, namespace: str, write: Write) -> None:
    write(harbour, namespace)
    eventually(lambda: has_a_slice_alone(harbour, namespace))


EDITOR = """#!{python}
import sys, yaml
with open(sys.argv[1]) as file:
    whole = yaml.safe_load(file)
whole["spec"]["template"]["remove"] = {removals!r}
with open(sys.argv[1], "w") as file:
    yaml.safe_dump(whole, file)
"""
"""What a person does in an editor."""


def edit(bed: Bed, namespace: str, directory: Path, *removals: Object) -> None:
    program = directory / "editor"
    program.write_text(EDITOR.format(python=sys.executable, removals=list(removals)))
    program.chmod(0o755)
    bed.kubectl("edit", "llsvc/mig", "-n", namespace, editor=program)


def test_a_gpu_goes_and_comes_again_by_edit(harbour: Bed, namespace: str, tmp_path: Path) -> None:
    harbour.kubectl("apply", "-f", "-", input=manifest(namespace))
    eventually(lambda: has_both(harbour, namespace))
    edit(harbour, namespace, tmp_path, REMOVAL)
    eventually(lambda: has_a_slice_alone(harbour, namespace))
    edit(harbour, namespace, tmp_path)
    eventually(lambda: has_both(harbour, namespace))


def test_null_goes_the_same_way_where_kubectl_sends_it(harbour: Bed, namespace: str) -> None:
    """What the docs warn of: client-side apply drops it before anybody sees it."""
    container = {"name": "vllm", "resources": {"limits": {SLICE: "1", GPU: None}}}
    body = json.dumps(service("mig", namespace=namespace, template={"containers": [container]}))
    harbour.kubectl("apply", "-f", "-", input=body)
    eventually(lambda: has_both(harbour, namespace))
    harbour.kubectl("delete", "llsvc/mig", "-n", namespace)
    harbour.kubectl("create", "-f", "-", input=body)
    eventually(lambda: has_a_slice_alone(harbour, namespace))


def test_a_path_that_leads_nowhere_is_told_beside_how_the_service_stands(
    harbour: Bed, namespace: str
) -> None:
    wrong = {"container": "vllm", "path": "resources.limits[nvidia.com/gpus]"}
    harbour.kubectl("apply", "-f", "-", input=manifest(namespace, wrong))

    def told() -> None:
        found = says(harbour, "mig", "Ready", namespace=namespace)
        assert "template.remove has resources.limits[nvidia.com/gpus] of container vllm" in found.get(
            "message", ""
        )

    eventually(told)


@pytest.mark.parametrize(
    ("removal", "words"),
    [
        (
            {"container": "vllm", "path": "/livenessProbe"},
            "has the path /livenessProbe: join field names by dots",
        ),
        ({"container": "vllm", "path": "limits.nvidia.com/gpu"}, "has the path limits.nvidia.com/gpu"),
        ({"container": "vllm", "path": "ports[http]"}, "has the path ports[http]: probes, Services"),
        ({"container": "router", "path": "ports"}, "has the path ports: probes, Services"),
        ({"container": "vllm", "path": "env[LOADLINE_POOL]"}, "env[HF_TOKEN], or set another value"),
        ({"path": "containers[vllm]"}, "the pod needs it"),
        ({"path": "metadata.labels"}, "select the pod by its labels"),
        ({"container": "vllm"}, "path: Required"),
        ({"container": "vllm", "paths": "livenessProbe", "path": "a"}, "unknown field"),
        ("livenessProbe", "remove"),
    ],
    ids=lambda case: str(case.get("path", "pathless")) if isinstance(case, dict) else "",
)
def test_a_wrong_removal_is_refused_with_the_fix(
    harbour: Bed, namespace: str, removal: Any, words: str
) -> None:
    for field in ({"template": {"remove": [removal]}}, {"router": {"template": {"remove": [removal]}}}):
        body = json.dumps(service("mig", namespace=namespace, **field))
        with pytest.raises(KubectlFailed) as refused:
            harbour.kubectl("apply", "--dry-run=server", "-f", "-", input=body)
        assert words in str(refused.value)
