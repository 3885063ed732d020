"""The chart, installed by the real helm; its hooks run under the rights that it gives them."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from demos.serving.helms import Helm, HelmFailed
from loadline_api import generate, names
from testbed import api_callers, charts
from testbed.chart_hooks import Hooks
from testbed.charts import HOOK
from testbed.cluster import binaries
from testbed.cluster.bed import Bed
from testbed.cluster.clients import Object

KEEPS = {("helm", "Apply"), ("kube-apiserver", "Update")}


def test_a_fresh_install_serves_the_kinds_and_leaves_no_hook_behind(
    helm: Helm,
    hooks: Hooks,
    new: str,
    definition: Callable[[str], Object],
    released: Callable[..., list[str]],
) -> None:
    told = helm("install", "loadline", new, "--create-namespace")
    assert "kubectl apply" in told
    for resource in names.RESOURCES:
        conditions = {
            one["type"]: one["status"] for one in definition(resource.plural)["status"]["conditions"]
        }
        assert conditions["Established"] == "True"
    assert hooks.output["crds"].count("unchanged") == len(names.RESOURCES)
    left = released("jobs", "serviceaccounts", "clusterroles", "clusterrolebindings")
    assert not {"loadline-crds", "loadline-release", "loadline-test"} & set(left)


def test_the_hook_creates_definitions_by_name_where_helm_was_told_not_to(
    helm: Helm, hooks: Hooks, new: str, definition: Callable[[str], Object]
) -> None:
    helm("install", "loadline", new, "--create-namespace", "--skip-crds")
    assert hooks.output["crds"].count("created") == len(names.RESOURCES)
    metadata = definition("powerdomains")["metadata"]
    assert metadata["annotations"] == generate.KEPT, "no release owns it"


@pytest.mark.parametrize("way", ["--server-side=true", "--server-side=false"])
def test_only_helm_and_the_server_have_a_hand_in_definitions(
    helm: Helm, hooks: Hooks, new: str, definition: Callable[[str], Object], way: str
) -> None:
    helm("install", "loadline", new, "--create-namespace", way)
    managers = definition("inferenceservices")["metadata"]["managedFields"]
    assert {(one["manager"], one["operation"]) for one in managers} == KEEPS


def test_the_hook_may_touch_no_other_definition(quay: Bed) -> None:
    home = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": names.SYSTEM_NAMESPACE}}
    rights = [one for one in charts.hooks("pre-upgrade") if one["kind"] != "Job"]
    quay.apply([home, *rights])
    hook = api_callers.caller(quay, "loadline-crds")
    body = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    foreign = {**body, "metadata": {"name": "ships.example.com"}}
    told = api_callers.refusal(lambda: hook.apply(f"{path}/ships.example.com", foreign, manager="helm"))
    assert "cannot patch resource" in told
    hook.refusal("DELETE", f"{path}/powerdomains.loadline.dev", by="cannot delete resource")
    hook.refusal("GET", path, by="cannot list resource")
    hook.http.close()


@pytest.mark.parametrize("file", [None, *charts.VALUES], ids=lambda file: file.stem if file else "defaults")
def test_the_real_helm_lints_and_renders_what_the_tests_render(new: str, file: Path | None) -> None:
    (program,) = binaries.need("helm")
    given = ["--values", str(file)] if file else []
    subprocess.run([program, "lint", "--strict", new, *given], check=True, capture_output=True)
    command = [program, "template", "loadline", new, *given, "--namespace", names.SYSTEM_NAMESPACE]
    done = subprocess.run([*map(str, command), "--include-crds"], check=True, capture_output=True, text=True)
    told = [one for one in yaml.load_all(done.stdout, charts.LOADER) if one]
    values = charts.read(file) if file else None
    events = ("pre-upgrade", "pre-delete", "test")
    rendered = [*charts.rendered(values), *(one for event in events for one in charts.hooks(event, values))]
    assert sorted(map(json.dumps, told)) == sorted(map(json.dumps, rendered))
    assert any(HOOK in one["metadata"].get("annotations", {}) for one in told)


@pytest.mark.parametrize("namespace", [names.SYSTEM_NAMESPACE, "elsewhere"])
def test_a_second_release_is_refused_and_changes_nothing_of_the_first(
    helm: Helm, hooks: Hooks, new: str, quay: Bed, namespace: str
) -> None:
    helm("install", "loadline", new, "--create-namespace")
    before = declared(quay)
    with pytest.raises(HelmFailed) as refused:
        Helm(quay, namespace=namespace)("install", "second", new, "--create-namespace")
    assert 'must equal "second": current value is "loadline"' in str(refused.value)
    assert declared(quay) == before


def declared(bed: Bed) -> dict[str, Object]:
    """Everything that a release would touch, as it was declared: without what controllers note on it."""
    kinds = "clusterroles,clusterrolebindings,validatingadmissionpolicies,priorityclasses,crds"
    listed = json.loads(bed.kubectl("get", kinds, "-o", "json"))["items"]
    ours = [one for one in listed if "loadline" in one["metadata"]["name"]]
    for one in ours:
        one["metadata"].pop("resourceVersion")
    return {f"{one['kind']}/{one['metadata']['name']}": {**one, "status": None} for one in ours}
