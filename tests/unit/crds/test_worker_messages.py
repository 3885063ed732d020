"""Messages between plugin and agent: of this version, of others, and beyond their bounds.

The files are what version 1 wrote first; every later Loadline must read them like this.
"""

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_api.worker_messages import (
    LAST_GENERATION,
    LONGEST_TEXT,
    LONGEST_WORKER_MESSAGE,
    MOST_DEPTH,
    MOST_SECTIONS,
    MOST_VALUES,
    WORKER_WIRE_VERSION,
    SettingsSection,
    WorkerPod,
    WorkerReport,
    WorkerSettings,
    decode_worker_report,
    decode_worker_settings,
    encode,
)
from loadline_policies.errors import InvalidInput
from testbed.hostile_messages import changed
from testbed.other_versions import later, without

GOLDEN = Path(__file__).parents[2] / "golden" / "worker-1"
REPORT_JSON, SETTINGS_JSON = ((GOLDEN / f"{name}.json").read_bytes() for name in ("report", "settings"))
REPORT = WorkerReport(
    pod=WorkerPod(uid="6f1d3c8e-0d53-4a57-8e0c-1f4c2f0a9d11", name="chat-main-0", namespace="prod"),
    service="chat",
    pool="main",
    ranks=8,
    generation=7,
    highest=9,
    withdrawn=8,
    counters={"experts": {"steps": 1200, "imbalance": [1.5, 2.25]}, "kv": {}},
)
SETTINGS = WorkerSettings(
    generation=10,
    lease_s=12.0,
    sections={
        "experts": SettingsSection(policy="all-tokens", policy_hash="3f2a9c01d4e7"),
        "kv": SettingsSection(policy="keep-all", policy_hash="77aa01d4e7b2", settings={"keep": 1.0}),
    },
)
UNTOLD: dict[str, Any] = {"generation": None, "highest": 0, "withdrawn": 0, "counters": {}}
"""What a report means that doesn't have a key; a report without any other key isn't read."""


def report(**changes: Any) -> bytes:
    return json.dumps({**json.loads(REPORT_JSON), **changes}).encode()


def settings(**changes: Any) -> bytes:
    return json.dumps({**json.loads(SETTINGS_JSON), **changes}).encode()


def nested(levels: int) -> Any:
    return {"in": nested(levels - 1)} if levels > 1 else {}


def test_what_version_1_wrote_first_is_read_as_it_was_meant() -> None:
    assert decode_worker_report(REPORT_JSON) == REPORT
    assert decode_worker_settings(SETTINGS_JSON) == SETTINGS


def test_this_version_writes_all_that_version_1_wrote_first() -> None:
    """A key that goes, or means something else, is a new version."""
    assert WORKER_WIRE_VERSION == 1
    assert json.loads(encode(REPORT)) == json.loads(REPORT_JSON)
    assert json.loads(encode(SETTINGS)) == json.loads(SETTINGS_JSON)


def test_keys_of_a_later_version_are_ignored() -> None:
    told = json.loads(REPORT_JSON)
    sections = told.pop("counters")
    assert decode_worker_report(later(json.dumps(told).encode())).pod == REPORT.pod
    told = json.loads(SETTINGS_JSON)
    told["sections"] = {loop: {**one, "later": [1]} for loop, one in told["sections"].items()}
    assert decode_worker_settings(json.dumps({**told, "later": {}}).encode()) == SETTINGS
    assert decode_worker_report(report(later=sections)) == REPORT


def test_a_loop_of_a_later_version_is_read_and_is_its_readers_to_ignore() -> None:
    assert "later" in decode_worker_report(report(counters={"later": {"seen": 1}})).counters


@pytest.mark.parametrize("key", sorted(UNTOLD))
def test_what_a_report_does_not_tell_is_not_counted_on(key: str) -> None:
    assert decode_worker_report(without(REPORT_JSON, {key})) == REPORT.model_copy(update={key: UNTOLD[key]})


@pytest.mark.parametrize("key", ["pod", "uid", "name", "namespace", "service", "pool", "ranks", "version"])
def test_a_report_without_what_every_version_tells_is_refused_by_name(key: str) -> None:
    with pytest.raises(InvalidInput, match=rf"{key} is "):
        decode_worker_report(without(REPORT_JSON, {key}))


