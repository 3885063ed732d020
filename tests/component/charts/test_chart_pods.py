"""The pods of operator and agents: what they run, know, may and mount."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from loadline_agent import settings
from loadline_agent.settings import Settings
from loadline_api import names
from testbed import charts
from testbed.charts import Manifest


def pod(kind: str, name: str, values: dict[str, Any] | None = None) -> Manifest:
    template: Manifest = charts.one(kind, name, values=values)["spec"]["template"]
    return template


def operator(values: dict[str, Any] | None = None) -> Manifest:
    (container,) = charts.containers(charts.one("Deployment", "loadline-operator", values=values))
    return container


def agents(values: dict[str, Any] | None = None) -> dict[str, Manifest]:
    daemons = charts.one("DaemonSet", "loadline-agent", values=values)
    return {container["name"]: container for container in charts.containers(daemons)}


def volumes(kind: str, name: str, values: dict[str, Any] | None = None) -> dict[str, Manifest]:
    return {volume["name"]: volume for volume in pod(kind, name, values)["spec"]["volumes"]}


def environment(container: Manifest) -> dict[str, Any]:
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container["env"]}


def test_there_is_one_operator_at_a_time() -> None:
    spec = charts.one("Deployment", "loadline-operator")["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"] == {"type": "Recreate"}


def test_the_operator_keeps_the_restricted_standard() -> None:
    spec = pod("Deployment", "loadline-operator")["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert operator()["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not any("hostPath" in volume for volume in spec["volumes"])


def test_the_operator_serves_on_its_port() -> None:
    assert operator()["command"] == ["loadline-operator"]
    assert [port["containerPort"] for port in operator()["ports"]] == [names.OPERATOR_METRICS_PORT]
    (port,) = charts.one("Service", "loadline-operator")["spec"]["ports"]
    assert port["port"] == names.OPERATOR_METRICS_PORT


def test_the_service_selects_the_operators_pod() -> None:
    selector = charts.one("Service", "loadline-operator")["spec"]["selector"]
    assert selector.items() <= pod("Deployment", "loadline-operator")["metadata"]["labels"].items()


@pytest.mark.parametrize(
    ("kind", "name"), [("Deployment", "loadline-operator"), ("DaemonSet", "loadline-agent")]
)
def test_no_pod_carries_the_charts_version_so_a_new_chart_alone_restarts_nobody(kind: str, name: str) -> None:
    labels = pod(kind, name)["metadata"]["labels"]
    assert labels == charts.one(kind, name)["spec"]["selector"]["matchLabels"]


def test_new_defaults_restart_the_operator_and_nobody_else() -> None:
    changed = {"engine": {"kvBufferDevice": "cpu"}}
    before, after = charts.rendered(), charts.rendered(changed)
    different = [then["metadata"]["name"] for now, then in zip(before, after, strict=True) if now != then]
    assert different == ["loadline-defaults", "loadline-operator"]


def test_agent_and_operator_call_gpus_alike() -> None:
    changed = {"gpuResource": "amd.com/gpu"}
    defaults = charts.one("ConfigMap", "loadline-defaults", values=changed)["data"]["defaults.yaml"]
    assert yaml.safe_load(defaults)["gpuResource"] == "amd.com/gpu"
    assert environment(agents(changed)["agent"])["LOADLINE_GPU_RESOURCE"] == "amd.com/gpu"
    assert environment(agents()["agent"])["LOADLINE_GPU_RESOURCE"] == Settings().gpu_resource


@pytest.mark.parametrize("wanted", [True, False])
def test_the_startup_taint_is_taken_off_only_where_asked(wanted: bool) -> None:
    values = {"agent": {"startupTaint": {"enabled": wanted}}}
    assert ("--remove-startup-taint" in operator(values)["args"]) is wanted
    tolerations = pod("Deployment", "loadline-operator", values)["spec"].get("tolerations", [])
    taint = {"key": names.STARTUP_TAINT, "operator": "Exists"}
    assert (taint in tolerations) is wanted, "it must run where the taint still is"


def test_agent_and_guard_share_nothing_but_the_state_directory() -> None:
    agent, guard = agents()["agent"], agents()["guard"]
    assert agent["command"] == ["loadline-agent", "run"]
    assert guard["command"] == ["loadline-agent", "guard", "--state", names.STATE_DIRECTORY]
    assert [mount["name"] for mount in guard["volumeMounts"]] == ["state"]
    assert {mount["name"] for mount in agent["volumeMounts"]} == {"state", "pod-resources", "tmp", "identity"}
    assert "ports" not in guard


def test_the_state_directory_is_the_hosts() -> None:
    state = volumes("DaemonSet", "loadline-agent")["state"]
    assert state["hostPath"] == {"path": names.STATE_DIRECTORY, "type": "DirectoryOrCreate"}
    assert environment(agents()["agent"])["LOADLINE_STATE_DIR"] == names.STATE_DIRECTORY


def test_a_journal_is_kept_only_where_asked_beside_the_agents_state() -> None:
    assert not any(name.startswith("LOADLINE_JOURNAL") for name in environment(agents()["agent"]))
    values = {"agent": {"stateDirectory": "/srv/loadline", "journal": {"enabled": True, "maxMiB": 64}}}
    told = environment(agents(values)["agent"])
    chosen = settings.parse([], environ={name: told[name] for name in told if "JOURNAL" in name})
    assert chosen.journal == Path("/srv/loadline/journal.jsonl")
    assert chosen.journal_mib == 64
    assert chosen.journal_observations


def test_the_kubelets_socket_is_read_only_wherever_the_host_keeps_it() -> None:
    values = {"agent": {"kubeletPodResources": "/var/lib/k0s/kubelet/pod-resources"}}
    kept = volumes("DaemonSet", "loadline-agent", values)["pod-resources"]
    assert kept["hostPath"] == {"path": "/var/lib/k0s/kubelet/pod-resources", "type": "Directory"}
    (mount,) = (m for m in agents(values)["agent"]["volumeMounts"] if m["name"] == "pod-resources")
    assert mount["readOnly"] is True
    assert mount["mountPath"] == "/var/lib/kubelet/pod-resources"


def test_the_agent_knows_its_node_and_sees_all_gpus() -> None:
    env = environment(agents()["agent"])
    assert env["LOADLINE_NODE"] == {"fieldRef": {"fieldPath": "spec.nodeName"}}
    assert env["LOADLINE_HOST"] == {"fieldRef": {"fieldPath": "status.podIP"}}
    assert env["NVIDIA_VISIBLE_DEVICES"] == "all"
    assert env["NVIDIA_DRIVER_CAPABILITIES"] == "utility"
    ports = agents()["agent"]["ports"]
    assert [port["containerPort"] for port in ports] == [
        names.AGENT_PORT,
        names.AGENT_METRICS_PORT,
        names.AGENT_WORKERS_PORT,
    ]
    assert not any("hostPort" in port for port in ports)


def test_an_engine_reaches_the_agent_of_its_own_node_and_no_other() -> None:
    spec = charts.one("Service", names.WORKERS_SERVICE)["spec"]
    assert (spec["type"], spec["internalTrafficPolicy"]) == ("ClusterIP", "Local")
    assert spec["selector"] == charts.one("DaemonSet", "loadline-agent")["spec"]["selector"]["matchLabels"]
    (port,) = spec["ports"]
    by_name = {one["name"]: one["containerPort"] for one in agents()["agent"]["ports"]}
    assert port["port"] == by_name[port["targetPort"]] == names.AGENT_WORKERS_PORT
    assert environment(agents()["agent"])["LOADLINE_WORKERS_PORT"] == str(names.AGENT_WORKERS_PORT)


def test_the_agent_is_told_only_what_it_understands() -> None:
    told = {name for name in environment(agents()["agent"]) if name.startswith("LOADLINE_")}
    assert told <= {f"LOADLINE_{name.upper()}" for name in Settings.model_fields}


@pytest.mark.parametrize(("can", "added"), [(True, ["SYS_ADMIN"]), (False, None)])
def test_the_one_capability_is_taken_only_to_set_limits(can: bool, added: list[str] | None) -> None:
    for container in agents({"agent": {"canSetLimits": can}}).values():
        security = container["securityContext"]
        assert security["capabilities"].get("add") == added
        assert security["capabilities"]["drop"] == ["ALL"]
        assert security["allowPrivilegeEscalation"] is can
        assert security["readOnlyRootFilesystem"] is True
        assert "privileged" not in security


def test_an_agent_is_in_no_namespace_of_its_host() -> None:
    spec = pod("DaemonSet", "loadline-agent")["spec"]
    assert not {"hostPID", "hostIPC", "hostNetwork"} & spec.keys()
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}


def test_a_token_reaches_only_the_containers_that_talk_to_the_api() -> None:
    assert pod("DaemonSet", "loadline-agent")["spec"]["automountServiceAccountToken"] is False
    guards = {mount["name"] for mount in agents()["guard"]["volumeMounts"]}
    assert "identity" not in guards


def test_the_agents_can_be_left_out() -> None:
    kinds = [found["kind"] for found in charts.rendered({"agent": {"enabled": False}})]
    assert "DaemonSet" not in kinds


def test_how_agents_are_replaced_can_be_said() -> None:
    strategy = {"type": "OnDelete", "rollingUpdate": None}
    spec = charts.one("DaemonSet", "loadline-agent", values={"agent": {"updateStrategy": strategy}})["spec"]
    assert spec["updateStrategy"] == {"type": "OnDelete"}
