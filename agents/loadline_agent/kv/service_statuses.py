"""
What the API shows of the KV memory of a service's engines on one node, and what Prometheus gets.

Figures move with every request, and each change in a NodeCapacity is a write to the API server and one more
for the service's status. So a NodeCapacity changes at once only where a person acts on it: which engines
there are, how many go by the policy, and why. Figures follow after some minutes, and only if they have moved
enough to be read otherwise; the engines' own metrics have them as they are.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from loadline_agent import gauges
from loadline_agent.gauges import Reading
from loadline_agent.kv.admission_loops import KvEngine, KvLoop
from loadline_api.kv_cache import GRAVEST_FIRST, AdmissionStatus, KvCacheStatus
from loadline_api.kv_counts import AdmissionCounts
from loadline_api.node_capacities import ServiceOnNode
from loadline_api.quantities import told_count
from loadline_policies.kv.predicted_memory import AdmissionMode as PolicyMode

HOLD_S: Final = 300.0
"""How long figures hold at least. Chosen."""

REPORTED_WITHIN_S: Final = 12.0
"""Engines that have not reported for longer hold no settings: as long as the lease of a worker."""


class ServiceStatuses:
    """The KV memory of the services on one node, by `namespace/name`.

    An agent that was restarted begins with what its predecessor has written, until all engines have had time
    to report again: so a restart turns no condition.
    """

    def __init__(self, loop: KvLoop, clock: Callable[[], float]) -> None:
        self._loop, self._clock = loop, clock
        self._held: dict[str, tuple[AdmissionStatus, float]] = {}
        self._recalled_until_s = float("-inf")

    def recall(self, services: Iterable[ServiceOnNode]) -> None:
        """Begin with what a predecessor has written."""
        now = self._clock()
        self._recalled_until_s = now + REPORTED_WITHIN_S
        for one in services:
            if one.kv_cache is not None and one.kv_cache.admission is not None:
                self._held[one.service] = one.kv_cache.admission, now

    def of(self, service: str) -> KvCacheStatus | None:
        """What to show of a service now; None if no engine of it reports, or none was asked to."""
        now, held = self._clock(), self._held.get(service)
        if held is not None and now < self._recalled_until_s:
            return KvCacheStatus(admission=held[0])
        engines = self._by_service().get(service)
        if engines is None:
            self._held.pop(service, None)
            return None
        found = status_of(engines)
        if held is None or not found.acts_like(held[0]):
            held = found, now
        elif now - held[1] >= HOLD_S:
            held = found.as_moved_from(held[0]), now
        self._held[service] = held
        return KvCacheStatus(admission=held[0])

    def readings(self) -> Iterator[Reading]:
        """The gauges of the services' KV memory."""
        for service, engines in sorted(self._by_service().items()):
            for reason in GRAVEST_FIRST:
                count = sum(one.reason is reason for one in engines)
                yield gauges.KV_REASON_ENGINES.reading(count, service, reason.value)

    def _by_service(self) -> dict[str, list[KvEngine]]:
        found: dict[str, list[KvEngine]] = {}
        for one in self._loop.engines(within_s=REPORTED_WITHIN_S):
            found.setdefault(one.service, []).append(one)
        return found


def status_of(engines: list[KvEngine]) -> AdmissionStatus:
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
