"""
The experts' part in the engine's front-end: it flushes what other settings computed, and publishes counts.

KV that was computed while routing was bounded is reused by later requests with the same prefix. So when
settings change that change answers, the prefix cache is flushed. A salt per policy would keep both halves,
but vLLM takes a salt only from the request, and the plugin changes no request. The flush preempts what runs,
because vLLM flushes no block that a running request holds; that costs those requests a prefill.

The channel calls this after it has called all ranks. What a report has room for is made here too: sums of
each layer, and no vector over experts.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import JsonValue

from loadline_api.expert_counts import (
    LONGEST_NAME,
    MOST_LAYERS,
    MOST_RANKS_NAMED,
    BoundCounts,
    ExpertCounts,
    LayerCounts,
    RankLoad,
)
from loadline_api.expert_settings import ExpertsSettings
from loadline_vllm.expert_layers.metrics import ExpertsMetrics
from loadline_vllm.expert_layers.observations import (
    LayerObservation,
    Observation,
    bound_total,
    of_ranks,
    rank_multiples,
)


class ExpertsFrontEnd:
    """What one front-end knows: the settings that hold on all ranks, and what it published."""

    def __init__(self) -> None:
        self._settings = ExpertsSettings()
        self._metrics = ExpertsMetrics()

    async def held(self, client: Any, settings: Mapping[str, JsonValue]) -> bool:
        """All ranks took these settings; whether no KV of other answers can be reused.

        `client` is vLLM's client of the engine. What a flush raises is raised: the caller tries again, with
        the same settings.
        """
        now = ExpertsSettings.read(settings)
        if not now.answers_like(self._settings) and not await client.reset_prefix_cache(
            reset_running_requests=True, reset_connector=True
        ):
            return False
        self._settings = now
        return True

    def counted(self, answers: Sequence[Mapping[str, Any]]) -> dict[str, JsonValue]:
        """Publish what the ranks counted, and return the section of a report."""
        observation = of_ranks(answers)
        self._metrics.publish(observation)
        return section(observation)


def section(observation: Observation) -> dict[str, JsonValue]:
    """The counts as a report has them."""
    named = [(name, layer) for name, layer in observation.layers.items() if len(name) <= LONGEST_NAME]
    layers = {name: _of_layer(layer) for name, layer in named[:MOST_LAYERS]}
    settings = observation.settings
    return ExpertCounts(
        mode=settings.mode if settings else None,
        gamma_thousandths=settings.gamma_thousandths if settings else None,
        strategy=settings.strategy if settings else None,
        layers=layers,
        layers_left_out=len(observation.layers) - len(layers),
        bypassed=dict(observation.bypassed),
        unbounded=dict(observation.unbounded),
        bound=BoundCounts(**bound_total(observation)),
        fullest_ranks=_fullest(rank_multiples(observation)),
        eplb=observation.eplb,
    ).encode()


def _of_layer(layer: LayerObservation) -> LayerCounts:
    return LayerCounts.of(layer.counts, batches=layer.batches)


def _fullest(loads: Sequence[float]) -> tuple[RankLoad, ...]:
    ranks = sorted(range(len(loads)), key=lambda rank: -loads[rank])
    return tuple(RankLoad(rank=rank, load=loads[rank]) for rank in ranks[:MOST_RANKS_NAMED])
