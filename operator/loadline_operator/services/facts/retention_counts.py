"""
How a service's requests are bounded, put together from what the agents of its nodes report.

Counters are added up. The budget is the smallest that new requests get, the share of prefix hits the largest,
the reason the gravest. Of advices the first by its words is shown: they follow from the same policy.
"""

from collections.abc import Sequence

from loadline_api.kv_retention_status import GRAVEST_FIRST, MOST_ADVICE, RetentionStatus
from loadline_api.visible_texts import told as visible
from loadline_operator.services.facts.node_figures import added, gravest, known, total

BY_WORD = {one.value: one for one in GRAVEST_FIRST}
"""Reasons that agents report, the gravest first."""


def put_together(nodes: Sequence[RetentionStatus]) -> RetentionStatus | None:
    """What the nodes report; None if none of them reports it."""
    if not nodes:
        return None
    advices = {visible(one.advice, most_bytes=MOST_ADVICE) for one in nodes if one.advice}
    return RetentionStatus(
        engines=added(one.engines for one in nodes),
        bounding_engines=added(one.bounding_engines for one in nodes),
        budget_tokens=min(known(nodes, lambda one: one.budget_tokens), default=None),
        bounded_requests=total(nodes, lambda one: one.bounded_requests),
        folded_tokens=total(nodes, lambda one: one.folded_tokens),
        refused_spans=total(nodes, lambda one: one.refused_spans),
        prefix_hit_percent=max(known(nodes, lambda one: one.prefix_hit_percent), default=None),
        reason=gravest((one.reason for one in nodes), GRAVEST_FIRST),
        advice=min(advices, default=None),
    )
