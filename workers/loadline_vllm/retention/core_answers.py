"""
Retention in an engine, added up of what its cores and ranks answered.

Counters are sums over the cores. Of shares of memory it is the fullest core's that counts, and of budgets the
largest, so that nothing is called bounded that isn't bounded in each. The ranks of one core fold the same
requests, so it has folded what the rank with the fewest folds has.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from loadline_api.kv_retention_counts import RetentionCounts


def of_cores(answers: Sequence[Mapping[str, Any]], *, folds: Sequence[int | None]) -> RetentionCounts | None:
    """The counts of all cores together; None without any. `folds` are those of their ranks, in that order."""
    counts = [RetentionCounts.model_validate(one) for one in answers]
    if not counts:
        return None
    return RetentionCounts(
        policy=counts[0].policy,
        kept_tokens=_largest(one.kept_tokens for one in counts),
        most_tokens=_largest(one.most_tokens for one in counts),
        block_tokens=max(one.block_tokens for one in counts),
        pool_blocks=sum(one.pool_blocks for one in counts),
        used_blocks=_as_fullest([(one.used_blocks, one.pool_blocks) for one in counts]),
        saved_blocks=_as_fullest([(one.saved_blocks or 0, one.pool_blocks) for one in counts]),
        bounded_requests=sum(one.bounded_requests for one in counts),
        bounded=sum(one.bounded for one in counts),
        freed_blocks=sum(one.freed_blocks for one in counts),
        folds=_folds(folds, cores=len(counts)),
        refused_spans=sum(one.refused_spans for one in counts),
        has_prefix_cache=any(one.has_prefix_cache for one in counts),
        prefix_queried_tokens=_sum(one.prefix_queried_tokens for one in counts),
        prefix_hit_tokens=_sum(one.prefix_hit_tokens for one in counts),
        preemptions=sum(one.preemptions for one in counts),
        unbounded=next((one.unbounded for one in counts if one.unbounded is not None), None),
    )


def _largest(budgets: Iterable[int | None]) -> int | None:
    """The largest budget; None, all tokens, is larger than any."""
    found = [*budgets]
    return None if None in found else max(one for one in found if one is not None)


def _as_fullest(used_of_pools: Sequence[tuple[int, int]]) -> int:
    """Blocks of all pools together, if each were as full as the fullest."""
    shares = [used / pool for used, pool in used_of_pools if pool]
    return round(max(shares, default=0.0) * sum(pool for _, pool in used_of_pools))


def _sum(figures: Iterable[int | None]) -> int | None:
    """The sum; None where one is unknown."""
    found = [*figures]
    return None if None in found else sum(one for one in found if one is not None)


def _folds(folds: Sequence[int | None], *, cores: int) -> int | None:
    """The folds of all cores, each by its rank with the fewest; None where a rank hasn't counted."""
    if not folds or len(folds) % cores or None in folds:
        return None
    known = [one for one in folds if one is not None]
    ranks = len(known) // cores
    return sum(min(known[first : first + ranks]) for first in range(0, len(known), ranks))
