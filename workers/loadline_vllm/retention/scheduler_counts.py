"""
What the scheduler of one engine core counts of retention, as a report has it.

Prefix hits and preemptions are vLLM's own, counted from the start of the engine: vLLM hands them out step by
step, and forgets them then. Nothing is said of folds here, which only ranks can count.
"""

from dataclasses import dataclass
from typing import Any

from loadline_api.kv_retention_counts import RetentionCounts
from loadline_vllm.block_pools import pool_blocks, used_blocks
from loadline_vllm.retention.obstacles import Obstacle
from loadline_vllm.settings import Settings


@dataclass(slots=True)
class StepCounts:
    """What is added up of vLLM's steps. Prefix figures are None while vLLM gives no statistics."""

    preemptions: int = 0
    prefix_queried_tokens: int | None = None
    prefix_hit_tokens: int | None = None

    def add(self, stats: Any) -> None:
        """Add the statistics of a step, vLLM's `SchedulerStats`; None where it was told to make none."""
        if stats is None:
            return
        found = stats.prefix_cache_stats
        self.prefix_queried_tokens = (self.prefix_queried_tokens or 0) + found.queries
        self.prefix_hit_tokens = (self.prefix_hit_tokens or 0) + found.hits


def of(scheduler: Any, found: Settings) -> RetentionCounts:
    """The counts of any scheduler in an engine that was asked for retention."""
    budgets = getattr(scheduler, "budgets", None)
    steps = getattr(scheduler, "retention_steps", StepCounts())
    unbounded = getattr(scheduler, "unbounded", Obstacle.SCHEDULER)
    return RetentionCounts(
        policy=found.retention_policy,
        kept_tokens=budgets.kept_tokens if budgets is not None and unbounded is None else None,
        most_tokens=budgets.most_tokens if budgets is not None else None,
        block_tokens=scheduler.vllm_config.cache_config.block_size,
        pool_blocks=pool_blocks(scheduler),
        used_blocks=used_blocks(scheduler),
        saved_blocks=budgets.saved_blocks if budgets is not None else 0,
        bounded_requests=budgets.requests if budgets is not None else 0,
        bounded=budgets.bounded_requests if budgets is not None else 0,
        freed_blocks=budgets.freed_blocks if budgets is not None else 0,
        refused_spans=budgets.refused_spans if budgets is not None else 0,
        has_prefix_cache=bool(scheduler.kv_cache_manager.enable_caching),
        prefix_queried_tokens=steps.prefix_queried_tokens,
        prefix_hit_tokens=steps.prefix_hit_tokens,
        preemptions=steps.preemptions,
        unbounded=unbounded,
    )
