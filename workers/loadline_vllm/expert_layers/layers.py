"""
One layer of experts as the plugin serves it: its settings, its counters, its placement.

A layer's router calls `observe` with what it chose. On a GPU that is Python that runs inside an operation
which torch.compile doesn't trace, so a branch on the size of the batch costs nothing in a captured graph.
On a CPU Dynamo traces it, once for all sizes: there a branch on a size would be taken for ever as at the
trace, and only tensors decide.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from loadline_vllm.expert_layers.device_counters import DeviceCounters
from loadline_vllm.expert_layers.experts_settings import ExpertsSettings, Mode
from loadline_vllm.expert_layers.layer_placements import LayerPlacement
from loadline_vllm.expert_layers.layer_settings import LayerSettings
from loadline_vllm.expert_layers.probes import Bypass
from loadline_vllm.experts import routings


class ExpertsLayer(nn.Module):
    """The state of one layer; a module, so that all its tensors are buffers of the model.

    `traced` is whether Dynamo traces the router. Batches of fewer than `floor` tokens are always small.
    """

    def __init__(
        self, *, ranks: Tensor, rank_count: int, device: torch.device, floor: int, traced: bool
    ) -> None:
        super().__init__()
        self.experts, self.floor, self.traced = len(ranks), floor, traced
        self.settings = LayerSettings(device=device, floor=floor)
        self.counters = DeviceCounters(experts=self.experts, device=device)
        self.placement = LayerPlacement(ranks, count=rank_count, device=device)

    def observe(self, ids: Tensor, weights: Tensor, *, real: Tensor | None) -> None:
        """Count what the router chose, `ids` [T, K]; rows that aren't `real` are padding."""
        own = routings.chosen(ids, weights, experts=self.experts, real=real)
        counting = self.settings.mode != Mode.OFF.value  # Dynamo takes a tensor and an enum for different
        if not self.traced and ids.shape[0] < self.floor:
            self.counters.add_small(own, counting=counting)
            return
        self.counters.add(
            own,
            shares=self.placement.shares,
            replicas=self.placement.replicas,
            min_tokens=self.settings.min_tokens,
            counting=counting,
        )

    def rehearse(self, *, top_k: int) -> None:
        """Count batches without a real token once, so that what can't run here fails before serving."""
        device = self.settings.mode.device
        for tokens in (1, self.floor):
            ids = torch.full((tokens, top_k), -1, dtype=torch.int32, device=device)
            self.observe(ids, torch.zeros_like(ids, dtype=torch.float32), real=None)
        self.counters.clear()

    def hold(self, settings: ExpertsSettings) -> None:
        """Take settings from the next step on, and count from 0."""
        self.settings.hold(settings)
        self.counters.clear()


@dataclass(slots=True)
class ProcessLayers:
    """All layers of experts in this process, by vLLM's name of the layer.

    `runners` has vLLM's part of each layer that is served; `bypassed` the layers that aren't, with the
    reason, under the empty name what holds for all.
    """

    served: dict[str, ExpertsLayer] = field(default_factory=dict)
    runners: dict[str, Any] = field(default_factory=dict)
    bypassed: dict[str, Bypass] = field(default_factory=dict)
    settings: ExpertsSettings = field(default_factory=ExpertsSettings)

    def serve(self, name: str, layer: ExpertsLayer, runner: Any) -> None:
        """Take a layer, with the settings that hold now."""
        layer.hold(self.settings)
        self.served[name], self.runners[name] = layer, runner
        self.bypassed.pop(name, None)

    def bypass(self, name: str, reason: Bypass) -> None:
        """Note that a layer stays as vLLM built it."""
        self.served.pop(name, None)
        self.runners.pop(name, None)
        self.bypassed[name] = reason

    def reasons(self) -> Mapping[str, Bypass]:
        """Why layers aren't served now; vLLM may have chosen a monolithic kernel after the probe."""
        monolithic = {name for name, runner in self.runners.items() if runner.is_monolithic}
        return {**self.bypassed, **dict.fromkeys(monolithic, Bypass.MONOLITHIC_KERNEL)}


PROCESS = ProcessLayers()
