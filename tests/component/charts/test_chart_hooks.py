"""What Helm runs by itself: each hook has a command that is there, and a right for each thing it does."""

import importlib

import pytest

from loadline_api import generate
from testbed import charts
from testbed.charts import HOOK, Manifest

EVENTS = {"crds": "pre-upgrade", "upgrade": "pre-upgrade", "release": "pre-delete", "test": "test"}
"""At which event a hook runs, by its name."""

RUNS = ("Job", "Pod")


def hook(name: str, values: dict[str, object] | None = None, *, event: str = "") -> list[Manifest]:
    """A hook's objects, in the order that Helm takes them in."""
    found = charts.hooks(event or EVENTS[name], values)
    return [one for one in found if one["metadata"]["labels"]["app.kubernetes.io/component"] == name]


def job(name: str, values: dict[str, object] | None = None) -> Manifest:
    (found,) = (one for one in hook(name, values) if one["kind"] in RUNS)
    return found


def spec(name: str, values: dict[str, object] | None = None) -> Manifest:
    found = job(name, values)["spec"]
    pod: Manifest = found["template"]["spec"] if "template" in found else found
    return pod


@pytest.mark.parametrize("name", EVENTS)
def test_its_command_is_a_module_of_the_image(name: str) -> None:
    (container,) = spec(name)["containers"]
    interpreter, flag, module = container["command"]
    assert (interpreter, flag) == ("python", "-m")
    assert callable(importlib.import_module(module).main)


@pytest.mark.parametrize("name", EVENTS)
def test_its_account_is_there_before_it_and_goes_with_it(name: str) -> None:
    objects = hook(name)
    assert objects[-1]["kind"] in RUNS
    (account,) = (one for one in objects if one["kind"] == "ServiceAccount")
    assert spec(name)["serviceAccountName"] == account["metadata"]["name"]
    for one in objects:
        annotations = one["metadata"]["annotations"]
        assert annotations[f"{HOOK}-delete-policy"] == "before-hook-creation,hook-succeeded"


@pytest.mark.parametrize("name", EVENTS)
def test_it_keeps_the_restricted_standard(name: str) -> None:
    pod = spec(name)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = pod["containers"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["readOnlyRootFilesystem"] is True


@pytest.mark.parametrize("name", EVENTS)
def test_it_runs_where_the_operator_may(name: str) -> None:
    values: dict[str, object] = {"operator": {"nodeSelector": {"a": "b"}, "tolerations": [{"key": "k"}]}}
    assert spec(name, values)["nodeSelector"] == {"a": "b"}
    assert spec(name, values)["tolerations"] == [{"key": "k"}]


def test_definitions_are_brought_up_to_date_before_install_and_upgrade() -> None:
    assert hook("crds", event="pre-install") == hook("crds") == charts.hooks("pre-install")
    (role,) = (one for one in hook("crds") if one["kind"] == "ClusterRole")
    (rule,) = role["rules"]
    named = {generate.crd(one)["metadata"]["name"] for one in generate.DEFINITIONS}
    assert set(rule["resourceNames"]) == named, "these, and no other definition of the cluster"
    assert set(rule["verbs"]) == {"get", "create", "patch"}


def test_no_hook_is_a_definition_since_helm_deletes_hooks() -> None:
    kinds = {one["kind"] for event in {*EVENTS.values()} for one in charts.hooks(event)}
    assert kinds == {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", *RUNS}


def test_the_release_gives_up_before_the_job_is_ended() -> None:
    values: dict[str, object] = {"uninstall": {"timeoutSeconds": 600}}
    (container,) = spec("release", values)["containers"]
    assert container["args"] == ["--timeout-seconds=600"]
    assert job("release", values)["spec"]["activeDeadlineSeconds"] == 630


def test_definitions_and_release_can_be_left_out() -> None:
    assert hook("crds", {"crds": {"install": False}}) == []
    assert charts.hooks("pre-delete", {"uninstall": {"release": False}}) == []


def test_it_is_looked_whether_a_row_is_in_force_before_anything_is_changed() -> None:
    first = charts.hooks("pre-upgrade")[: len(hook("upgrade"))]
    assert [one["metadata"]["name"] for one in first] == ["loadline-upgrade"] * len(hook("upgrade"))


def test_a_rollback_is_looked_at_by_the_version_that_it_goes_back_to() -> None:
    assert charts.hooks("pre-rollback") == hook("upgrade")


def test_an_upgrade_that_breaks_up_a_row_can_be_allowed() -> None:
    (plain,) = spec("upgrade")["containers"]
    assert "args" not in plain
    (allowed,) = spec("upgrade", {"upgrade": {"allowEnforced": True}})["containers"]
    assert allowed["args"] == ["--allow-enforced"]


def test_the_test_asks_the_service_that_is_named() -> None:
    (plain,) = spec("test")["containers"]
    assert not any("--service" in argument for argument in plain["args"])
    assert "--operator=http://loadline-operator.loadline-system:9477" in plain["args"]
    (asking,) = spec("test", {"tests": {"service": "prod/chat"}})["containers"]
    assert "--service=http://chat.prod:8000" in asking["args"]


def test_the_test_needs_no_right() -> None:
    assert not [one for one in charts.hooks("test") if "Role" in one["kind"]]
