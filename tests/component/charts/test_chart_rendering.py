"""What the chart installs: every object looked at as the API server would get it."""

from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

from loadline_api import names
from loadline_policies.documents import built_in, parse
from loadline_policies.kv.predicted_memory import PREDICTED_MEMORY, AdmissionMode, Config
from loadline_policies.loops import Loop
from testbed import charts
from testbed.charts import CHART


def kinds(values: dict[str, Any] | None = None) -> list[str]:
    return [found["kind"] for found in charts.rendered(values)]


def test_helm_finds_nothing_to_complain_about() -> None:
    report = helm_python.lint(CHART, strict=True)
    assert [told for told in report["messages"] if told["severity"] > 0] == []


def test_every_object_is_named_once() -> None:
    seen = [(o["kind"], o["metadata"].get("namespace"), o["metadata"]["name"]) for o in charts.rendered()]
    assert len(seen) == len(set(seen))


def test_namespaced_objects_are_in_the_releases_namespace() -> None:
    found = {o["metadata"].get("namespace") for o in charts.rendered(namespace="elsewhere")}
    assert found == {None, "elsewhere"}
    assert names.SYSTEM_NAMESPACE not in yaml.safe_dump_all(charts.rendered(namespace="elsewhere"))


def test_every_object_of_a_release_can_be_found_by_its_labels() -> None:
    for found in charts.rendered(release="anchor"):
        if found["kind"] != "CustomResourceDefinition":
            labels = found["metadata"]["labels"]
            assert labels["app.kubernetes.io/name"] == "loadline"
            assert labels["app.kubernetes.io/instance"] == "anchor"


def test_crds_are_the_generated_ones_and_nothing_deletes_them() -> None:
    crds = [o for o in charts.rendered() if o["kind"] == "CustomResourceDefinition"]
    assert {o["metadata"]["name"] for o in crds} == {resource.full_name for resource in names.RESOURCES}
    for found in crds:
        assert found["metadata"]["annotations"] == {
            "helm.sh/resource-policy": "keep",
            "argocd.argoproj.io/sync-options": "Prune=false",
        }


def test_no_template_makes_a_crd_or_looks_into_the_cluster() -> None:
    for template in (CHART / "templates").rglob("*"):
        if template.is_file():
            text = template.read_text()
            assert "kind: CustomResourceDefinition" not in text
            assert "lookup" not in text


def test_the_accounts_have_the_names_that_the_code_knows() -> None:
    accounts = {o["metadata"]["name"] for o in charts.rendered() if o["kind"] == "ServiceAccount"}
    assert accounts == {names.OPERATOR_ACCOUNT, names.AGENT_ACCOUNT}


def test_every_pod_runs_the_same_image() -> None:
    values = {"image": {"repository": "registry.example/ships/loadline", "tag": "v9"}}
    assert images(values) == {"registry.example/ships/loadline:v9"}


def test_a_digest_wins_over_the_tag() -> None:
    digest = "sha256:" + "0" * 64
    assert images({"image": {"tag": "v9", "digest": digest}}) == {f"loadline@{digest}"}


def images(values: dict[str, Any]) -> set[str]:
    """The images of everything that runs, hooks among it."""
    found = [*charts.rendered(values)]
    found += [hook for event in ("pre-install", "pre-delete", "test") for hook in charts.hooks(event, values)]
    return {container["image"] for manifest in found for container in charts.containers(manifest)}


def test_the_policy_shipped_is_the_packages_own() -> None:
    shipped = charts.one("ConfigMap", names.DEFAULT_POWER_POLICY)
    assert shipped["metadata"]["labels"][names.POLICY_LABEL] == "power"
    assert shipped["data"][names.POLICY_KEY].strip() == (charts.POLICIES / "power.yaml").read_text().strip()


def test_the_experts_policy_shipped_bounds_nothing() -> None:
    shipped = charts.one("ConfigMap", names.default_policy(Loop.EXPERTS))
    assert shipped["metadata"]["labels"][names.POLICY_LABEL] == "experts"
    document = parse(shipped["data"][names.POLICY_KEY], Loop.EXPERTS)
    assert document.hash == built_in(Loop.EXPERTS).hash


def test_the_kv_policy_shipped_observes_with_the_policys_own_settings() -> None:
    shipped = charts.one("ConfigMap", names.default_policy(Loop.KV))
    assert shipped["metadata"]["labels"][names.POLICY_LABEL] == "kv"
    document = parse(shipped["data"][names.POLICY_KEY], Loop.KV)
    assert document.policy is PREDICTED_MEMORY
    assert document.config == Config()
    assert document.config.admission is AdmissionMode.OBSERVE


def test_the_lines_that_the_kv_policy_shipped_offers_enforce() -> None:
    text = (charts.POLICIES / "kv.yaml").read_text()
    told = [line.removeprefix("# ") for line in text.splitlines() if line.startswith(("# settings:", "#   "))]
    document = parse("\n".join([text, *told]), Loop.KV)
    assert document.config == Config(admission=AdmissionMode.ENFORCE)


