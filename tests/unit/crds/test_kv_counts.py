"""The section `kv` of a report: read as it was written, and refused by name beyond its bounds."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_api import kv_counts
from loadline_api.kv_counts import LARGEST_COUNT, AdmissionCounts, KvCounts
from loadline_policies.errors import InvalidInput
from loadline_policies.kv.predicted_memory import AdmissionMode, EstimatorName

COUNTS = AdmissionCounts(
    mode=AdmissionMode.ENFORCE,
    estimator=EstimatorName.HISTORY,
    is_warm=True,
    known_requests=120,
    pool_blocks=1000,
    used_blocks=800,
    predicted_peak_blocks=1100,
    running=20,
    waiting=3,
    refusals=41,
    preemptions=2,
    preempted_tokens=900,
    mispredicted=5,
)


def admission(**changes: Any) -> dict[str, Any]:
    return {"admission": {**COUNTS.model_dump(mode="json"), **changes}}


def without(*keys: str) -> dict[str, Any]:
    return {"admission": {key: value for key, value in admission()["admission"].items() if key not in keys}}


def test_what_is_read_is_what_was_written() -> None:
    sent = KvCounts(admission=COUNTS)
    assert kv_counts.decode(json.loads(json.dumps(sent.encode()))) == sent


def test_an_engine_without_the_plugins_scheduler_has_no_admission() -> None:
    assert kv_counts.decode({}).admission is None
    assert KvCounts().encode() == {}


def test_a_peak_is_unknown_before_the_first_request() -> None:
    found = kv_counts.decode(without("predicted_peak_blocks")).admission
    assert found is not None
    assert found.predicted_peak_blocks is None


def test_keys_of_a_later_version_are_ignored() -> None:
    assert kv_counts.decode({**admission(later=[1]), "retention": {}}) == KvCounts(admission=COUNTS)


@pytest.mark.parametrize(
    ("section", "field", "fix"),
    [
        ({"admission": []}, "kv.admission", "use a mapping"),
        (without("mode"), "kv.admission.mode", "field required"),
        (without("preemptions"), "kv.admission.preemptions", "field required"),
        (admission(mode="off"), "kv.admission.mode", "'observe' or 'enforce'"),
        (admission(estimator="oracle"), "kv.admission.estimator", "'history'"),
        (admission(is_warm=1), "kv.admission.is_warm", "true or false"),
        (admission(running=-1), "kv.admission.running", "greater than or equal to 0"),
        (admission(running=True), "kv.admission.running", "integer"),
        (admission(refusals=1.5), "kv.admission.refusals", "integer"),
        (admission(refusals="2"), "kv.admission.refusals", "integer"),
        (admission(refusals=LARGEST_COUNT + 1), "kv.admission.refusals", "less than or equal to"),
        (admission(predicted_peak_blocks=-1), "kv.admission.predicted_peak_blocks", "greater than"),
        (admission(used_blocks=1001), "kv.admission", "no more used blocks than the pool has"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_beyond_its_bounds_is_refused_by_name(section: dict[str, Any], field: str, fix: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        kv_counts.decode(section)
    assert refused.value.field == field
    assert fix in refused.value.fix


NUMBERS = st.one_of(st.integers(-5, 2**64), st.floats(), st.text(max_size=3), st.none(), st.booleans())


@given(changes=st.dictionaries(st.sampled_from([*AdmissionCounts.model_fields]), NUMBERS))
def test_whatever_is_read_is_bounded(changes: dict[str, Any]) -> None:
    try:
        found = kv_counts.decode(admission(**changes)).admission
    except InvalidInput:
        return
    assert found is not None
    assert 0 <= found.used_blocks <= found.pool_blocks <= LARGEST_COUNT
