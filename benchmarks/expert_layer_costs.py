"""
What the plugin's part of a layer costs, beside a layer of experts in plain torch; JSON at the end.

    python -m benchmarks.expert_layer_costs PAIRS [TOKENS ...]

A layer is a router's softmax and top-k, and three matrix products for each expert (H = I = 512, K = 8). It
runs with and without the plugin's `ExpertsLayer.route`, in turns (ABAB), on one thread, timed by the thread's
own clock. The plugin runs as Python, as it does on a GPU; where a CPU serves, vLLM compiles it. Dropped pairs
keep a valid id, so the experts compute the same in both: what a drop saves isn't counted.

The noise is how much one run without the plugin differs from the next: half of the runs differ by more.
"""

import json
import statistics
import sys
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import silu

from benchmarks.expert_works import seconds_of
from benchmarks.medians import upper_end
from loadline_api.expert_settings import ExpertsSettings
from loadline_vllm.expert_layers.bounds import LayerBound
from loadline_vllm.expert_layers.layer_placements import linear
from loadline_vllm.expert_layers.layers import ExpertsLayer
from loadline_vllm.expert_layers.selections import RouterRule
from loadline_vllm.experts.dropped_slots import DroppedSlot

HIDDEN = INNER = 512
TOP_K, RANKS = 8, 8
TOKENS, EXPERTS = (2_048, 8_192), (64, 128)
GAMMA_THOUSANDTHS = 1_500

ARMS = {
    "observe": ExpertsSettings(),
    **{
        strategy: ExpertsSettings(mode="enforce", gamma_thousandths=GAMMA_THOUSANDTHS, strategy=strategy)
        for strategy in ("drop", "reroute", "expanded")
    },
}


class Layer:
    """Random experts and tokens of one shape, with more load for some experts than for others."""

    def __init__(self, *, tokens: int, experts: int) -> None:
        generator = torch.Generator().manual_seed(tokens + experts)
        self.x = torch.randn(tokens, HIDDEN, generator=generator)
        self.logits = torch.randn(tokens, experts, generator=generator)
        self.logits += torch.randn(experts, generator=generator) / 2
        self.up = torch.randn(experts, HIDDEN, 2 * INNER, generator=generator) / 16
        self.down = torch.randn(experts, INNER, HIDDEN, generator=generator) / 16

    def routed(self) -> tuple[Tensor, Tensor]:
        """The weights and the ids that a router of the softmax kind gives."""
        weights, ids = torch.softmax(self.logits, -1).topk(TOP_K, dim=1)
        return weights, ids.to(torch.int32)

    def computed(self, weights: Tensor, ids: Tensor) -> Tensor:
        """What the experts make of the tokens."""
        order = ids.flatten().argsort()
        sizes = ids.flatten().bincount(minlength=len(self.up)).tolist()
        out = torch.zeros_like(self.x)
        flat = weights.flatten()
        for expert, pairs in enumerate(order.split(sizes)):
            rows = pairs // TOP_K
            gate, inner = (self.x[rows] @ self.up[expert]).chunk(2, dim=1)
            out.index_add_(0, rows, flat[pairs].unsqueeze(1) * ((silu(gate) * inner) @ self.down[expert]))
        return out


def plugin(experts: int) -> ExpertsLayer:
    """The plugin's state of such a layer, as it is on a GPU."""
    cpu = torch.device("cpu")
    bound = LayerBound(
        RouterRule("softmax"),
        experts=experts,
        slot=DroppedSlot.ZERO_WEIGHT,
        most_rounds=2,
        traced=False,
        device=cpu,
    )
    return ExpertsLayer(
        ranks=linear(experts, RANKS), rank_count=RANKS, device=cpu, floor=256, traced=False, bound=bound
    )


def timed(layer: Layer, *, pairs: int) -> dict[str, dict[str, Any]]:
    """For each arm its median cost as a share of the layer's time, its interval's upper end, and the noise.

    A round runs the layer alone and then with each arm, so that an arm is compared with a run beside its own.
    """
    runs = [partial(_run, layer, None), *(partial(_run, layer, _served(layer, arm)) for arm in ARMS)]
    for run in runs:
        run()
    rounds = [[seconds_of(run) for run in runs] for _ in range(pairs)]
    alone = [of_round[0] for of_round in rounds]
    noise = statistics.median(abs(after / before - 1) for before, after in pairwise(alone))
    found = {}
    for place, arm in enumerate(ARMS, start=1):
        ratios = [of_round[place] / of_round[0] for of_round in rounds]
        found[arm] = {
            "pairs": pairs,
            "layer_ms": 1000 * statistics.median(alone),
            "overhead": statistics.median(ratios) - 1,
            "overhead_upper": upper_end(ratios) - 1,
            "noise": noise,
        }
    return found


def _served(layer: Layer, arm: str) -> ExpertsLayer:
    served = plugin(len(layer.up))
    served.hold(ARMS[arm])
    return served


def _run(layer: Layer, served: ExpertsLayer | None) -> None:
    weights, ids = layer.routed()
    if served is not None:
        weights, ids = served.route(layer.logits, ids, weights, real=None)
    layer.computed(weights, ids)


def main() -> None:
    """Measure, and print one JSON document."""
    pairs, sizes = int(sys.argv[1]), [int(one) for one in sys.argv[2:]] or TOKENS
    torch.set_num_threads(1)
    rows = []
    for tokens in sizes:
        for experts in EXPERTS:
            for arm, found in timed(Layer(tokens=tokens, experts=experts), pairs=pairs).items():
                rows.append({"tokens": tokens, "experts": experts, "arm": arm, **found})
                print(rows[-1], file=sys.stderr)
    print(json.dumps({"rows": rows}))


if __name__ == "__main__":
    main()
