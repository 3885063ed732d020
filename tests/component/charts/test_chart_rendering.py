"""What the chart installs: every object looked at as the API server would get it."""

import re
import shutil
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

from hack import charts
from hack.charts import CHART, Manifest
from loadline_agent.settings import Settings
from loadline_api import names


def one(kind: str, name: str, values: dict[str, Any] | None = None) -> Manifest:
    (found,) = (o for o in charts.rendered(values) if (o["kind"], o["metadata"]["name"]) == (kind, name))
    return found


def kinds(values: dict[str, Any] | None = None) -> list[str]:
    return [found["kind"] for found in charts.rendered(values)]


def containers(manifest: Manifest) -> dict[str, Any]:
    return {each["name"]: each for each in manifest["spec"]["template"]["spec"]["containers"]}


def environment(container: dict[str, Any]) -> dict[str, Any]:
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container["env"]}


def test_helm_finds_nothing_to_complain_about() -> None:
    report = helm_python.lint(CHART, strict=True)
    assert report["errors"] == []
    assert [told["error"] for told in report["messages"] if told["severity"] > 1] == []


def test_every_object_is_named_once() -> None:
    seen = [(o["kind"], o["metadata"].get("namespace"), o["metadata"]["name"]) for o in charts.rendered()]
    assert len(seen) == len(set(seen))


def test_namespaced_objects_are_in_the_releases_namespace() -> None:
    found = {o["metadata"].get("namespace") for o in charts.rendered(namespace="elsewhere")}
    assert found == {None, "elsewhere"}
    assert names.SYSTEM_NAMESPACE not in yaml.safe_dump_all(charts.rendered(namespace="elsewhere"))


def test_crds_are_the_generated_ones_and_outlive_the_release() -> None:
    crds = [o for o in charts.rendered() if o["kind"] == "CustomResourceDefinition"]
    assert {o["metadata"]["name"] for o in crds} == {resource.full_name for resource in names.RESOURCES}
    assert {o["metadata"]["annotations"]["helm.sh/resource-policy"] for o in crds} == {"keep"}


def test_crds_can_be_left_out() -> None:
    assert "CustomResourceDefinition" not in kinds({"crds": {"install": False}})


def test_the_accounts_have_the_names_that_the_code_knows() -> None:
    accounts = {o["metadata"]["name"] for o in charts.rendered() if o["kind"] == "ServiceAccount"}
    assert accounts == {names.OPERATOR_ACCOUNT, names.AGENT_ACCOUNT}


def test_there_is_one_operator_at_a_time() -> None:
    spec = one("Deployment", "loadline-operator")["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"] == {"type": "Recreate"}


