"""Before anything is deleted, limits go back; what people wrote stays, for whoever installs next."""

import threading
import time
from collections.abc import Callable
from functools import partial

import pytest

from demos.serving.helms import Helm, HelmFailed
from loadline_api import names
from testbed import api_callers, charts
from testbed.chart_hooks import Hooks
from testbed.cluster.bed import Bed
from testbed.cluster.clients import Object

AGENTS = f"/apis/apps/v1/namespaces/{names.SYSTEM_NAMESPACE}/daemonsets/{names.AGENT_ACCOUNT}"
DOMAIN = names.POWER_DOMAINS.path("row-a")
Tell = Callable[[bool], None]
"""Have the one node's agent tell whether it enforces."""


@pytest.fixture
def armed(helm: Helm, hooks: Hooks, new: str, row: Callable[..., Object], tell: Callable[..., None]) -> Tell:
    """A release with a domain in Enforce and a node that holds limits."""
    helm("install", "loadline", new, "--create-namespace", "--set", "uninstall.timeoutSeconds=20")
    row(mode="Enforce")
    tell("pier-0", True)
    return partial(tell, "pier-0")


def released_when_told(bed: Bed, tell: Tell, seen: list[bool]) -> threading.Thread:
    """An agent that gives its limits back a second after its domain went to Observe."""

    def obey() -> None:
        while bed.client.get(DOMAIN)["spec"]["mode"] != "Observe":
            time.sleep(0.05)
        time.sleep(1.0)
        seen.append("metadata" in bed.client.get(AGENTS))
        tell(False)

    thread = threading.Thread(target=obey, daemon=True)
    thread.start()
    return thread


def test_limits_go_back_while_there_are_agents_to_do_it(
    armed: Tell, helm: Helm, hooks: Hooks, quay: Bed, released: Callable[..., list[str]]
) -> None:
    agents_there: list[bool] = []
    agent = released_when_told(quay, armed, agents_there)
    helm("uninstall", "loadline")
    agent.join()
    assert agents_there == [True], "agents are deleted after they were waited for"
    assert "PowerDomain row-a: changed mode Enforce to Observe" in hooks.output["release"]
    assert "waiting for the release of node pier-0" in hooks.output["release"]
    assert released("daemonsets", "deployments", "jobs", "clusterroles", "serviceaccounts") == []


def test_a_node_that_can_not_be_released_stops_the_removal_and_is_named(
    armed: Tell, helm: Helm, hooks: Hooks, quay: Bed
) -> None:
    with pytest.raises(HelmFailed):
        helm("uninstall", "loadline")
    assert "not released in time: node pier-0" in hooks.output["release"]
    assert "helm uninstall --no-hooks" in hooks.output["release"]
    assert quay.client.get(AGENTS)["metadata"]["name"] == names.AGENT_ACCOUNT
    armed(False)
    helm("uninstall", "loadline")
    assert "no node enforces GPU limits" in hooks.output["release"]


def test_without_hooks_everything_goes_at_once_and_limits_stay(
    armed: Tell, helm: Helm, quay: Bed, released: Callable[..., list[str]]
) -> None:
    helm("uninstall", "loadline", "--no-hooks")
    assert released("daemonsets", "deployments") == []
    assert quay.client.get(DOMAIN)["spec"]["mode"] == "Enforce"


def test_what_people_wrote_is_there_for_another_release_elsewhere(
    helm: Helm,
    hooks: Hooks,
    new: str,
    quay: Bed,
    row: Callable[..., Object],
    service: Callable[[], Object],
) -> None:
    helm("install", "loadline", new, "--create-namespace")
    uids = {row()["metadata"]["uid"], service()["metadata"]["uid"]}
    helm("uninstall", "loadline")
    Helm(quay, namespace="harbour")("install", "anchor", new, "--create-namespace")
    chat = quay.client.get(names.INFERENCE_SERVICES.path("chat", namespace="default"))
    assert {quay.client.get(DOMAIN)["metadata"]["uid"], chat["metadata"]["uid"]} == uids
    bound = quay.client.get(
        f"/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/{names.OPERATOR_ACCOUNT}"
    )
    assert [subject["namespace"] for subject in bound["subjects"]] == ["harbour"]


def test_what_the_first_chart_left_is_no_obstacle_either(
    helm: Helm,
    hooks: Hooks,
    quay: Bed,
    old: str,
    new: str,
    row: Callable[..., Object],
    fields: Callable[[str], set[str]],
) -> None:
    helm("install", "loadline", old, "--create-namespace")
    row()
    helm("uninstall", "loadline")
    Helm(quay, namespace="harbour")("install", "anchor", new, "--create-namespace")
    assert "engine" in fields("inferenceservices")


def test_the_release_hook_may_do_this_and_nothing_else(
    quay: Bed, helm: Helm, hooks: Hooks, new: str, row: Callable[..., Object]
) -> None:
    helm("install", "loadline", new, "--create-namespace")
    row()
    quay.apply(one for one in charts.hooks("pre-delete") if one["kind"] != "Job")
    hook = api_callers.caller(quay, "loadline-release")
    api_callers.eventually(lambda: hook.send("GET", names.POWER_DOMAINS.path()))
    hook.refusal("DELETE", DOMAIN, by="cannot delete resource")
    hook.refusal("GET", names.INFERENCE_SERVICES.path(), by="cannot list resource")
    hook.refusal("GET", "/api/v1/secrets", by="cannot list resource")
    hook.http.close()
