"""
What each γ would do to an engine, from what its layers of experts have counted lately.

The predicted ratio of the step time is the load of the fullest rank under γ, divided by that without a
capacity. That is the time of the experts' layers alone, and of their slowest rank only: what else a step
takes doesn't shrink, so the ratio is the least that a step may take, and the gain an upper bound. The policy
compares ratios with each other and measures the rest by the latencies.

Pure.
"""

from typing import Final

from loadline_api.experts import ExpertsStatus, GammaOutlook
from loadline_policies.experts.service_loads import GammaForecast
from loadline_policies.experts.shadow_tables import Counts, ShadowRow, shadow_table

MOST_PERCENT: Final = 1_000_000
"""What a load is shown as at most: no layer has ten thousand experts. Chosen."""


def forecasts(counts: Counts | None) -> tuple[GammaForecast, ...]:
    """A forecast for each γ of the grid, in ascending order; none while nothing was counted."""
    return tuple(
        GammaForecast(
            gamma_thousandths=row.gamma_thousandths,
            dropped_fraction=row.dropped_fraction,
            step_ratio=_step_ratio(row),
        )
        for row in _rows(counts)
    )


def outlooks(counts: Counts | None) -> tuple[GammaOutlook, ...]:
    """The same as the API shows it, in whole percent and thousandths."""
    return tuple(
        GammaOutlook(
            gamma_percent=round(row.gamma_thousandths / 10),
            dropped_permille=round(1000 * row.dropped_fraction),
            rank_load_percent=_percent(row.capped_rank_most),
            saving_percent=round(100 * (1.0 - _step_ratio(row))),
        )
        for row in _rows(counts)
    )


def loads(counts: Counts | None) -> ExpertsStatus:
    """The part of a status that says how full experts and ranks are, in percent of the mean."""
    if counts is None or not counts.pairs:
        return ExpertsStatus()
    expert, rank = counts.expert_imbalance, counts.rank_imbalance
    return ExpertsStatus(
        expert_load_percent=_percent(expert) if expert is not None else None,
        rank_load_percent=_percent(rank) if rank is not None else None,
        gammas=outlooks(counts),
    )


def _percent(multiple: float) -> int:
    return round(min(100 * multiple, MOST_PERCENT))


def _rows(counts: Counts | None) -> tuple[ShadowRow, ...]:
    """The shadow table; empty if a rank's load is zero, which divides nothing."""
    if counts is None or counts.rank_mean <= 0.0 or counts.rank_most <= 0.0:
        return ()
    return shadow_table(counts)


def _step_ratio(row: ShadowRow) -> float:
    return min(1.0, row.capped_rank_most / row.rank_most)