def test_the_operator_keeps_the_restricted_standard() -> None:
    pod = one("Deployment", "loadline-operator")["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not any("hostPath" in volume for volume in pod["volumes"])


def test_the_operator_serves_on_its_port() -> None:
    (container,) = containers(one("Deployment", "loadline-operator")).values()
    assert container["command"] == ["loadline-operator"]
    assert [port["containerPort"] for port in container["ports"]] == [names.OPERATOR_METRICS_PORT]
    (port,) = one("Service", "loadline-operator")["spec"]["ports"]
    assert port["port"] == names.OPERATOR_METRICS_PORT


def test_the_service_selects_the_operators_pod() -> None:
    selector = one("Service", "loadline-operator")["spec"]["selector"]
    labels = one("Deployment", "loadline-operator")["spec"]["template"]["metadata"]["labels"]
    assert selector.items() <= labels.items()


def test_agent_and_guard_share_nothing_but_the_state_directory() -> None:
    both = containers(one("DaemonSet", "loadline-agent"))
    agent, guard = both["agent"], both["guard"]
    assert agent["command"] == ["loadline-agent", "run"]
    assert guard["command"] == ["loadline-agent", "guard", "--state", names.STATE_DIRECTORY]
    assert [mount["name"] for mount in guard["volumeMounts"]] == ["state"]
    assert {mount["name"] for mount in agent["volumeMounts"]} == {"state", "tmp", "identity"}
    assert "ports" not in guard


def test_the_state_directory_is_the_hosts() -> None:
    daemons = one("DaemonSet", "loadline-agent")
    volumes = {volume["name"]: volume for volume in daemons["spec"]["template"]["spec"]["volumes"]}
    assert volumes["state"]["hostPath"] == {"path": names.STATE_DIRECTORY, "type": "DirectoryOrCreate"}
    assert environment(containers(daemons)["agent"])["LOADLINE_STATE_DIR"] == names.STATE_DIRECTORY


def test_the_agent_knows_its_node_and_sees_all_gpus() -> None:
    daemons = one("DaemonSet", "loadline-agent")
    env = environment(containers(daemons)["agent"])
    assert env["LOADLINE_NODE"] == {"fieldRef": {"fieldPath": "spec.nodeName"}}
    assert env["LOADLINE_HOST"] == {"fieldRef": {"fieldPath": "status.podIP"}}
    assert env["NVIDIA_VISIBLE_DEVICES"] == "all"
    assert env["NVIDIA_DRIVER_CAPABILITIES"] == "utility"
    ports = [port["containerPort"] for port in containers(daemons)["agent"]["ports"]]
    assert ports == [names.AGENT_PORT, names.AGENT_METRICS_PORT]
    assert not any("hostPort" in port for port in containers(daemons)["agent"]["ports"])


@pytest.mark.parametrize(("can", "added"), [(True, ["SYS_ADMIN"]), (False, None)])
def test_the_one_capability_is_taken_only_to_set_limits(can: bool, added: list[str] | None) -> None:
    daemons = one("DaemonSet", "loadline-agent", {"agent": {"canSetLimits": can}})
    for container in containers(daemons).values():
        assert container["securityContext"]["capabilities"].get("add") == added
        assert container["securityContext"]["capabilities"]["drop"] == ["ALL"]
        assert "privileged" not in container["securityContext"]


def test_the_agents_can_be_left_out() -> None:
    assert "DaemonSet" not in kinds({"agent": {"enabled": False}})


def test_every_pod_runs_the_same_image() -> None:
    values = {"image": {"repository": "registry.example/ships/loadline", "tag": "v9"}}
    images = {
        container["image"]
        for found in charts.rendered(values)
        if found["kind"] in ("Deployment", "DaemonSet")
        for container in containers(found).values()
    }
    assert images == {"registry.example/ships/loadline:v9"}


def test_the_policy_shipped_is_the_packages_own() -> None:
    shipped = one("ConfigMap", names.DEFAULT_POWER_POLICY)
    assert shipped["metadata"]["labels"][names.POLICY_LABEL] == "power"
    assert shipped["data"][names.POLICY_KEY].strip() == (charts.POLICIES / "power.yaml").read_text().strip()


def test_a_policys_settings_are_merged_over() -> None:
    values = {"policies": {"power": {"overrides": {"settings": {"threshold1Percent": 75}}}}}
    told = yaml.safe_load(one("ConfigMap", names.DEFAULT_POWER_POLICY, values)["data"][names.POLICY_KEY])
    expected = yaml.safe_load((charts.POLICIES / "power.yaml").read_text())
    expected["settings"]["threshold1Percent"] = 75
    assert told == expected


def test_a_policy_can_be_left_out() -> None:
    assert "ConfigMap" not in kinds({"policies": {"power": {"create": False}}})


def test_the_priority_class_is_the_same_in_role_and_policy() -> None:
    values = {"priority": {"className": "admirals", "default": 10}}
    assert one("ClusterRole", "loadline-priority", values)["rules"][0]["resourceNames"] == ["admirals"]
    policy = str(one("ValidatingAdmissionPolicy", "loadline-service-priority", values)["spec"])
    assert ".name('admirals').check('use')" in policy
    assert "variables.priority <= 10" in policy


@pytest.mark.parametrize(
    ("monitor", "kind"), [("serviceMonitor", "ServiceMonitor"), ("podMonitor", "PodMonitor")]
)
def test_monitors_need_the_flag_and_the_api(tmp_path: Path, monitor: str, kind: str) -> None:
    values = {"monitoring": {monitor: {"enabled": True, "labels": {"team": "sre"}}}}
    assert kind not in kinds(values), "that API is not there"
    copy = shutil.copytree(CHART, tmp_path / "loadline")
    template = copy / "templates" / "monitors.yaml"
    template.write_text(re.sub(r'Has "monitoring.coreos.com/v1/\w+"', 'Has "v1"', template.read_text()))
    with helm_python.Chart.load(copy) as chart:
        without = chart.render({}, name="loadline", namespace="x")["loadline/templates/monitors.yaml"]
        text = chart.render(values, name="loadline", namespace="x")["loadline/templates/monitors.yaml"]
    assert without.strip() == ""
    (found,) = (told for told in yaml.safe_load_all(text) if told)
    assert found["kind"] == kind
    assert found["metadata"]["labels"]["team"] == "sre"


MATRIX = [
    {},
    {"crds": {"install": False}, "agent": {"enabled": False}},
    {"imagePullSecrets": [{"name": "pull"}], "image": {"tag": "1", "pullPolicy": "Never"}},
    {
        part: {
            "nodeSelector": {"a": "b"},
            "tolerations": [{"key": "k", "operator": "Exists"}],
            "affinity": {"nodeAffinity": {}},
            "extraEnv": [{"name": "A", "value": "b"}],
            "logLevel": "debug",
        }
        for part in ("operator", "agent")
    },
    {"agent": {"runtimeClassName": "nvidia", "stateDirectory": "/srv/loadline", "canSetLimits": False}},
]


@pytest.mark.parametrize("values", MATRIX, ids=["defaults", "bare", "images", "placement", "agent"])
def test_any_mix_of_values_makes_whole_objects(values: dict[str, Any]) -> None:
    for found in charts.rendered(values):
        assert found["apiVersion"]
        assert found["metadata"]["name"]
    if "operator" in values:
        for kind, name in (("Deployment", "loadline-operator"), ("DaemonSet", "loadline-agent")):
            pod = one(kind, name, values)["spec"]["template"]["spec"]
            assert pod["nodeSelector"] == {"a": "b"}
            assert pod["affinity"] == {"nodeAffinity": {}}
            assert all(environment(each)["A"] == "b" for each in pod["containers"])


def test_the_objects_without_pods_start_with_their_namespace() -> None:
    objects = charts.control_plane_objects(namespace="harbour")
    assert objects[0]["kind"] == "Namespace"
    assert objects[0]["metadata"]["name"] == "harbour"
    assert not {found["kind"] for found in objects} & set(charts.IN_PODS)


def test_the_notes_tell_the_next_command() -> None:
    with helm_python.Chart.load(CHART) as chart:
        texts = chart.render({}, name="loadline", namespace="harbour")
    (notes,) = (text for path, text in texts.items() if path.endswith("NOTES.txt"))
    assert "kubectl apply" in notes
    manifest = yaml.safe_load(re.sub(r"^  ", "", notes.split("<<EOF\n")[1].split("  EOF")[0], flags=re.M))
    assert manifest["kind"] == "PowerDomain"


def test_the_agent_is_told_only_what_it_understands() -> None:
    daemons = one("DaemonSet", "loadline-agent")
    told = {name for name in environment(containers(daemons)["agent"]) if name.startswith("LOADLINE_")}
    assert told <= {f"LOADLINE_{name.upper()}" for name in Settings.model_fields}
