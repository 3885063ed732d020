"""
How requests are admitted to a service's KV memory, put together from what the agents of its nodes report.

Counters are added up. Shares of the memory are those of the fullest engine, lengths those of the engine that
knows the fewest, the reason the gravest.
"""

from collections.abc import Sequence

from loadline_api.kv_cache import GRAVEST_FIRST, AdmissionStatus
from loadline_operator.services.facts.node_figures import added, gravest, known, total

BY_WORD = {one.value: one for one in GRAVEST_FIRST}
"""Reasons that agents report, the gravest first."""


def put_together(nodes: Sequence[AdmissionStatus]) -> AdmissionStatus | None:
    """What the nodes report; None if none of them reports it."""
    if not nodes:
        return None
    return AdmissionStatus(
        engines=added(one.engines for one in nodes),
        enforcing_engines=added(one.enforcing_engines for one in nodes),
        warm_engines=added(one.warm_engines for one in nodes),
        known_requests=min(known(nodes, lambda one: one.known_requests), default=None),
        predicted_peak_percent=max(known(nodes, lambda one: one.predicted_peak_percent), default=None),
        used_percent=max(known(nodes, lambda one: one.used_percent), default=None),
        refusals=total(nodes, lambda one: one.refusals),
        preemptions=total(nodes, lambda one: one.preemptions),
        preempted_tokens=total(nodes, lambda one: one.preempted_tokens),
        mispredicted=total(nodes, lambda one: one.mispredicted),
        reason=gravest((one.reason for one in nodes), GRAVEST_FIRST),
    )
