"""The operator comes and goes, and so does the API server; nothing is written that was written before."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from typing import Any

import pytest

from loadline_api import names
from loadline_api.journals import JournalEntry
from testbed.api_callers import eventually
from testbed.cluster.bed import Bed
from testbed.doubles.operators import LoneOperator, lines_of, pods_of, says, service, written

pytestmark = pytest.mark.cluster

SPLIT: dict[str, Any] = {"prefill": {"replicas": 1}, "router": {}}


@pytest.fixture
def settled(harbour: Bed, operator: Any, row: Callable[[str], Any], status: Callable[[str], Any]) -> None:
    """A cluster with something of every kind, at rest."""
    one = row("quiet")
    domain = harbour.client.get(names.POWER_DOMAINS.path())["items"]
    if "quiet" not in {each["metadata"]["name"] for each in domain}:
        one.tell(one.add(3))
        harbour.apply([one.domain(budget=17_000), service("quiet", parallelism={"tensor": 8}, **SPLIT)])
    eventually(lambda: _is_accepted(status))


def _is_accepted(status: Callable[[str], Any]) -> None:
    assert status("quiet")["conditions"].get("Accepted", {}).get("status") == "True"


def at_rest(versions: Callable[[], dict[str, str]]) -> dict[str, str]:
    """The versions once they have stood still for a second."""
    before = versions()
    while True:
        time.sleep(1.0)
        after = versions()
        if after == before:
            return after
        before = after


@pytest.mark.usefixtures("settled")
def test_a_restart_writes_nothing(
    harbour: Bed, operator: Any, versions: Callable[[], dict[str, str]]
) -> None:
    before = at_rest(versions)
    since = lines_of(harbour)
    operator.restart()
    eventually(lambda: _has_reconciled(operator))
    assert at_rest(versions) == before
    assert written(harbour, since) == []


def _has_reconciled(operator: Any) -> None:
    for loop in ("services", "domains"):
        assert operator.metric(f'loadline_operator_reconciles_total{{loop="{loop}",result="ok"}}') > 0
        assert operator.metric(f'loadline_operator_queue_objects{{loop="{loop}"}}') == 0


@pytest.mark.usefixtures("settled")
def test_an_api_server_that_was_away_is_caught_up_with(
    harbour: Bed, operator: Any, row: Callable[[str], Any], status: Callable[[str], Any]
) -> None:
    """A watch goes on where it was, or lists anew and compares; either way nothing is missed."""
    harbour.apiserver.stop()
    eventually(lambda: _is_not_ready(operator))
    harbour.apiserver.start()
    harbour.client.delete("/api/v1/nodes/quiet-2")
    eventually(lambda: _members(status, ["quiet-0", "quiet-1"]), patience_s=60.0)
    eventually(lambda: _is_ready(operator))


def _is_not_ready(operator: Any) -> None:
    code, text = operator.readiness()
    assert (code, text) == (503, "the API server doesn't answer")


def _is_ready(operator: Any) -> None:
    assert operator.readiness() == (200, "ok")


def _members(status: Callable[[str], Any], wanted: list[str]) -> None:
    assert status("quiet")["members"] == wanted


@pytest.mark.usefixtures("settled")
def test_the_journal_tells_what_was_decided_and_why(operator: Any) -> None:
    operator.restart()
    entries = operator.journal()
    assert entries[0].keys() == {field.name for field in fields(JournalEntry)}
    assert (entries[0]["component"], entries[0]["decider"]) == ("operator", "documents")
    assert entries[0]["kind"] == "ConfigMap"
    assert entries[0]["reason"] == "it parses"


def test_an_operator_that_is_killed_in_the_middle_makes_nothing_twice(
    harbour: Bed, operator: LoneOperator, namespace: str
) -> None:
    """Killed while services change: afterwards all is as asked for, and no other pod has gone."""
    still = [f"still-{index}" for index in range(4)]
    fresh = [f"fresh-{index}" for index in range(4)]
    harbour.apply([service(name, namespace=namespace) for name in still])
    for name in still:
        eventually(partial(says, harbour, name, "Ready", namespace=namespace, status="True"))
    before = _uids(harbour, still, namespace)
    harbour.apply([service(name, namespace=namespace, replicas=2, **SPLIT) for name in fresh])
    eventually(lambda: _has_begun(harbour, namespace))
    assert operator.process is not None
    os.kill(operator.process.pid, signal.SIGKILL)
    operator.start()
    for name in fresh:
        ready = partial(says, harbour, name, "Ready", namespace=namespace, status="True")
        eventually(ready, patience_s=60.0)
    sets = harbour.client.get(f"/apis/apps/v1/namespaces/{namespace}/replicasets")["items"]
    assert len(sets) == len(still) + 3 * len(fresh), "a rollout leaves a second ReplicaSet"
    assert _uids(harbour, still, namespace) == before


def _uids(bed: Bed, services: list[str], namespace: str) -> set[str]:
    return {
        pod["metadata"]["uid"] for name in services for pod in pods_of(bed, name=name, namespace=namespace)
    }


def _has_begun(bed: Bed, namespace: str) -> None:
    assert pods_of(bed, name="fresh-0", namespace=namespace)


@pytest.mark.usefixtures("settled")
def test_at_rest_nothing_is_written(harbour: Bed, versions: Callable[[], dict[str, str]]) -> None:
    at_rest(versions)
    since = lines_of(harbour)
    time.sleep(5.0)
    assert written(harbour, since) == []
