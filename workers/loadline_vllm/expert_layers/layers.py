"""
One layer of experts as the plugin serves it: its settings, its counters, its placement.

A layer's router calls `route` with what it chose. On a GPU that is Python that runs inside an operation
which torch.compile doesn't trace, so a branch on the size of the batch costs nothing in a captured graph.
On a CPU Dynamo traces it, once for all sizes: there a branch on a size would be taken for ever as at the
trace, and only tensors decide.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

import torch
from torch import Tensor, nn

from loadline_api.expert_settings import ExpertsSettings, StrategyName
from loadline_vllm.expert_layers.bounds import LayerBound
from loadline_vllm.expert_layers.device_counters import DeviceCounters
from loadline_vllm.expert_layers.layer_placements import LayerPlacement
from loadline_vllm.expert_layers.layer_settings import LayerSettings, Mode
from loadline_vllm.expert_layers.probes import Bypass
from loadline_vllm.experts import routings

REHEARSED = (
    ExpertsSettings(strategy="threshold", min_tokens=1),
    *(
        ExpertsSettings(mode="enforce", gamma_thousandths=1000, strategy=strategy)
        for strategy in get_args(StrategyName)
    ),
)
"""Calibration of thresholds, then each strategy; so few tokens make no thresholds to apply."""


class ExpertsLayer(nn.Module):
    """The state of one layer; a module, so that all its tensors are buffers of the model.

    `traced` is whether Dynamo traces the router. Batches of fewer than `floor` tokens are always small.
    Without `bound` the routing is never changed.
    """

    def __init__(
        self,
        *,
        ranks: Tensor,
        rank_count: int,
        device: torch.device,
        floor: int,
        traced: bool,
        bound: LayerBound | None = None,
    ) -> None:
        super().__init__()
        self.experts, self.floor, self.traced = len(ranks), floor, traced
        self.settings = LayerSettings(device=device, floor=floor)
        self.counters = DeviceCounters(experts=self.experts, device=device)
        self.placement = LayerPlacement(ranks, count=rank_count, device=device)
        self.bound = bound

    def route(
        self, logits: Tensor, ids: Tensor, weights: Tensor, *, real: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Count what the router chose, and bound it: the weights and the ids [T, K] for the kernel.

        Rows that aren't `real` are padding.
        """
        own = routings.chosen(ids, weights, experts=self.experts, real=real)
        counting = self.settings.mode != Mode.OFF.value  # Dynamo takes a tensor and an enum for different
        placement, min_tokens = self.placement, self.settings.min_tokens
        small = not self.traced and ids.shape[0] < self.floor
        if small:
            self.counters.add_small(own, counting=counting)
        else:
            self.counters.add(
                own,
                shares=placement.shares,
                replicas=placement.replicas,
                min_tokens=min_tokens,
                counting=counting,
            )
        if self.bound is None or (small and not self.bound.bounds_all_sizes):
            return weights, ids
        return self.bound.constrain(
            own, ids, weights, logits=logits, placement=placement, min_tokens=min_tokens
        )

    def rehearse(self, *, top_k: int) -> None:
        """Route batches of both sizes by each strategy, so that what can't run here fails before serving."""
        device = self.settings.mode.device
        for settings in REHEARSED:
            self.hold(settings)
            for tokens in (1, self.floor):
                ids = torch.arange(top_k, dtype=torch.int32, device=device).repeat(tokens, 1)
                logits = torch.zeros((tokens, self.experts), device=device)
                self.route(logits, ids, torch.ones_like(ids, dtype=torch.float32), real=None)
        self.hold(ExpertsSettings())
        if self.bound is not None:
            self.bound.forget()

    def hold(self, settings: ExpertsSettings) -> None:
        """Take settings from the next step on, and count from 0."""
        self.settings.hold(settings)
        self.counters.clear()
        if self.bound is not None:
            self.bound.hold(settings, self.placement)
            self.bound.clear()


@dataclass(slots=True)
class ProcessLayers:
    """All layers of experts in this process, by vLLM's name of the layer.

    `runners` has vLLM's part of each layer that is served; `bypassed` the layers that aren't, with the
    reason, under the empty name what holds for all. `unbounded` has why the routing of a served one is never
    changed.
    """

    served: dict[str, ExpertsLayer] = field(default_factory=dict)
    runners: dict[str, Any] = field(default_factory=dict)
    bypassed: dict[str, Bypass] = field(default_factory=dict)
    unbounded: dict[str, Bypass] = field(default_factory=dict)
    settings: ExpertsSettings = field(default_factory=ExpertsSettings)

    def serve(self, name: str, layer: ExpertsLayer, runner: Any, *, unbounded: Bypass | None) -> None:
        """Take a layer, with the settings that hold now."""
        layer.hold(self.settings)
        self.served[name], self.runners[name] = layer, runner
        self.bypassed.pop(name, None)
        self.unbounded.pop(name, None)
        if unbounded is not None:
            self.unbounded[name] = unbounded

    def bypass(self, name: str, reason: Bypass) -> None:
        """Note that a layer stays as vLLM built it."""
        self.served.pop(name, None)
        self.runners.pop(name, None)
        self.bypassed[name] = reason

    def reasons_unbounded(self) -> Mapping[str, Bypass]:
        """Why the routing of layers is never changed, or isn't under the settings that hold now."""
        bounds = {name: layer.bound for name, layer in self.served.items()}
        refused = {name: bound.refusal for name, bound in bounds.items() if bound and bound.refusal}
        return {**self.unbounded, **refused}

    def reasons(self) -> Mapping[str, Bypass]:
        """Why layers aren't served now; vLLM may have chosen a monolithic kernel after the probe."""
        monolithic = {name for name, runner in self.runners.items() if runner.is_monolithic}
        return {**self.bypassed, **dict.fromkeys(monolithic, Bypass.MONOLITHIC_KERNEL)}


PROCESS = ProcessLayers()
