"""What cores and ranks answered of retention, added up, published and reported."""

import math
from typing import Any

import prometheus_client
import pytest
from prometheus_client import CollectorRegistry

from loadline_api import kv_retention_counts
from loadline_api.kv_retention_counts import RetentionCounts
from loadline_vllm.retention.front_ends import RetentionFrontEnd

COUNTS = RetentionCounts(
    policy="streaming",
    kept_tokens=64,
    most_tokens=None,
    block_tokens=16,
    pool_blocks=1000,
    used_blocks=500,
    saved_blocks=200,
    bounded_requests=7,
    bounded=70,
    freed_blocks=900,
    refused_spans=2,
    has_prefix_cache=True,
    prefix_queried_tokens=1000,
    prefix_hit_tokens=100,
    preemptions=3,
)


def core(**changes: Any) -> dict[str, Any]:
    return {"counts": COUNTS.model_copy(update=changes).model_dump(mode="json")}


def rank(folds: int | None) -> dict[str, Any]:
    return {"folds": folds}


def reported(*answers: dict[str, Any]) -> RetentionCounts:
    return kv_retention_counts.decode(RetentionFrontEnd().counted(answers))


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> CollectorRegistry:
    registry = CollectorRegistry()
    for kind in ("Counter", "Gauge"):
        made = getattr(prometheus_client, kind)
        monkeypatch.setattr(
            prometheus_client, kind, lambda *args, made=made, **more: made(*args, registry=registry, **more)
        )
    return registry


def test_one_core_and_its_rank_are_reported_as_they_answered() -> None:
    assert reported(core(), rank(12)) == COUNTS.model_copy(update={"folds": 12})


def test_counters_are_sums_and_shares_are_those_of_the_fullest() -> None:
    other = core(pool_blocks=3000, used_blocks=300, saved_blocks=0, bounded_requests=1, bounded=5)
    found = reported(core(), other, rank(12), rank(10))
    assert (found.pool_blocks, found.used_blocks, found.saved_blocks) == (4000, 2000, 800)
    assert (found.bounded_requests, found.bounded, found.freed_blocks, found.folds) == (8, 75, 1800, 22)


@pytest.mark.parametrize(("kept", "both"), [(64, 64), (128, 128), (32, 64), (None, None)])
def test_the_largest_budget_is_reported_and_all_tokens_are_the_largest(
    kept: int | None, both: int | None
) -> None:
    assert reported(core(), core(kept_tokens=kept)).kept_tokens == both


@pytest.mark.parametrize(
    ("folds", "reads"),
    [((), None), ((5,), None), ((5, 7, 9, 9), 14), ((5, 7, 9), None), ((5, None, 9, 9), None)],
)
def test_of_two_cores_the_ranks_with_the_fewest_folds_count(
    folds: tuple[int | None, ...], reads: int | None
) -> None:
    assert reported(core(), core(), *map(rank, folds)).folds == reads


def test_prefix_hits_are_unknown_where_a_core_does_not_know_them() -> None:
    unknown = core(prefix_queried_tokens=None, prefix_hit_tokens=None)
    assert reported(core(), unknown).prefix_hit_tokens is None


def test_one_core_that_bounds_none_is_the_reason_of_all() -> None:
    assert reported(core(), core(unbounded="Attention", kept_tokens=None)).unbounded == "Attention"


def test_without_a_core_that_answers_there_is_no_section() -> None:
    assert RetentionFrontEnd().counted([rank(3)]) == {}


def test_counters_grow_and_the_reason_is_one_of_all(registry: CollectorRegistry) -> None:
    front_end = RetentionFrontEnd()
    front_end.counted([core(), rank(5)])
    front_end.counted([core(bounded=80, unbounded="Attention", kept_tokens=None), rank(9)])

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"loadline:retention_{name}", labels)

    assert (value("bounded_requests_total"), value("folds_total"), value("bounded")) == (80, 9, 7)
    assert (value("off", reason="Attention"), value("off", reason="Worker")) == (1, 0)
    assert value("kept_tokens") == math.inf
