"""The section `kv` of a report: read as it was written, and refused by name beyond its bounds."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_api import kv_counts
from loadline_api.kv_counts import LARGEST_COUNT, AdmissionCounts, KvCounts, RetentionCounts
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
RETENTION = RetentionCounts(
    policy="streaming",
    kept_tokens=2048,
    most_tokens=4096,
    block_tokens=32,
    pool_blocks=1000,
    used_blocks=800,
    saved_blocks=300,
    bounded_requests=12,
    bounded=340,
    freed_blocks=9000,
    folds=5100,
    refused_spans=1,
    prefix_queried_tokens=80_000,
    prefix_hit_tokens=2_000,
    preemptions=2,
    unbounded="Failure",
)


def admission(**changes: Any) -> dict[str, Any]:
    return {"admission": {**COUNTS.model_dump(mode="json"), **changes}}


def retention(**changes: Any) -> dict[str, Any]:
    return {"retention": {**RETENTION.model_dump(mode="json"), **changes}}


def without(*keys: str) -> dict[str, Any]:
    return {"admission": {key: value for key, value in admission()["admission"].items() if key not in keys}}


def test_what_is_read_is_what_was_written() -> None:
    sent = KvCounts(admission=COUNTS, retention=RETENTION)
    assert kv_counts.decode(json.loads(json.dumps(sent.encode()))) == sent


def test_an_engine_without_the_plugins_scheduler_has_no_admission() -> None:
    assert kv_counts.decode({}).admission is None
    assert KvCounts().encode() == {}


def test_a_peak_is_unknown_before_the_first_request() -> None:
    found = kv_counts.decode(without("predicted_peak_blocks")).admission
    assert found is not None
    assert found.predicted_peak_blocks is None


def test_each_part_can_be_without_the_other() -> None:
    assert kv_counts.decode(admission()) == KvCounts(admission=COUNTS)
    assert kv_counts.decode(retention()) == KvCounts(retention=RETENTION)


def test_of_retention_only_what_may_be_unknown_can_be_missing() -> None:
    optional = {"kept_tokens", "most_tokens", "saved_blocks", "folds", "unbounded"}
    for key in RetentionCounts.model_fields:
        section = {
            "retention": {name: value for name, value in retention()["retention"].items() if name != key}
        }
        if key in optional:
            assert kv_counts.decode(section).retention == RETENTION.model_copy(update={key: None})
            continue
        with pytest.raises(InvalidInput, match=f"kv.retention.{key}"):
            kv_counts.decode(section)


def test_keys_of_a_later_version_are_ignored() -> None:
    assert kv_counts.decode({**admission(later=[1]), "later": {}}) == KvCounts(admission=COUNTS)
    assert kv_counts.decode(retention(later=[1])) == KvCounts(retention=RETENTION)


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
        ({"retention": []}, "kv.retention", "use a mapping"),
        (retention(policy=""), "kv.retention.policy", "at least 1 character"),
        (retention(policy="x" * 65), "kv.retention.policy", "at most 64 characters"),
        (retention(kept_tokens=0), "kv.retention.kept_tokens", "greater than or equal to 1"),
        (retention(kept_tokens=10_000_001), "kv.retention.kept_tokens", "less than or equal to"),
        (retention(most_tokens="all"), "kv.retention.most_tokens", "integer"),
        (retention(block_tokens=0), "kv.retention.block_tokens", "greater than or equal to 1"),
        (retention(saved_blocks=-1), "kv.retention.saved_blocks", "greater than or equal to 0"),
        (retention(folds=1.5), "kv.retention.folds", "integer"),
        (retention(freed_blocks=LARGEST_COUNT + 1), "kv.retention.freed_blocks", "less than or equal to"),
        (retention(unbounded="x" * 65), "kv.retention.unbounded", "at most 64 characters"),
        (retention(used_blocks=1001), "kv.retention", "no more used blocks than the pool has"),
        (retention(bounded_requests=341), "kv.retention", "no more bounded requests than got a budget"),
        (retention(prefix_hit_tokens=80_001), "kv.retention", "no more tokens found than were looked for"),
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


@given(changes=st.dictionaries(st.sampled_from([*RetentionCounts.model_fields]), NUMBERS))
def test_whatever_is_read_of_retention_is_bounded(changes: dict[str, Any]) -> None:
    try:
        found = kv_counts.decode(retention(**changes)).retention
    except InvalidInput:
        return
    assert found is not None
    assert 0 <= found.used_blocks <= found.pool_blocks <= LARGEST_COUNT
    assert 0 <= found.prefix_hit_tokens <= found.prefix_queried_tokens <= LARGEST_COUNT
    assert len(found.policy) <= 64
