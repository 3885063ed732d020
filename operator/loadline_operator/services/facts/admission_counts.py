"""
How requests are admitted to a service's KV memory, put together from what the agents of its nodes report.

Counters are added up. Shares of the memory are those of the fullest engine, lengths those of the engine that
knows the fewest, the reason the gravest: one engine that fails is not hidden by others that don't. A figure
that a node doesn't know counts for nothing; one that no node knows is unknown.

Nodes whose agents have fallen silent are left out here; `admission_conditions` reports that they are.
"""

from collections.abc import Callable, Iterable, Sequence

from loadline_api.kv_cache import GRAVEST_FIRST, AdmissionStatus, KvCacheStatus
from loadline_api.quantities import MOST_COUNTED
from loadline_api.reasons import Reason
from loadline_api.visible_texts import told as visible
from loadline_operator.services.facts.node_reports import NodeReport

MOST_OF_REASON = 64
"""Bytes of a reason, as its field in the status allows characters."""

BY_WORD = {one.value: one for one in GRAVEST_FIRST}
"""Reasons that agents report, the gravest first."""

UNKNOWN_GRAVITY = GRAVEST_FIRST.index(Reason.READINGS_UNKNOWN) - 0.5
"""Of a word that this version doesn't know: it may be anything, but is no known failure."""


def put_together(seen: Iterable[NodeReport], before: KvCacheStatus | None = None) -> KvCacheStatus | None:
    """What all nodes report whose agents are believed; None if none of them reports it.

    It is what stands in the status `before`, unless it differs from that in more than small moves of
    figures: else each report of each node would be a write.
    """
    found = _admission(reported(seen))
    if found is None:
        return None
    return KvCacheStatus(admission=found.as_moved_from(before.admission if before is not None else None))


def reported(seen: Iterable[NodeReport]) -> tuple[AdmissionStatus, ...]:
    """What believed agents report of admission, one for each node that has something to report."""
    parts = (one.kv_cache for one in seen if one.believed and one.kv_cache is not None)
    return tuple(one.admission for one in parts if one.admission is not None)


def gravest(nodes: Iterable[AdmissionStatus]) -> str | None:
    """The reason that a person should know first; a word that this version doesn't know stays as it came."""
    words = {visible(one.reason, most_bytes=MOST_OF_REASON) for one in nodes if one.reason}
    return min(sorted(words), key=_gravity, default=None)


def _admission(nodes: Sequence[AdmissionStatus]) -> AdmissionStatus | None:
    if not nodes:
        return None
    return AdmissionStatus(
        engines=_sum(one.engines for one in nodes),
        enforcing_engines=_sum(one.enforcing_engines for one in nodes),
        warm_engines=_sum(one.warm_engines for one in nodes),
        known_requests=min(_known(nodes, lambda one: one.known_requests), default=None),
        predicted_peak_percent=max(_known(nodes, lambda one: one.predicted_peak_percent), default=None),
        used_percent=max(_known(nodes, lambda one: one.used_percent), default=None),
        refusals=_total(nodes, lambda one: one.refusals),
        preemptions=_total(nodes, lambda one: one.preemptions),
        preempted_tokens=_total(nodes, lambda one: one.preempted_tokens),
        mispredicted=_total(nodes, lambda one: one.mispredicted),
        reason=gravest(nodes),
    )


def _gravity(word: str) -> float:
    return [*BY_WORD].index(word) if word in BY_WORD else UNKNOWN_GRAVITY


def _known(
    nodes: Iterable[AdmissionStatus], figure: Callable[[AdmissionStatus], int | None]
) -> tuple[int, ...]:
    return tuple(value for one in nodes if (value := figure(one)) is not None)


def _total(nodes: Iterable[AdmissionStatus], figure: Callable[[AdmissionStatus], int | None]) -> int | None:
    known = _known(nodes, figure)
    return _sum(known) if known else None


def _sum(figures: Iterable[int]) -> int:
    return min(MOST_COUNTED, sum(figures))
