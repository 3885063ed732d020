"""What is known of an engine's memory: shares of the pool, and hits of a prefix cache that is warm."""

from typing import Any

import pytest

from loadline_agent.retention.memory_readings import LEAST_TOKENS, WARM_TOKENS, WINDOW_S, PrefixHits, memory
from loadline_api.kv_counts import AdmissionCounts
from loadline_api.kv_retention_counts import RetentionCounts
from loadline_policies.kv.engine_memories import Allowance, CanaryReadings, EngineMemory
from loadline_policies.kv.predicted_memory import AdmissionMode, EstimatorName

COUNTS = RetentionCounts(
    policy="streaming",
    block_tokens=16,
    pool_blocks=1000,
    used_blocks=500,
    saved_blocks=250,
    bounded_requests=0,
    bounded=0,
    freed_blocks=0,
    folds=0,
    refused_spans=0,
    has_prefix_cache=True,
    prefix_queried_tokens=0,
    prefix_hit_tokens=0,
    preemptions=3,
)
ADMISSION = AdmissionCounts(
    mode=AdmissionMode.OBSERVE,
    estimator=EstimatorName.HISTORY,
    is_warm=True,
    known_requests=80,
    pool_blocks=1000,
    used_blocks=500,
    predicted_peak_blocks=1200,
    running=8,
    waiting=2,
    refusals=0,
    preemptions=3,
    preempted_tokens=0,
    mispredicted=0,
)


def told(queried: int, hit: int, **changes: Any) -> RetentionCounts:
    counts = {"prefix_queried_tokens": queried, "prefix_hit_tokens": hit, **changes}
    return RetentionCounts.model_validate({**COUNTS.model_dump(), **counts})


def read(counts: RetentionCounts | None, admission: AdmissionCounts | None = None) -> EngineMemory:
    return memory(
        counts,
        admission,
        prefix_hit_percent=None,
        canary=CanaryReadings(),
        baseline_known=False,
        allowance=Allowance(),
        age_s=2.0,
    )


def test_shares_are_of_the_pool() -> None:
    found = read(COUNTS, ADMISSION)
    assert (found.used_percent, found.saved_percent, found.predicted_peak_percent) == (50.0, 25.0, 120.0)
    assert (found.pool_tokens, found.preemptions, found.age_s) == (16_000, 3, 2.0)


@pytest.mark.parametrize("changes", [{"waiting": 0}, {"is_warm": False}, {"predicted_peak_blocks": None}])
def test_a_peak_without_a_waiting_request_or_known_lengths_says_nothing(changes: dict[str, Any]) -> None:
    assert read(COUNTS, ADMISSION.model_copy(update=changes)).predicted_peak_percent is None


@pytest.mark.parametrize("counts", [None, told(0, 0, pool_blocks=0, used_blocks=0)])
def test_without_counts_memory_is_unknown(counts: RetentionCounts | None) -> None:
    found = read(counts, ADMISSION)
    assert (found.used_percent, found.preemptions, found.saved_percent) == (None, None, None)


def test_hits_count_once_the_cache_is_warm_and_enough_was_asked() -> None:
    hits = PrefixHits()
    hits.add(told(WARM_TOKENS - 1, 0), now=0.0)
    hits.add(told(WARM_TOKENS, 0), now=3.0)
    assert hits.hit_percent is None
    hits.add(told(WARM_TOKENS + LEAST_TOKENS - 1, 0), now=6.0)
    assert hits.hit_percent is None
    hits.add(told(WARM_TOKENS + LEAST_TOKENS, LEAST_TOKENS // 4), now=9.0)
    assert hits.hit_percent == 25.0


def test_only_the_last_minutes_count() -> None:
    hits = PrefixHits()
    for step in range(5):
        at = WARM_TOKENS + step * LEAST_TOKENS
        hits.add(told(at, 0 if step < 2 else (step - 1) * LEAST_TOKENS // 2), now=step * WINDOW_S)
    assert hits.hit_percent == 50.0


@pytest.mark.parametrize("bounded", [{"bounded_requests": 1, "bounded": 1}, {"kept_tokens": 64}])
def test_what_was_known_before_a_budget_stands_while_it_is_in_force(bounded: dict[str, int]) -> None:
    hits = PrefixHits()
    hits.add(told(WARM_TOKENS, 0), now=0.0)
    hits.add(told(2 * WARM_TOKENS, WARM_TOKENS // 2), now=3.0)
    assert hits.hit_percent == 50.0
    hits.add(told(9 * WARM_TOKENS, WARM_TOKENS // 2, **bounded), now=6.0)
    hits.add(told(10 * WARM_TOKENS, WARM_TOKENS // 2), now=9.0)
    assert hits.hit_percent == 50.0
    hits.add(told(11 * WARM_TOKENS, WARM_TOKENS), now=12.0)
    assert hits.hit_percent == 50.0


def test_an_engine_that_was_restarted_or_keeps_no_statistics_is_unknown() -> None:
    hits = PrefixHits()
    hits.add(told(WARM_TOKENS, 0), now=0.0)
    hits.add(told(2 * WARM_TOKENS, WARM_TOKENS), now=3.0)
    hits.add(told(10, 0), now=6.0)
    assert hits.hit_percent is None
    hits.add(told(3 * WARM_TOKENS, 0), now=9.0)
    hits.add(told(4 * WARM_TOKENS, WARM_TOKENS), now=12.0)
    assert hits.hit_percent == 100.0
    unknown = {"prefix_queried_tokens": None, "prefix_hit_tokens": None}
    hits.add(RetentionCounts.model_validate({**COUNTS.model_dump(), **unknown}), now=15.0)
    assert hits.hit_percent is None


def test_without_a_prefix_cache_nothing_can_be_lost() -> None:
    hits = PrefixHits()
    hits.add(told(0, 0, has_prefix_cache=False), now=0.0)
    assert hits.hit_percent == 0.0
