"""The wire between nodes and coordinators: what it carries, refuses, and leaves out for an older end."""

import json
from dataclasses import replace

import pytest

from loadline_api.reports import decode_report, encode_report
from loadline_policies.errors import InvalidInput
from loadline_policies.power.protocol.messages import Epoch, GpuReport, Report, ServiceReport

REPORT = Report(
    node="node-0", domain="row", sequence=7, age_s=0.1, host_watts=600.0, host_max_watts=900.0,
    gpus=(GpuReport(uuid="GPU-0", watts=300.0, enforced_watts=400.0, min_watts=100.0, max_watts=400.0),),
    epoch=Epoch(3, "lease"),
)  # fmt: skip
TOLD = replace(REPORT, services=(ServiceReport("prod/chat", 1.25), ServiceReport("prod/code", None)))


def changed(**fields: object) -> bytes:
    """A report's JSON with other values."""
    return json.dumps({**json.loads(encode_report(TOLD)), **fields}).encode()


@pytest.mark.parametrize("report", [REPORT, TOLD], ids=["nothing-told", "services-told"])
def test_a_report_arrives_as_it_was_sent(report: Report) -> None:
    assert decode_report(encode_report(report)) == report


def test_an_older_agent_tells_nothing_of_services() -> None:
    older = {key: value for key, value in json.loads(encode_report(TOLD)).items() if key != "services"}
    assert decode_report(json.dumps(older).encode()) == REPORT


@pytest.mark.parametrize("missed", [-3.0, 0, 1e9], ids=str)
def test_a_strange_ratio_is_still_a_heartbeat(missed: float) -> None:
    told = decode_report(changed(services=[{"service": "prod/chat", "missed": missed}]))
    assert told.services == (ServiceReport("prod/chat", missed),)


@pytest.mark.parametrize("missed", [float("nan"), float("inf"), "1.5", True], ids=str)
def test_what_is_no_ratio_is_refused(missed: object) -> None:
    with pytest.raises(InvalidInput, match=r"report\.services\.0\.missed"):
        decode_report(changed(services=[{"service": "prod/chat", "missed": missed}]))


def test_keys_of_a_later_version_are_passed_over() -> None:
    """So that agents of two versions lead and obey each other during a rollout."""
    told = decode_report(changed(services=[{"service": "prod/chat", "missed": 1.0, "ttft": 3}], later={}))
    assert told.services == (ServiceReport("prod/chat", 1.0),)
