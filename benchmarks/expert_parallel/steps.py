"""
The part of the benchmark of expert parallelism that needs torch: the engine's interpreter runs it.

    python -m benchmarks.expert_parallel.steps OPTIONS

OPTIONS are those of `Options`, as JSON. Progress goes to stderr; the last line of stdout is a document with
the rows of `benchmarks.experts_ep`.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from benchmarks.expert_parallel import arms, ranks, recorded
from benchmarks.expert_parallel.arms import Arm
from benchmarks.expert_parallel.dispatches import Dispatch, dispatched
from benchmarks.expert_parallel.ranks import Bank, Times
from loadline_policies.experts.capacities import UNBOUNDED_THOUSANDTHS
from loadline_policies.experts.drifts import drift
from loadline_policies.experts.placements import contiguous
from loadline_policies.experts.redundancies import Planner
from loadline_sim.experts.routings import Routing, halves
from loadline_vllm.expert_layers.eplb_plans import planned

GAMMAS = (1_000, 1_250, 1_500, 2_000, UNBOUNDED_THOUSANDTHS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is measured: groups of `ranks`, layers of these sizes, batches of these `tokens`."""

    ranks: tuple[int, ...] = (2, 4, 8)
    hidden: int = 512
    intermediate: int = 512
    tokens: int = 2_048
    grid_tokens: tuple[int, ...] = (512, 1_024, 1_536, 2_048)
    runs: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layer:
    """One layer of one group under one arm."""

    layer: int
    arm: Arm
    batch: Dispatch


def measured(options: Options, *, plan: Planner = planned) -> dict[str, Any]:
    """All rows."""
    planned_from, served = halves(recorded.read(), seed=recorded.SEED)
    weights = ranks.bank(
        experts=2 * recorded.EXPERTS, hidden=options.hidden, intermediate=options.intermediate
    )
    rows: dict[str, Any] = {"arms": [], "drifts": [], "seeds": [recorded.SEED], "inputs": _inputs(options)}
    rows["grid"] = _grid(served, weights, options)
    for count in options.ranks:
        layers = _layers(planned_from, served, count=count, tokens=options.tokens, plan=plan)
        times = ranks.timed([one.batch for one in layers], weights, runs=options.runs)
        rows["arms"] += [_arm_row(one, each) for one, each in zip(layers, times, strict=True)]
        rows["drifts"].append(_drift_row(planned_from, served, count=count, plan=plan))
    return rows


def _inputs(options: Options) -> dict[str, Any]:
    return {
        **asdict(options),
        "routing": recorded.FILE.name,
        "layers": recorded.LAYERS,
        "gamma_thousandths": arms.GAMMA_THOUSANDTHS,
        "redundant_share": arms.REDUNDANT_SHARE,
        "torch": torch.__version__,
    }


def _layers(
    planned_from: Routing, served: Routing, *, count: int, tokens: int, plan: Planner
) -> list[_Layer]:
    indices = range(served.layers)
    by_layer = arms.arms(
        [recorded.loads(planned_from, layer=layer) for layer in indices],
        ranks=count,
        top_k=served.experts_per_token,
        plan=plan,
    )
    return [
        _Layer(
            layer=served.layer_numbers[layer],
            arm=arm,
            batch=dispatched(recorded.batch(served, layers=(layer,), tokens=tokens), arm),
        )
        for layer, found in zip(indices, by_layer, strict=True)
        for arm in found
    ]


def _grid(served: Routing, weights: Bank, options: Options) -> list[dict[str, Any]]:
    """Steps of two ranks over tokens, experts and γ, experts placed in order."""
    points = [
        (tokens, layers, gamma)
        for tokens in options.grid_tokens
        for layers in ((2,), (2, 3))
        for gamma in GAMMAS
    ]
    batches = []
    for tokens, layers, gamma in points:
        batch = recorded.batch(served, layers=layers, tokens=tokens)
        arm = Arm(name="capacity", placement=contiguous(batch.experts, 2), gamma_thousandths=gamma)
        batches.append(dispatched(batch, arm))
    times = ranks.timed(batches, weights, runs=options.runs)
    return [
        {
            "tokens": tokens,
            "experts": recorded.EXPERTS * len(layers),
            "gamma_thousandths": gamma,
            **_figures(batch, each),
        }
        for (tokens, layers, gamma), batch, each in zip(points, batches, times, strict=True)
    ]


def _arm_row(one: _Layer, times: Times) -> dict[str, Any]:
    placement = one.arm.placement
    return {
        "ranks": len(placement.ranks),
        "layer": one.layer,
        "arm": one.arm.name,
        "redundant": sum(placement.replicas) - len(placement.replicas),
        **_figures(one.batch, times),
    }


def _figures(batch: Dispatch, times: Times) -> dict[str, Any]:
    return {
        "offered": batch.offered,
        "dropped": batch.dropped,
        "rank_most": batch.rank_most,
        "crossing_most": batch.crossing_most,
        **asdict(times),
        "composed_s": times.composed_s,
    }


def _drift_row(planned_from: Routing, served: Routing, *, count: int, plan: Planner) -> Mapping[str, Any]:
    """How far placements planned from one half fit the other."""

    def plans(routing: Routing) -> Sequence[Any]:
        return [
            plan(recorded.loads(routing, layer=layer), physical=routing.experts, ranks=count)
            for layer in range(routing.layers)
        ]

    loads = [recorded.loads(served, layer=layer) for layer in range(served.layers)]
    found = drift(loads, earlier=plans(planned_from), now=plans(served))
    return {"ranks": count, "by_layer": list(found.layers), "total": found.total}


def main() -> None:
    """Measure, and print one JSON document."""
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in json.loads(sys.argv[1]).items()
    }
    print(json.dumps(measured(Options(**given))))


if __name__ == "__main__":
    main()