@pytest.mark.parametrize("key", ["generation", "lease_s", "sections", "policy", "policy_hash", "version"])
def test_settings_without_what_every_version_tells_are_refused_by_name(key: str) -> None:
    with pytest.raises(InvalidInput, match=rf"{key} is "):
        decode_worker_settings(without(SETTINGS_JSON, {key}))


@pytest.mark.parametrize("body", [report(version=2), settings(version=2, sections="of another form")])
def test_another_version_is_refused_by_its_number(body: bytes) -> None:
    decode = decode_worker_report if b"pod" in body else decode_worker_settings
    with pytest.raises(InvalidInput, match=r"version is 2: send version 1: upgrade the older of"):
        decode(body)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"generation": -1}, "generation"),
        ({"generation": LAST_GENERATION + 1}, "generation"),
        ({"generation": "7"}, "generation"),
        ({"ranks": 0}, "ranks"),
        ({"ranks": 10**400}, "ranks"),
        ({"service": "x" * 254}, "service"),
        ({"pool": ""}, "pool"),
        ({"pod": {"uid": "", "name": "n", "namespace": "p"}}, "pod.uid"),
        ({"counters": {"No Loop": {}}}, "counters.No Loop"),
        ({"counters": {f"loop-{n}": {} for n in range(MOST_SECTIONS + 1)}}, "counters"),
        ({"counters": {"kv": [1]}}, "counters.kv"),
        ({"counters": {"kv": nested(MOST_DEPTH + 1)}}, "counters"),
        ({"counters": {"kv": {"all": [0] * MOST_VALUES}}}, "counters"),
        ({"counters": {"kv": {"text": "x" * (LONGEST_TEXT + 1)}}}, "counters"),
        ({"counters": {"kv": {"x" * (LONGEST_TEXT + 1): 1}}}, "counters"),
        ({"counters": {"kv": {"n": float("nan")}}}, "counters"),
        ({"counters": {"kv": {"n": float("-inf")}}}, "counters"),
        ({"counters": {"kv": {"n": 2**63}}}, "counters"),
    ],
    ids=str,
)
def test_what_a_report_tells_beyond_its_bounds_is_refused_by_name(
    changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInput, match=rf"report\.{field}"):
        decode_worker_report(report(**changes))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"generation": 0}, "generation"),
        ({"lease_s": 0.0}, "lease_s"),
        ({"lease_s": 61.0}, "lease_s"),
        ({"lease_s": float("nan")}, "lease_s"),
        ({"sections": {"kv": {"policy": "p", "policy_hash": "h" * 65}}}, "sections.kv.policy_hash"),
        (
            {"sections": {"kv": {"policy": "p", "policy_hash": "h", "settings": nested(MOST_DEPTH + 1)}}},
            "sections",
        ),
    ],
    ids=str,
)
def test_settings_beyond_their_bounds_are_refused_by_name(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput, match=rf"settings\.{field}"):
        decode_worker_settings(settings(**changes))


def test_what_lies_at_the_bounds_is_read() -> None:
    counters = {"kv": {"deep": nested(MOST_DEPTH - 1), "many": [0] * (MOST_VALUES // 2), "n": 2**63 - 1}}
    assert decode_worker_report(report(counters=counters)).counters == counters


@pytest.mark.parametrize("body", [b" " * LONGEST_WORKER_MESSAGE + REPORT_JSON, b"[" * 60_000, b"\xff", b""])
def test_what_is_too_long_or_no_json_is_refused(body: bytes) -> None:
    for decode in (decode_worker_report, decode_worker_settings):
        with pytest.raises(InvalidInput):
            decode(body)


@given(st.integers(min_value=0), st.sampled_from([REPORT_JSON, SETTINGS_JSON]))
def test_whatever_a_message_holds_it_is_read_or_refused(seed: int, body: bytes) -> None:
    hostile = changed(body, Random(seed))
    decode = decode_worker_report if body is REPORT_JSON else decode_worker_settings
    try:
        told = decode(hostile)
    except InvalidInput:
        return
    assert len(encode(told)) <= 2 * LONGEST_WORKER_MESSAGE
    assert decode(encode(told)) == told
