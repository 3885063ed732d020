"""
Messages of another version, read by this one: what is new is passed over, what is missing isn't counted on.

The files are what version 2 of the wire wrote first; every later Loadline must read them like this.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from loadline_api.reports import WIRE_VERSION, decode_lease, decode_report, encode_lease, encode_report
from loadline_policies.errors import InvalidInput
from loadline_policies.power.protocol.messages import (
    Act,
    Epoch,
    GpuLimit,
    GpuReport,
    Lease,
    Report,
    ServiceReport,
)
from testbed.other_versions import OPTIONAL, PROOFS, later, without

GOLDEN = Path(__file__).parents[2] / "golden" / "wire-2"
REPORT_JSON, LEASE_JSON = ((GOLDEN / f"{name}.json").read_bytes() for name in ("report", "lease"))
EPOCH = Epoch(3, "6f1d3c8e-0d53-4a57-8e0c-1f4c2f0a9d11")
GPUS = tuple(
    GpuReport(
        uuid=uuid, watts=312.5, enforced_watts=400.0, min_watts=100.0, max_watts=700.0, safe_watts=247.0,
        clock_mhz=1305, owners=("prod/chat",), able=True, proven=True, found_watts=650.0, default_watts=700.0,
    )
    for uuid in ("GPU-0", "GPU-1")
)  # fmt: skip
REPORT = Report(
    node="node-0", domain="row-a", sequence=1_700_001, age_s=0.104, host_watts=612.5, host_max_watts=900.0,
    gpus=GPUS, epoch=EPOCH, lease_sequence=412, armed=True, plan_version=7, heat=0.31, heat_age_s=0.42,
    faults=("OtherWriter",), services=(ServiceReport("prod/chat", 1.2),),
)  # fmt: skip
LEASE = Lease(
    domain="row-a", epoch=EPOCH, sequence=413, answers=1_700_001, lease_s=4.0, act=Act.ENFORCE,
    limits=tuple(GpuLimit(uuid=gpu.uuid, watts=400.0, safe_watts=247.0, clock_mhz=1305) for gpu in GPUS),
    plan_version=7, trigger_watts=1300.0, heat=0.33, level="Normal", policy_hash="3f2a",
)  # fmt: skip
UNTOLD: dict[str, Any] = {
    "able": False, "proven": False, "safe_watts": None, "clock_mhz": None, "owners": (), "found_watts": None,
    "default_watts": None, "epoch": None, "lease_sequence": 0, "armed": False, "plan_version": 0,
    "heat": None, "heat_age_s": None, "settable": True, "faults": (), "services": (),
    "policy_level": None,
}  # fmt: skip
"""What a report means that doesn't have a key; a report without any other key isn't read."""


def keys(message: bytes) -> set[str]:
    """The names of all keys in a message, at any depth."""

    def inside(value: Any) -> set[str]:
        if isinstance(value, list):
            return {key for one in value for key in inside(one)}
        if isinstance(value, dict):
            return set(value) | {key for one in value.values() for key in inside(one)}
        return set()

    return inside(json.loads(message))


def test_what_version_2_wrote_first_is_read_as_it_was_meant() -> None:
    assert decode_report(REPORT_JSON) == REPORT
    assert decode_lease(LEASE_JSON) == LEASE


def test_this_version_writes_all_that_version_2_wrote_first() -> None:
    """A key that goes, or means something else, is a new version of the wire."""
    assert WIRE_VERSION == 2
    assert keys(encode_report(REPORT)) >= keys(REPORT_JSON)
    assert keys(encode_lease(LEASE)) >= keys(LEASE_JSON)


def test_what_a_later_version_adds_is_passed_over() -> None:
    assert decode_report(later(REPORT_JSON)) == REPORT
    assert decode_lease(later(LEASE_JSON)) == LEASE


@pytest.mark.parametrize("key", sorted(UNTOLD))
def test_what_a_report_does_not_tell_is_not_counted_on(key: str) -> None:
    report = replace(REPORT, policy_level="Brake")
    told = decode_report(without(encode_report(report), {key}))
    if key in Report.__dataclass_fields__:
        assert told == replace(report, **{key: UNTOLD[key]})
    else:
        assert told == replace(report, gpus=tuple(replace(gpu, **{key: UNTOLD[key]}) for gpu in GPUS))


@pytest.mark.parametrize("key", sorted(keys(REPORT_JSON) - UNTOLD.keys()))
def test_a_report_without_what_every_version_tells_is_refused_by_name(key: str) -> None:
    with pytest.raises(InvalidInput, match=rf"{key} is "):
        decode_report(without(REPORT_JSON, {key}))


@pytest.mark.parametrize("key", sorted(keys(LEASE_JSON) - {"clock_mhz"}))
def test_a_lease_without_what_every_version_tells_is_refused_by_name(key: str) -> None:
    with pytest.raises(InvalidInput, match=rf"{key} is "):
        decode_lease(without(LEASE_JSON, {key}))


def test_an_act_of_a_later_version_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"lease\.act"):
        decode_lease(LEASE_JSON.replace(b'"Enforce"', b'"Hibernate"'))


def test_keys_that_a_peer_may_leave_out_are_known_here() -> None:
    assert UNTOLD.keys() >= OPTIONAL | PROOFS
