"""
What one rank answers: it takes settings, and gives its counts as plain lists.

vLLM's `collective_rpc` calls a rank between two steps, so a change never falls into a step, and the counts
are of whole steps. The channel carries both; nothing here knows how.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import JsonValue

from loadline_api.expert_settings import ExpertsSettings
from loadline_vllm.expert_layers.device_counters import LARGE
from loadline_vllm.expert_layers.layers import PROCESS, ExpertsLayer


def hold(settings: Mapping[str, JsonValue]) -> None:
    """Take settings for all layers, and count from 0; InvalidInput, before anything is changed."""
    read_settings = ExpertsSettings.read(settings)
    PROCESS.settings = read_settings
    for layer in PROCESS.served.values():
        layer.hold(read_settings)


def counts() -> dict[str, Any]:
    """The settings held, the counts of each layer since then, and why layers aren't served or bounded."""
    reasons = PROCESS.reasons()
    return {
        "settings": PROCESS.settings.model_dump(),
        "layers": {
            name: _counts(name, layer) for name, layer in PROCESS.served.items() if name not in reasons
        },
        "bypassed": {name: reason.value for name, reason in reasons.items()},
        "unbounded": {name: reason.value for name, reason in PROCESS.unbounded.items()},
    }


def _counts(name: str, layer: ExpertsLayer) -> dict[str, Any]:
    found = layer.counters.read()
    rank_loads = layer.placement.rank_loads(found["loads"][LARGE])
    _follow_eplb(PROCESS.runners[name], layer)
    bound = layer.bound.read() if layer.bound is not None else None
    return {**found, "rank_loads": rank_loads, "bound": bound}


def _follow_eplb(runner: Any, layer: ExpertsLayer) -> None:
    """Count from now on by the placement that EPLB has made, where an engine balances its experts."""
    state = runner.eplb_state
    if state is not None and state.logical_to_physical_map is not None:
        layer.placement.move(state.logical_to_physical_map, physical=runner.moe_config.num_experts)
