"""
What an engine's front-end makes of the counts that its ranks give: one table for each layer.

Ranks of a tensor-parallel group route the same tokens and count the same, so one of them is taken. Ranks of
different pipeline stages have different layers. Data-parallel engines route different tokens; those of the
first engine are taken as a sample of all.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from loadline_api.expert_counts import EplbCounts
from loadline_api.expert_settings import ExpertsSettings
from loadline_policies.experts.shadow_tables import Counts, summed

SIZES = ("small", "large")


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerObservation:
    """The counts of one layer since its settings changed; `batches` is by size, all else is of large ones."""

    batches: tuple[int, int]
    loads: tuple[int, ...]
    """Offered pairs of each expert."""

    rank_loads: tuple[float, ...]
    counts: Counts
    bound: Mapping[str, int | None]
    """What the bound has done (`bounds.OUTCOMES` and `excess`); empty where the routing is never changed."""


@dataclass(frozen=True, slots=True)
class Observation:
    """All layers of an engine; by reason, how many aren't served, and how many are never bounded."""

    layers: Mapping[str, LayerObservation]
    bypassed: Mapping[str, int]
    unbounded: Mapping[str, int]
    settings: ExpertsSettings | None
    """What all ranks hold; None where they differ."""

    eplb: EplbCounts | None
    """Of the rank that has counted the most steps; None without EPLB."""


def of_ranks(answers: Sequence[Mapping[str, Any]]) -> Observation:
    """The observation of an engine, from what `worker_rpc.counts` answered on each of its ranks."""
    layers: dict[str, LayerObservation] = {}
    bypassed: dict[str, str] = {}
    unbounded: dict[str, str] = {}
    for answer in answers:
        bypassed |= answer["bypassed"]
        unbounded |= answer["unbounded"]
        for name, found in answer["layers"].items():
            layers.setdefault(name, _of_layer(found))
    return Observation(
        layers, Counter(bypassed.values()), Counter(unbounded.values()), _agreed(answers), _eplb(answers)
    )


def _eplb(answers: Sequence[Mapping[str, Any]]) -> EplbCounts | None:
    found = [EplbCounts(**answer["eplb"]) for answer in answers if answer["eplb"] is not None]
    return max(found, key=lambda counts: counts.steps_since_rearranged, default=None)


def _agreed(answers: Sequence[Mapping[str, Any]]) -> ExpertsSettings | None:
    held = [ExpertsSettings.read(answer["settings"]) for answer in answers]
    return held[0] if held and all(one == held[0] for one in held) else None


def _of_layer(found: Mapping[str, Any]) -> LayerObservation:
    loads = tuple(found["loads"][1])
    pairs = sum(loads)
    return LayerObservation(
        batches=tuple(found["batches"]),
        loads=loads,
        rank_loads=tuple(found["rank_loads"]),
        bound=found["bound"] or {},
        counts=Counts(
            pairs=pairs,
            expert_mean=pairs / len(loads),
            expert_most=found["expert_most"],
            rank_mean=pairs / len(found["rank_loads"]),
            rank_most=found["rank_most"],
            dropped=tuple(found["dropped"]),
            capped_rank_most=tuple(found["capped_rank_most"]),
        ),
    )


def total(observation: Observation) -> Counts | None:
    """The counts of all layers together, as one table of the model; None without a layer."""
    return summed(layer.counts for layer in observation.layers.values())


def rank_multiples(observation: Observation) -> list[float]:
    """The load of each rank over all layers, as a multiple of the mean; empty before a large batch."""
    layers = [layer.rank_loads for layer in observation.layers.values()]
    sums = [sum(of_rank) for of_rank in zip(*layers, strict=True)]
    return [load * len(sums) / sum(sums) for load in sums] if sum(sums) else []


def bound_total(observation: Observation) -> dict[str, int]:
    """What the bound has done in all layers together, by the names of `bounds.OUTCOMES`."""
    found: Counter[str] = Counter()
    for layer in observation.layers.values():
        found.update({name: value or 0 for name, value in layer.bound.items() if name != "excess"})
    return dict(found)
