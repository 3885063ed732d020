"""
What the API shows of retention in a service's engines on one node, and what Prometheus gets.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from loadline_agent import gauges
from loadline_agent.gauges import Reading
from loadline_agent.held_statuses import REPORTED_WITHIN_S, HeldStatuses
from loadline_agent.retention.retention_loops import RetentionEngine, RetentionLoop
from loadline_api.kv_retention_counts import RetentionCounts
from loadline_api.kv_retention_status import GRAVEST_FIRST, RetentionStatus
from loadline_api.node_capacities import ServiceOnNode
from loadline_api.quantities import told_count
from loadline_policies.kv.advices import Advice

ADVICE: Final = {
    Advice.KV_8_BIT: "kvCache.dtype fp8 instead of retention",
    Advice.KV_4_BIT: "kvCache.dtype int4_per_token_head instead of retention",
    Advice.OFFLOAD: "--kv-offloading-size instead of retention",
    Advice.MORE_REPLICAS: "more replicas",
}
"""What a person can set, in the words of the spec and of vLLM."""


class ServiceStatuses:
    """How requests are bounded in the services on one node, by `namespace/name`."""

    def __init__(self, loop: RetentionLoop, clock: Callable[[], float]) -> None:
        self._loop = loop
        self._held = HeldStatuses(self._by_service, status_of, clock)
        self.of = self._held.of

    def recall(self, services: Iterable[ServiceOnNode]) -> None:
        """Begin with what a predecessor has written."""
        kept = ((one.service, one.kv_cache.retention) for one in services if one.kv_cache is not None)
        self._held.recall({service: retention for service, retention in kept if retention is not None})

    def readings(self) -> Iterator[Reading]:
        """The gauges of retention in the services."""
        for service, engines in sorted(self._by_service().items()):
            for reason in GRAVEST_FIRST:
                count = sum(one.reason is reason for one in engines)
                yield gauges.RETENTION_REASON_ENGINES.reading(count, service, reason.value)
            budgets = [one.counts.kept_tokens for one in engines if one.counts is not None]
            if (least := min((one for one in budgets if one is not None), default=None)) is not None:
                yield gauges.RETENTION_BUDGET_TOKENS.reading(least, service)
            losses = [one.canary.recall_loss_fraction for one in engines]
            if (loss := max((one for one in losses if one is not None), default=None)) is not None:
                yield gauges.RETENTION_RECALL_LOSS_RATIO.reading(loss, service)
            drifts = [one.canary.drift_nats for one in engines]
            if (drift := max((one for one in drifts if one is not None), default=None)) is not None:
                yield gauges.RETENTION_CANARY_DRIFT_NATS.reading(drift, service)

    def _by_service(self) -> dict[str, list[RetentionEngine]]:
        found: dict[str, list[RetentionEngine]] = {}
        for one in self._loop.engines(within_s=REPORTED_WITHIN_S):
            found.setdefault(one.service, []).append(one)
        return found


def status_of(engines: Sequence[RetentionEngine]) -> RetentionStatus:
    """The engines of one service as the API shows them."""
    counts = [one.counts for one in engines if one.counts is not None]
    reasons = {one.reason for one in engines}
    hits = [one.hits.hit_percent for one in engines if one.hits.hit_percent is not None]
    budgets = [one.kept_tokens for one in counts if one.kept_tokens is not None]
    return RetentionStatus(
        engines=len(engines),
        bounding_engines=sum(one.bounds for one in engines),
        budget_tokens=told_count(min(budgets)) if budgets else None,
        bounded_requests=_total(one.bounded for one in counts),
        folded_tokens=_total(map(_folded_tokens, counts)),
        refused_spans=_total(one.refused_spans for one in counts),
        prefix_hit_percent=told_count(max(hits)) if hits else None,
        reason=next((one.value for one in GRAVEST_FIRST if one in reasons), None),
        advice=_advice(engines),
    )


def _advice(engines: Sequence[RetentionEngine]) -> str | None:
    """What the policy advises of any engine, in the order of preference."""
    given = {one for engine in engines if engine.decided is not None for one in engine.decided.advice}
    return ", or ".join(ADVICE[one] for one in Advice if one in given) or None


def _folded_tokens(counts: RetentionCounts) -> int:
    return counts.freed_blocks * counts.block_tokens


def _total(figures: Iterable[int]) -> int | None:
    """The sum; None without a figure."""
    known = [*figures]
    return told_count(sum(known)) if known else None
