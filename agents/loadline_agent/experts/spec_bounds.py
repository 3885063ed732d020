"""
What the spec of a service, and what its engine reports, leave to a policy of the experts' loop.

The spec narrows the policy. What the engine can't carry out isn't allowed either, whatever the spec says: a
layer whose routing the plugin never changes, or an engine that was not started for it.

Pure.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from loadline_api.expert_counts import ExpertCounts
from loadline_api.expert_settings import ExpertsSettings, StrategyName
from loadline_api.experts import Experts, ExpertsGuard, ExpertsMode, Gamma, Strategy
from loadline_policies.experts.capacities import UNBOUNDED_THOUSANDTHS
from loadline_policies.experts.service_loads import Allowance, PlacementState

STRATEGIES: Final[Mapping[Strategy, StrategyName]] = MappingProxyType(
    {
        Strategy.DROP: "drop",
        Strategy.REROUTE: "reroute",
        Strategy.RANK_DROP: "rank_drop",
        Strategy.EXPANDED: "expanded",
        Strategy.THRESHOLD: "threshold",
    }
)
"""The plugin's words for the spec's strategies."""


def bounds(counts: ExpertCounts) -> bool:
    """Whether an engine reports that all its ranks hold a capacity, and has a layer that it bounds."""
    gamma = counts.gamma_thousandths
    enforced = counts.mode == "enforce" and gamma is not None and gamma < UNBOUNDED_THOUSANDTHS
    return enforced and _can_bound(counts)


def allowance(experts: Experts, counts: ExpertCounts | None) -> Allowance:
    """What the spec allows, and whether the engine can carry it out."""
    gamma, guard = experts.gamma or Gamma(), experts.guard or ExpertsGuard()
    return Allowance(
        enforce=experts.mode is ExpertsMode.ENFORCE,
        able=_can_bound(counts) if counts is not None else None,
        min_gamma_percent=gamma.min_percent,
        max_gamma_percent=gamma.max_percent,
        max_dropped_percent=guard.max_dropped_percent,
        max_without_expert_permille=guard.max_without_expert_permille,
        max_canary_drift_millinats=guard.max_canary_drift_millinats,
    )


def placement(counts: ExpertCounts | None) -> PlacementState:
    """Whether EPLB has placed the experts, by what the engine reports of it.

    Without EPLB nothing could place them by their load, so there is nothing to wait for. An EPLB that is
    late by a whole interval is one that no longer works, or whose engine has only begun.
    """
    if counts is None:
        return PlacementState.UNKNOWN
    if counts.eplb is None:
        return PlacementState.UNAVAILABLE
    late = counts.eplb.steps_since_rearranged > 2 * counts.eplb.step_interval
    return PlacementState.PENDING if late else PlacementState.PLANNED


def settings(experts: Experts, gamma_thousandths: int | None) -> ExpertsSettings:
    """What the plugin gets for a γ, None to observe; strategy and size also say what it counts for."""
    if experts.mode is ExpertsMode.OFF:
        return ExpertsSettings()
    observing = ExpertsSettings(strategy=STRATEGIES[experts.strategy], min_tokens=experts.min_tokens)
    if gamma_thousandths is None:
        return observing
    return observing.model_copy(update={"mode": "enforce", "gamma_thousandths": gamma_thousandths})


def _can_bound(counts: ExpertCounts) -> bool:
    """Whether there is a layer whose routing the plugin may change."""
    return len(counts.layers) + counts.layers_left_out > sum(counts.unbounded.values())
