"""
How a service's layers of experts are loaded, put together from what the agents of its nodes report.

A node counts in proportion to its batches, because loads and shares are means over batches. What bounds the
experts, or ended that, counts at its worst: the lowest γ, the largest readings of the guard, the gravest
reason. So one node that drops too much is not hidden by others that drop nothing.

Nodes whose agents have fallen silent are left out here; `expert_conditions` reports that they are.
"""

from collections.abc import Callable, Iterable, Sequence

from loadline_api.experts import MOST_GAMMAS, ExpertsStatus, GammaOutlook
from loadline_api.quantities import MOST_COUNTED
from loadline_api.reasons import Reason
from loadline_api.visible_texts import told as visible
from loadline_operator.services.facts.node_reports import NodeReport
from loadline_policies.experts.service_loads import GRAVEST_FIRST

MOST_OF_REASON = 64
"""Bytes of a reason, as its field in the status allows characters."""

BY_WORD = {one.value: reason for one in GRAVEST_FIRST for reason in Reason if reason.value == one.value}
"""Reasons that agents report, the gravest first."""

UNKNOWN_GRAVITY = 0.5
"""Of a word that this version doesn't know: it may be anything, but is no known breach of the guard."""


def put_together(seen: Iterable[NodeReport]) -> ExpertsStatus | None:
    """The loads of all nodes whose agents are believed; None if none of them reports loads."""
    nodes = reported(seen)
    if not nodes:
        return None
    return ExpertsStatus(
        engines=_sum(nodes, lambda one: one.engines),
        bounded_engines=_sum(nodes, lambda one: one.bounded_engines),
        gamma_percent=min(_known(nodes, lambda one: one.gamma_percent), default=None),
        layers=max(one.layers for one in nodes),
        left_alone_layers=max(one.left_alone_layers for one in nodes),
        batches=_sum(nodes, lambda one: one.batches),
        expert_load_percent=_mean((one.batches, one.expert_load_percent) for one in nodes),
        rank_load_percent=_mean((one.batches, one.rank_load_percent) for one in nodes),
        gammas=_shadow_table(nodes),
        dropped_permille=max(_known(nodes, lambda one: one.dropped_permille), default=None),
        without_expert_permille=max(_known(nodes, lambda one: one.without_expert_permille), default=None),
        canary_drift_millinats=max(_known(nodes, lambda one: one.canary_drift_millinats), default=None),
        reason=gravest(nodes),
    )


def reported(seen: Iterable[NodeReport]) -> tuple[ExpertsStatus, ...]:
    """What believed agents report of experts, one for each node that has something to report."""
    return tuple(one.experts for one in seen if one.believed and one.experts is not None)


def gravest(nodes: Iterable[ExpertsStatus]) -> str | None:
    """The reason that a person should know first; a word that this version doesn't know stays as it came."""
    words = {visible(one.reason, most_bytes=MOST_OF_REASON) for one in nodes if one.reason}
    return min(sorted(words), key=_gravity, default=None)


def _gravity(word: str) -> float:
    return [*BY_WORD].index(word) if word in BY_WORD else UNKNOWN_GRAVITY


def _shadow_table(nodes: Sequence[ExpertsStatus]) -> tuple[GammaOutlook, ...]:
    """The table of all nodes; a γ that only some plugins compute is the mean of these."""
    rows: dict[int, list[tuple[int, GammaOutlook]]] = {}
    for node in nodes:
        for row in node.gammas:
            if node.batches:
                rows.setdefault(row.gamma_percent, []).append((node.batches, row))
    return tuple(_outlook(gamma, of_nodes) for gamma, of_nodes in sorted(rows.items())[:MOST_GAMMAS])


def _outlook(gamma_percent: int, of_nodes: Sequence[tuple[int, GammaOutlook]]) -> GammaOutlook:
    return GammaOutlook(
        gamma_percent=gamma_percent,
        dropped_permille=_mean((weight, row.dropped_permille) for weight, row in of_nodes) or 0,
        rank_load_percent=_mean((weight, row.rank_load_percent) for weight, row in of_nodes) or 0,
        saving_percent=_mean((weight, row.saving_percent) for weight, row in of_nodes) or 0,
    )


def _mean(weighted: Iterable[tuple[int, int | None]]) -> int | None:
    """The mean of what is known, each by its weight; None if nothing with a weight is."""
    known = [(weight, value) for weight, value in weighted if weight and value is not None]
    weights = sum(weight for weight, _ in known)
    return round(sum(weight * value for weight, value in known) / weights) if weights else None


def _known(nodes: Iterable[ExpertsStatus], figure: Callable[[ExpertsStatus], int | None]) -> tuple[int, ...]:
    return tuple(value for one in nodes if (value := figure(one)) is not None)


def _sum(nodes: Iterable[ExpertsStatus], figure: Callable[[ExpertsStatus], int]) -> int:
    return min(MOST_COUNTED, sum(map(figure, nodes)))