def test_the_kv_retention_policy_shipped_bounds_no_request() -> None:
    shipped = charts.one("ConfigMap", names.default_policy(Loop.KV_RETENTION))
    assert shipped["metadata"]["labels"][names.POLICY_LABEL] == "kv-retention"
    document = parse(shipped["data"][names.POLICY_KEY], Loop.KV_RETENTION)
    assert document.hash == built_in(Loop.KV_RETENTION).hash


def test_a_policys_settings_are_merged_over() -> None:
    values = {"policies": {"power": {"overrides": {"settings": {"threshold1Percent": 75}}}}}
    told = yaml.safe_load(
        charts.one("ConfigMap", names.DEFAULT_POWER_POLICY, values=values)["data"][names.POLICY_KEY]
    )
    expected = yaml.safe_load((charts.POLICIES / "power.yaml").read_text())
    expected["settings"]["threshold1Percent"] = 75
    assert told == expected


def test_a_policy_can_be_left_out() -> None:
    left = charts.rendered({"policies": {"power": {"create": False}}})
    assert names.DEFAULT_POWER_POLICY not in [o["metadata"]["name"] for o in left]


def test_the_priority_class_is_the_same_in_role_and_policy() -> None:
    values = {"priority": {"className": "admirals", "default": 10}}
    assert charts.one("ClusterRole", "loadline-priority", values=values)["rules"][0]["resourceNames"] == [
        "admirals"
    ]
    policy = str(charts.one("ValidatingAdmissionPolicy", "loadline-service-priority", values=values)["spec"])
    assert ".name('admirals').check('use')" in policy
    assert "variables.priority <= 10" in policy


def test_the_priority_class_shipped_evicts_nobody() -> None:
    shipped = charts.one("PriorityClass", "loadline-high")
    assert shipped["preemptionPolicy"] == "Never"
    assert "globalDefault" not in shipped


def test_other_priority_classes_can_be_made() -> None:
    values = {"priority": {"classes": [{"name": "admirals", "value": 7}]}}
    assert charts.one("PriorityClass", "admirals", values=values)["value"] == 7
    assert kinds(values).count("PriorityClass") == 1
    assert "PriorityClass" not in kinds({"priority": {"classes": []}})


@pytest.mark.parametrize("file", charts.VALUES, ids=lambda file: file.stem)
def test_any_mix_of_values_makes_whole_objects(file: Path) -> None:
    values = charts.read(file)
    for found in charts.rendered(values):
        assert found["apiVersion"]
        assert found["metadata"]["name"]
    for event in ("pre-install", "pre-upgrade", "pre-delete", "test"):
        for found in charts.hooks(event, values):
            assert found["metadata"]["labels"]["app.kubernetes.io/component"]


def test_where_pods_run_and_what_is_noted_on_them_can_be_said() -> None:
    values = charts.read(charts.CHART / "ci" / "everything-values.yaml")
    for kind, name in (("Deployment", "loadline-operator"), ("DaemonSet", "loadline-agent")):
        given = values[name.removeprefix("loadline-")]
        template = charts.one(kind, name, values=values)["spec"]["template"]
        assert given["podAnnotations"].items() <= template["metadata"]["annotations"].items()
        pod = template["spec"]
        assert pod["nodeSelector"] == given["nodeSelector"]
        assert pod["affinity"] == given["affinity"]
        assert given["tolerations"][0] in pod["tolerations"]
        assert "priorityClassName" not in pod
        assert all(given["extraEnv"][0] in each["env"] for each in pod["containers"])
        account = charts.one("ServiceAccount", name, values=values)
        assert account["metadata"]["annotations"] == given["serviceAccountAnnotations"]
        assert account["imagePullSecrets"] == [{"name": "pull"}]


LEFT = {"crds.install", "image.tag", "agent.enabled", "rbac.aggregateRoles", "policies.power.create"}
"""What would leave something out if it were changed, and the tag, which a digest replaces."""


def test_one_file_of_values_changes_every_default() -> None:
    with helm_python.Chart.load(CHART) as chart:
        changed = chart.merge_values(charts.read(CHART / "ci" / "everything-values.yaml"))
        defaults = chart.values
    documented = [key for key, _, _ in charts.described((CHART / "values.yaml").read_text())]
    same = {key for key in documented if at(defaults, key) == at(changed, key)}
    assert same == {*LEFT, "uninstall.release"}


def at(values: dict[str, Any], path: str) -> Any:
    for key in path.split("."):
        values = values[key]
    return values


def test_the_objects_without_pods_start_with_their_namespace() -> None:
    objects = charts.control_plane_objects(namespace="harbour")
    assert objects[0]["kind"] == "Namespace"
    assert objects[0]["metadata"]["name"] == "harbour"
    assert not {found["kind"] for found in objects} & set(charts.IN_PODS)
