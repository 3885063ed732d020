"""The command, the journal, the metrics and the Events of the operator."""

import logging
from datetime import UTC, datetime
from pathlib import Path

import kopf
import pytest

from loadline_operator import events
from loadline_operator.kube.kinds import CONFIG_MAPS, DEPLOYMENTS, EVERYWHERE, IN_SYSTEM, NODES, Key
from loadline_operator.kube.kopf_watches import Backoffs, settings
from loadline_operator.logs import RETRY_EVERY_S, RareRetries
from loadline_operator.main import main
from loadline_operator.metrics import Metrics

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_help_begins_with_what_you_get(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "creates the workloads of InferenceServices, checks PowerDomains" in text
    for option in ("--kubeconfig", "--namespace", "--defaults", "--metrics-port", "--log-level"):
        assert option in text


def test_an_unknown_level_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--log-level", "chatty"])
    assert ended.value.code == 2
    assert "choose from" in capsys.readouterr().err


def test_defaults_that_cannot_be_used_are_refused_with_the_field(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "defaults.yaml"
    file.write_text("engineImages: mine:2\n")
    assert main(["--defaults", str(file)]) == 2
    assert "engineImages" in capsys.readouterr().err
    assert main(["--defaults", str(tmp_path / "nowhere.yaml")]) == 2


def test_what_is_costly_to_count_is_counted_when_somebody_asks() -> None:
    metrics = Metrics()
    metrics.measures.append(lambda: metrics.services.labels("Ready", "True").set(3))
    assert 'loadline_operator_services{condition="Ready",status="True"} 3.0' in metrics.text().decode()


def test_every_series_is_born_at_zero() -> None:
    text = Metrics().text().decode()
    assert 'loadline_operator_requests_total{result="refused",verb="apply"} 0.0' in text
    assert "loadline_operator_policies_invalid 0.0" in text


def test_the_same_thing_told_twice_is_one_event() -> None:
    def tell(version: str, fault: str = "x is 1: remove it") -> str:
        event = events.policy_invalid(Key("s", "p"), uid="u", version=version, fault=fault, now=NOON)
        name: str = event["metadata"]["name"]
        return name

    assert tell("1") == tell("1")
    assert tell("1") != tell("2")


def test_an_event_of_a_cluster_wide_object_lies_in_default() -> None:
    event = events.domain_refused(
        Key("", "row-a"), uid="u", generation=1, reason="BudgetTooSmall", text="x" * 2000, now=NOON
    )
    assert event["metadata"]["namespace"] == "default"
    assert len(event["message"].encode()) == events.MOST_MESSAGE_BYTES


def test_paths_are_the_api_servers() -> None:
    assert NODES.path(Key("", "n")) == "/api/v1/nodes/n"
    assert DEPLOYMENTS.path(Key("a", "d")) == "/apis/apps/v1/namespaces/a/deployments/d"
    assert DEPLOYMENTS.path() == "/apis/apps/v1/deployments"
    assert CONFIG_MAPS.path(namespace="s") == "/api/v1/namespaces/s/configmaps"


def test_namespaced_rights_are_only_used_in_the_system_namespace() -> None:
    assert {kind.plural for kind in IN_SYSTEM} == {"configmaps", "leases", "pods"}
    assert not set(IN_SYSTEM) & set(EVERYWHERE)


def test_kopf_writes_nothing_by_itself() -> None:
    one = settings()
    assert one.posting.enabled is False
    assert one.scanning.disabled is True
    assert one.peering.standalone is True
    body, patch = kopf.Body({"spec": {"replicas": 1}}), kopf.Patch()
    essence = one.persistence.diffbase_storage.build(body=body)
    one.persistence.diffbase_storage.store(body=body, patch=patch, essence=essence)
    assert one.persistence.diffbase_storage.fetch(body=body) is None
    assert one.persistence.progress_storage.clear(essence=essence) == essence == {}
    assert not patch


def test_retries_of_a_watch_never_end() -> None:
    backoffs = Backoffs()
    first = [delay for delay, _ in zip(backoffs, range(1000), strict=False)]
    assert len(first) == 1000
    assert next(iter(backoffs)) == 0.5


def test_of_an_outage_one_line_in_a_while_is_kept() -> None:
    now_s = 0.0
    rare = RareRetries(lambda: now_s)

    def line(
        name: str = "kopf._cogs.clients.watching", text: str = "#1 failed; will retry"
    ) -> logging.LogRecord:
        return logging.LogRecord(name, logging.ERROR, "", 0, text, (), None)

    first = line()
    assert rare.filter(first)
    assert first.levelname == "WARNING"
    assert not rare.filter(line())
    assert rare.filter(line(text="watching has failed"))
    assert rare.filter(line(name="loadline.operator"))
    now_s = RETRY_EVERY_S
    assert rare.filter(line())
