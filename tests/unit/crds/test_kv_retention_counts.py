"""Counts of retention: what is read is what was written, and nothing is believed beyond its bounds."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_api import kv_retention_counts
from loadline_api.kv_counts import LARGEST_COUNT
from loadline_api.kv_retention_counts import RetentionCounts
from loadline_policies.errors import InvalidInput

COUNTS = RetentionCounts(
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
    has_prefix_cache=True,
    prefix_queried_tokens=80_000,
    prefix_hit_tokens=2_000,
    preemptions=2,
    unbounded="Failure",
)
UNKNOWN = {
    "kept_tokens",
    "most_tokens",
    "saved_blocks",
    "folds",
    "prefix_queried_tokens",
    "prefix_hit_tokens",
    "unbounded",
}
"""What may be missing."""


def section(**changes: Any) -> dict[str, Any]:
    return {**COUNTS.model_dump(mode="json"), **changes}


def test_what_is_read_is_what_was_written() -> None:
    assert kv_retention_counts.decode(json.loads(json.dumps(COUNTS.encode()))) == COUNTS


@pytest.mark.parametrize("key", sorted(RetentionCounts.model_fields))
def test_only_what_may_be_unknown_can_be_missing(key: str) -> None:
    sent = {name: value for name, value in section().items() if name != key}
    if key == "prefix_queried_tokens":
        del sent["prefix_hit_tokens"]
    if key in UNKNOWN:
        assert getattr(kv_retention_counts.decode(sent), key) is None
        return
    with pytest.raises(InvalidInput, match=f"kv-retention.{key}"):
        kv_retention_counts.decode(sent)


def test_keys_of_a_later_version_are_ignored() -> None:
    assert kv_retention_counts.decode(section(later=[1])) == COUNTS


@pytest.mark.parametrize(
    ("sent", "field", "fix"),
    [
        (section(policy=""), "kv-retention.policy", "at least 1 character"),
        (section(policy="x" * 65), "kv-retention.policy", "at most 64 characters"),
        (section(kept_tokens=0), "kv-retention.kept_tokens", "greater than or equal to 1"),
        (section(kept_tokens=10_000_001), "kv-retention.kept_tokens", "less than or equal to"),
        (section(most_tokens="all"), "kv-retention.most_tokens", "integer"),
        (section(block_tokens=0), "kv-retention.block_tokens", "greater than or equal to 1"),
        (section(saved_blocks=-1), "kv-retention.saved_blocks", "greater than or equal to 0"),
        (section(folds=1.5), "kv-retention.folds", "integer"),
        (section(freed_blocks=LARGEST_COUNT + 1), "kv-retention.freed_blocks", "less than or equal to"),
        (section(unbounded="x" * 65), "kv-retention.unbounded", "at most 64 characters"),
        (section(has_prefix_cache=1), "kv-retention.has_prefix_cache", "true or false"),
        (section(used_blocks=1001), "kv-retention", "no more used blocks than the pool has"),
        (section(bounded_requests=341), "kv-retention", "no more bounded requests than got a budget"),
        (section(prefix_hit_tokens=80_001), "kv-retention", "no more tokens found than looked for"),
        (section(prefix_queried_tokens=None), "kv-retention", "no more tokens found than looked for"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_beyond_its_bounds_is_refused_by_name(sent: dict[str, Any], field: str, fix: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        kv_retention_counts.decode(sent)
    assert str(refused.value).startswith(field)
    assert fix in str(refused.value)


NUMBERS = st.one_of(st.integers(), st.floats(), st.none(), st.booleans(), st.text(max_size=3))


@given(changes=st.dictionaries(st.sampled_from([*RetentionCounts.model_fields]), NUMBERS))
def test_whatever_is_read_is_bounded(changes: dict[str, Any]) -> None:
    try:
        found = kv_retention_counts.decode(section(**changes))
    except InvalidInput:
        return
    assert 0 <= found.used_blocks <= found.pool_blocks <= LARGEST_COUNT
    assert (found.prefix_hit_tokens or 0) <= (found.prefix_queried_tokens or 0) <= LARGEST_COUNT
    assert len(found.policy) <= 64
