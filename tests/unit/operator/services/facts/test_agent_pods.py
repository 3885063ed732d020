"""From when on a node's word is no longer believed, and from when on it is again."""

from typing import Any

import pytest

from loadline_api.names import AGENT_SELECTOR
from loadline_operator.kube.kinds import Manifest
from loadline_operator.services.facts.agent_pods import AgentPods
from testbed import charts
from testbed.clocks import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock(100.0)


@pytest.fixture
def agents(clock: Clock) -> AgentPods:
    return AgentPods(silent_after_s=60.0, clock=clock)


def pod(
    name: str = "agent-1", *, version: int = 1, ready: bool = True, node: str = "a", **more: Any
) -> Manifest:
    status = {"conditions": [{"type": "Ready", "status": str(ready)}]}
    metadata = {"name": name, "namespace": "system", "uid": name, "resourceVersion": str(version), **more}
    return {"metadata": metadata, "spec": {"nodeName": node}, "status": status}


def test_a_node_without_an_agents_pod_is_believed(agents: AgentPods) -> None:
    assert not agents.silent("a")
    assert not agents.fades("a")


def test_a_node_whose_agent_is_ready_is_believed_for_ever(agents: AgentPods, clock: Clock) -> None:
    assert agents.see(pod(), False) == set()
    clock.now += 1e6
    assert not agents.silent("a")


def test_a_node_whose_agent_is_no_longer_ready_fades_and_is_then_silent(
    agents: AgentPods, clock: Clock
) -> None:
    agents.see(pod(), False)
    assert agents.see(pod(version=2, ready=False), False) == {"a"}
    assert (agents.fades("a"), agents.silent("a")) == (True, False)
    clock.now += 60.0
    assert (agents.fades("a"), agents.silent("a")) == (False, True)
    assert agents.see(pod(version=3), False) == {"a"}
    assert (agents.fades("a"), agents.silent("a")) == (False, False)


@pytest.mark.parametrize("end", [{"gone": True}, {"deletionTimestamp": "2026-01-01T00:00:00Z"}])
def test_a_pod_that_goes_is_like_one_that_is_not_ready(
    agents: AgentPods, clock: Clock, end: dict[str, Any]
) -> None:
    agents.see(pod(), False)
    gone = end.pop("gone", False)
    assert agents.see(pod(version=2, **end), gone) == {"a"}
    clock.now += 61.0
    assert agents.silent("a")


def test_a_successor_in_time_keeps_the_word_of_the_node(agents: AgentPods, clock: Clock) -> None:
    agents.see(pod(), False)
    agents.see(pod(version=2), True)
    clock.now += 20.0
    assert agents.see(pod("agent-2", ready=False), False) == set()
    clock.now += 20.0
    assert agents.see(pod("agent-2", version=2), False) == {"a"}
    clock.now += 1e6
    assert not agents.silent("a")


def test_the_time_of_quiet_begins_once(agents: AgentPods, clock: Clock) -> None:
    agents.see(pod(), False)
    agents.see(pod(version=2, ready=False), False)
    clock.now += 50.0
    assert agents.see(pod(version=3, ready=False, labels={"a": "b"}), False) == set()
    clock.now += 10.0
    assert agents.silent("a")


def test_what_a_watch_failed_to_tell_is_seen_when_somebody_asks(agents: AgentPods, clock: Clock) -> None:
    agents.see(pod(), False)
    agents.table.forget_missing(agents.table.uids(), {})
    assert agents.fades("a")
    clock.now += 60.0
    assert agents.silent("a")


def test_nodes_are_told_apart(agents: AgentPods, clock: Clock) -> None:
    agents.see(pod(), False)
    agents.see(pod("agent-b", node="b"), False)
    agents.see(pod(version=2, ready=False), False)
    clock.now += 60.0
    assert (agents.silent("a"), agents.silent("b")) == (True, False)


def test_the_charts_agents_carry_the_labels_that_are_looked_for() -> None:
    daemon = next(one for one in charts.rendered() if one["kind"] == "DaemonSet")
    labels = daemon["spec"]["template"]["metadata"]["labels"]
    assert {
        f"{key}={labels.get(key)}" for key in ("app.kubernetes.io/name", "app.kubernetes.io/component")
    } == set(AGENT_SELECTOR.split(","))
