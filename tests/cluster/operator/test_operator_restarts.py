"""The operator comes and goes, and so does the API server; nothing is written that was written before."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from hack.callers import eventually
from hack.testenv.bed import Bed
from loadline_api import names

pytestmark = pytest.mark.cluster

USER = f"system:serviceaccount:{names.SYSTEM_NAMESPACE}:{names.OPERATOR_ACCOUNT}"
WRITES = {"create", "update", "patch", "delete"}


@pytest.fixture
def settled(harbour: Bed, operator: Any, row: Callable[[str], Any], status: Callable[[str], Any]) -> None:
    """A cluster with something of every kind, at rest."""
    one = row("quiet")
    domain = harbour.client.get(names.POWER_DOMAINS.path())["items"]
    if "quiet" not in {each["metadata"]["name"] for each in domain}:
        one.tell(one.add(3))
        service = {"model": {"uri": "hf://org/llm"}, "parallelism": {"tensor": 8}}
        head = {"apiVersion": names.API_VERSION, "kind": "InferenceService"}
        harbour.apply(
            [
                one.domain(budget=17_000),
                {**head, "metadata": {"name": "quiet", "namespace": "default"}, "spec": service},
            ]
        )
    eventually(lambda: _is_accepted(status))


def _is_accepted(status: Callable[[str], Any]) -> None:
    assert status("quiet")["conditions"].get("Accepted", {}).get("status") == "True"


def written(bed: Bed, since: int) -> list[tuple[str, str]]:
    """What the operator has sent to change anything, from a line of the audit log on."""
    assert bed.audit_log is not None
    lines = bed.audit_log.read_text().splitlines()[since:]
    entries = [json.loads(line) for line in lines]
    return [
        (one["verb"], one["requestURI"])
        for one in entries
        if one["user"]["username"] == USER and one["verb"] in WRITES
    ]


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
    assert harbour.audit_log is not None
    since = len(harbour.audit_log.read_text().splitlines())
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
    assert {"time", "component", "kind", "name", "observation", "decision", "reason"} == set(entries[0])
    assert entries[0]["kind"] == "ConfigMap"
    assert entries[0]["reason"] == "it parses"
