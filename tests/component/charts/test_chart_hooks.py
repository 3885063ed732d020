"""What Helm runs by itself: each hook has a command that is there, and a right for each thing it does."""

import importlib

import pytest

from loadline_api import generate
from testbed import charts
from testbed.charts import HOOK, Manifest

EVENTS = ("pre-install", "pre-upgrade", "pre-delete", "test")
RUNS = ("Job", "Pod")


def job(event: str, values: dict[str, object] | None = None) -> Manifest:
    (found,) = (one for one in charts.hooks(event, values) if one["kind"] in RUNS)
    return found


def spec(event: str, values: dict[str, object] | None = None) -> Manifest:
    found = job(event, values)["spec"]
    pod: Manifest = found["template"]["spec"] if "template" in found else found
    return pod


@pytest.mark.parametrize("event", EVENTS)
def test_its_command_is_a_module_of_the_image(event: str) -> None:
    (container,) = spec(event)["containers"]
    interpreter, flag, module = container["command"]
    assert (interpreter, flag) == ("python", "-m")
    assert callable(importlib.import_module(module).main)


@pytest.mark.parametrize("event", EVENTS)
def test_its_account_is_there_before_it_and_goes_with_it(event: str) -> None:
    hooks = charts.hooks(event)
    assert hooks[-1]["kind"] in RUNS
    (account,) = (one for one in hooks if one["kind"] == "ServiceAccount")
    assert spec(event)["serviceAccountName"] == account["metadata"]["name"]
    for hook in hooks:
        annotations = hook["metadata"]["annotations"]
        assert annotations[f"{HOOK}-delete-policy"] == "before-hook-creation,hook-succeeded"


@pytest.mark.parametrize("event", EVENTS)
def test_it_keeps_the_restricted_standard(event: str) -> None:
    pod = spec(event)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = pod["containers"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["readOnlyRootFilesystem"] is True


@pytest.mark.parametrize("event", EVENTS)
def test_it_runs_where_the_operator_may(event: str) -> None:
    values: dict[str, object] = {"operator": {"nodeSelector": {"a": "b"}, "tolerations": [{"key": "k"}]}}
    assert spec(event, values)["nodeSelector"] == {"a": "b"}
    assert spec(event, values)["tolerations"] == [{"key": "k"}]


def test_definitions_are_brought_up_to_date_before_install_and_upgrade() -> None:
    assert charts.hooks("pre-install") == charts.hooks("pre-upgrade")
    (role,) = (one for one in charts.hooks("pre-upgrade") if one["kind"] == "ClusterRole")
    (rule,) = role["rules"]
    named = {generate.crd(one)["metadata"]["name"] for one in generate.DEFINITIONS}
    assert set(rule["resourceNames"]) == named, "these, and no other definition of the cluster"
    assert set(rule["verbs"]) == {"get", "create", "patch"}


def test_no_hook_is_a_definition_since_helm_deletes_hooks() -> None:
    kinds = {one["kind"] for event in EVENTS for one in charts.hooks(event)}
    assert kinds == {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", *RUNS}


def test_the_release_gives_up_before_the_job_is_ended() -> None:
    values: dict[str, object] = {"uninstall": {"timeoutSeconds": 600}}
    (container,) = spec("pre-delete", values)["containers"]
    assert container["args"] == ["--timeout-seconds=600"]
    assert job("pre-delete", values)["spec"]["activeDeadlineSeconds"] == 630


def test_definitions_and_release_can_be_left_out() -> None:
    assert charts.hooks("pre-upgrade", {"crds": {"install": False}}) == []
    assert charts.hooks("pre-delete", {"uninstall": {"release": False}}) == []


def test_the_test_asks_the_service_that_is_named() -> None:
    (plain,) = spec("test")["containers"]
    assert not any("--service" in argument for argument in plain["args"])
    assert "--operator=http://loadline-operator.loadline-system:9477" in plain["args"]
    (asking,) = spec("test", {"tests": {"service": "prod/chat"}})["containers"]
    assert "--service=http://chat.prod:8000" in asking["args"]


def test_the_test_needs_no_right() -> None:
    assert not [one for one in charts.hooks("test") if "Role" in one["kind"]]
