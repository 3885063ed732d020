"""
The metrics of the layers of experts, in the engine's own `/metrics`.

Their number is bounded: one series for each layer, for each rank, and for each γ, but none for a layer's
experts or a layer's ranks. Whoever needs those reads the counts themselves.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from loadline_api.expert_settings import ExpertsSettings
from loadline_policies.experts.shadow_tables import shadow_table
from loadline_vllm.expert_layers.observations import SIZES, Observation, bound_total, rank_multiples, total
from loadline_vllm.metric_series import Published, Series

OBSERVED = Series(name="loadline:experts_observed_layers", help="Layers of experts whose load is counted.")
BYPASSED = Series(
    name="loadline:experts_bypassed",
    help="Layers of experts that stay as vLLM built them.",
    labels=("reason",),
)
BATCHES = Series(
    name="loadline:experts_batches",
    help="Batches that were counted since the settings changed.",
    labels=("size",),
)
IMBALANCE = Series(
    name="loadline:experts_imbalance",
    help="Load of a layer's fullest expert as a multiple of the mean.",
    labels=("layer",),
)
RANK_IMBALANCE = Series(
    name="loadline:experts_rank_imbalance",
    help="Load of a layer's fullest rank as a multiple of the mean.",
    labels=("layer",),
)
RANK_LOAD = Series(
    name="loadline:experts_rank_load",
    help="Load of a rank, over all layers, as a multiple of the mean.",
    labels=("rank",),
)
DROP_FRACTION = Series(
    name="loadline:experts_shadow_drop_fraction",
    help="Share of the pairs that a capacity of this gamma would have dropped.",
    labels=("gamma",),
)
RANK_MOST = Series(
    name="loadline:experts_shadow_rank_imbalance",
    help="Load of the fullest rank that a capacity of this gamma would have left, as a multiple of the mean.",
    labels=("gamma",),
)
UNBOUNDED = Series(
    name="loadline:experts_unbounded",
    help="Layers of experts whose load is counted and never bounded.",
    labels=("reason",),
)
DROPPED = Series(
    name="loadline:experts_dropped_fraction", help="Share of the pairs of bounded batches that were dropped."
)
REROUTED = Series(
    name="loadline:experts_rerouted_fraction",
    help="Share of the pairs of bounded batches that another expert got.",
)
WITHOUT_EXPERT = Series(
    name="loadline:experts_tokens_without_expert",
    help="Tokens that lost all experts of a layer, since the settings changed, over all layers.",
)
GAMMA = Series(
    name="loadline:experts_gamma",
    help="The capacity that all ranks report to hold, as a multiple of an expert's mean load; +Inf where none"
    " is in force, NaN while ranks differ.",
)
EPLB_STEPS = Series(
    name="loadline:experts_eplb_steps_since_rearranged",
    help="Steps since EPLB last began to move experts; absent without EPLB. It grows beyond the interval when"
    " EPLB has stopped.",
)
EPLB_INTERVAL = Series(
    name="loadline:experts_eplb_step_interval",
    help="Steps after which EPLB should move experts; absent without EPLB.",
)
ALL = (
    OBSERVED,
    BYPASSED,
    UNBOUNDED,
    BATCHES,
    IMBALANCE,
    RANK_IMBALANCE,
    RANK_LOAD,
    DROP_FRACTION,
    RANK_MOST,
    DROPPED,
    REROUTED,
    WITHOUT_EXPERT,
    GAMMA,
    EPLB_STEPS,
    EPLB_INTERVAL,
)


@dataclass(slots=True)
class ExpertsMetrics:
    """The gauges in the process that serves `/metrics`."""

    _published: Published = field(default_factory=Published)
    _unbounded: set[str] = field(default_factory=set)

    def publish(self, observation: Observation) -> None:
        """Publish what the ranks counted; a gauge of which nothing is known keeps its last value."""
        self._published.set(OBSERVED, len(observation.layers))
        for reason, layers in observation.bypassed.items():
            self._published.set(BYPASSED, layers, reason)
        self._unbounded |= {*observation.unbounded}
        for reason in self._unbounded:  # a reason that has gone with a change of settings is at 0
            self._published.set(UNBOUNDED, observation.unbounded.get(reason, 0), reason)
        for name, layer in observation.layers.items():
            if layer.counts.expert_imbalance is not None and layer.counts.rank_imbalance is not None:
                self._published.set(IMBALANCE, layer.counts.expert_imbalance, name)
                self._published.set(RANK_IMBALANCE, layer.counts.rank_imbalance, name)
        for layer in [*observation.layers.values()][:1]:  # a batch passes all layers
            for size, batches in zip(SIZES, layer.batches, strict=True):
                self._published.set(BATCHES, batches, size)
        for rank, load in enumerate(rank_multiples(observation)):
            self._published.set(RANK_LOAD, load, str(rank))
        counts = total(observation)
        for row in shadow_table(counts) if counts else ():
            gamma = f"{row.gamma_thousandths / 1000:g}"
            self._published.set(DROP_FRACTION, row.dropped_fraction, gamma)
            self._published.set(RANK_MOST, row.capped_rank_most, gamma)
        self._published.set(GAMMA, _gamma(observation.settings))
        self._publish_bound(bound_total(observation))
        if eplb := observation.eplb:
            self._published.set(EPLB_STEPS, eplb.steps_since_rearranged)
            self._published.set(EPLB_INTERVAL, eplb.step_interval)

    def _publish_bound(self, found: Mapping[str, int]) -> None:
        if offered := found.get("offered"):
            self._published.set(DROPPED, found["dropped"] / offered)
            self._published.set(REROUTED, found["rerouted"] / offered)
            self._published.set(WITHOUT_EXPERT, found["without_expert"])


def _gamma(settings: ExpertsSettings | None) -> float:
    """The multiple that the ranks hold; `settings` is None where they differ."""
    if settings is None:
        return math.nan
    return settings.gamma_thousandths / 1000 if settings.bounds else math.inf
