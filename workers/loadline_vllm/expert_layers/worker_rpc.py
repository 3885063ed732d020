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


def hold(settings: Mapping[str, JsonValue]) -> dict[str, str]:
    """Take settings for all layers, and count from 0; InvalidInput, before anything is changed.

    The answer has what must be equal on all ranks that route the same tokens, by data-parallel rank and
    layer: what the thresholds in force are known by. Ranks that dropped different pairs would compute
    different answers.
    """
    read_settings = ExpertsSettings.read(settings)
    PROCESS.settings = read_settings
    for layer in PROCESS.served.values():
        layer.hold(read_settings)
    digests = {name: layer.bound.digest() for name, layer in PROCESS.served.items() if layer.bound}
    return {
        f"{PROCESS.runners[name].moe_config.dp_rank}/{name}": digest
        for name, digest in digests.items()
        if digest is not None
    }


def counts(worker: Any = None) -> dict[str, Any]:
    """The settings held, the counts of each layer since then, and why layers aren't served or bounded."""
    reasons = PROCESS.reasons()
    return {
        "settings": PROCESS.settings.model_dump(),
        "eplb": _eplb(worker),
        "layers": {
            name: _counts(name, layer) for name, layer in PROCESS.served.items() if name not in reasons
        },
        "bypassed": {name: reason.value for name, reason in reasons.items()},
        "unbounded": {name: reason.value for name, reason in PROCESS.reasons_unbounded().items()},
    }


def _counts(name: str, layer: ExpertsLayer) -> dict[str, Any]:
    found = layer.counters.read()
    rank_loads = layer.placement.rank_loads(found["loads"][LARGE])
    _follow_eplb(PROCESS.runners[name], layer)
    bound = layer.bound.read() if layer.bound is not None else None
    return {**found, "rank_loads": rank_loads, "bound": bound}


def _eplb(worker: Any) -> dict[str, int] | None:
    """How long ago EPLB has last moved experts, as vLLM counts it; None without EPLB.

    vLLM counts its steps up to the interval, then begins to move experts and counts from 0. When moving
    them in the background never ends, it doesn't begin again, and counts on. It starts at three quarters of
    the interval.
    """
    state = getattr(getattr(worker, "model_runner", None), "eplb_state", None)
    if state is None or state.expert_rearrangement_step_interval < 1:
        return None
    return {
        "steps_since_rearranged": int(state.expert_rearrangement_step),
        "step_interval": int(state.expert_rearrangement_step_interval),
    }


def _follow_eplb(runner: Any, layer: ExpertsLayer) -> None:
    """Count from now on by the placement that EPLB has made, where an engine balances its experts."""
    state = runner.eplb_state
    if state is not None and state.logical_to_physical_map is not None:
        layer.placement.move(state.logical_to_physical_map, physical=runner.moe_config.num_experts)
