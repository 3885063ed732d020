"""
What the API shows of admission in a service's engines on one node, and what Prometheus gets.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from loadline_agent import gauges
from loadline_agent.gauges import Reading
from loadline_agent.held_statuses import REPORTED_WITHIN_S, HeldStatuses
from loadline_agent.kv.admission_loops import KvEngine, KvLoop
from loadline_api.kv_cache import GRAVEST_FIRST, AdmissionStatus
from loadline_api.kv_counts import AdmissionCounts
from loadline_api.node_capacities import ServiceOnNode
from loadline_api.quantities import told_count
from loadline_policies.kv.predicted_memory import AdmissionMode as PolicyMode


class ServiceStatuses:
    """How requests are admitted in the services on one node, by `namespace/name`."""

    def __init__(self, loop: KvLoop, clock: Callable[[], float]) -> None:
        self._loop = loop
        self._held = HeldStatuses(self._by_service, status_of, clock)
        self.of = self._held.of

    def recall(self, services: Iterable[ServiceOnNode]) -> None:
        """Begin with what a predecessor has written."""
        kept = ((one.service, one.kv_cache.admission) for one in services if one.kv_cache is not None)
        self._held.recall({service: admission for service, admission in kept if admission is not None})

    def readings(self) -> Iterator[Reading]:
        """The gauges of admission in the services."""
        for service, engines in sorted(self._by_service().items()):
            for reason in GRAVEST_FIRST:
                count = sum(one.reason is reason for one in engines)
                yield gauges.KV_REASON_ENGINES.reading(count, service, reason.value)

    def _by_service(self) -> dict[str, list[KvEngine]]:
        found: dict[str, list[KvEngine]] = {}
        for one in self._loop.engines(within_s=REPORTED_WITHIN_S):
            found.setdefault(one.service, []).append(one)
        return found


def status_of(engines: Sequence[KvEngine]) -> AdmissionStatus:
    """The engines of one service as the API shows them, in whole percent."""
    counts, reasons = _counts(engines), {one.reason for one in engines}
    peak, used = _most(map(_predicted_share, counts)), _most(map(_used_share, counts))
    return AdmissionStatus(
        engines=len(engines),
        enforcing_engines=sum(one.mode is PolicyMode.ENFORCE and not one.errors for one in counts),
        warm_engines=sum(one.is_warm for one in counts),
        known_requests=told_count(min(one.known_requests for one in counts)) if counts else None,
        predicted_peak_percent=told_count(100 * peak) if peak is not None else None,
        used_percent=told_count(100 * used) if used is not None else None,
        refusals=_total(one.refusals for one in counts),
        preemptions=_total(one.preemptions for one in counts),
        preempted_tokens=_total(one.preempted_tokens for one in counts),
        mispredicted=_total(one.mispredicted for one in counts),
        reason=next((one.value for one in GRAVEST_FIRST if one in reasons), None),
    )


def _counts(engines: Iterable[KvEngine]) -> list[AdmissionCounts]:
    return [one.counts for one in engines if one.counts is not None]


def _predicted_share(counts: AdmissionCounts) -> float | None:
    peak = counts.predicted_peak_blocks
    return peak / counts.pool_blocks if peak is not None and counts.pool_blocks else None


def _used_share(counts: AdmissionCounts) -> float | None:
    return counts.used_blocks / counts.pool_blocks if counts.pool_blocks else None


def _most(shares: Iterable[float | None]) -> float | None:
    return max((one for one in shares if one is not None), default=None)


def _total(figures: Iterable[int]) -> int | None:
    """The sum; None without a figure."""
    known = [*figures]
    return told_count(sum(known)) if known else None
