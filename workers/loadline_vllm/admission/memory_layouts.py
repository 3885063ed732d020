"""
How an engine's KV memory is laid out: its blocks, and the groups of layers that share a block table.

A request holds blocks of each group. What it holds at most is asked of vLLM's own specification where that
bounds it: layers with a sliding window or with chunks of attention, and layers that hold a state instead of
tokens (Mamba). Layers of a kind that isn't known here count as if they kept every token.
"""

from typing import Any

from loadline_policies.kv.peaks import BlockGroup
from loadline_vllm.admission.labels import Off


def off_reason(scheduler: Any) -> Off | None:
    """Why the memory of a scheduler's requests can't be predicted; None if it can."""
    if scheduler.is_encoder_decoder:
        return Off.ENCODER_DECODER
    if scheduler.vllm_config.model_config.runner_type == "pooling":
        return Off.POOLING
    if scheduler.kv_cache_config.hisparse_host_num_blocks is not None:
        return Off.HOST_MEMORY
    if not scheduler.kv_cache_manager.coordinator.single_type_managers:
        return Off.NO_KV_MEMORY
    return None


def groups_of(scheduler: Any) -> tuple[BlockGroup, ...]:
    """The groups of an engine. A manager's `block_size` has all ranks of a context-parallel group in it."""
    managers = scheduler.kv_cache_manager.coordinator.single_type_managers
    return tuple(_group(manager, scheduler.vllm_config) for manager in managers)


def _group(manager: Any, vllm_config: Any) -> BlockGroup:
    from vllm.v1.kv_cache_interface import CircularBufferSpec, MambaSpec

    spec = manager.kv_cache_spec
    if isinstance(spec, CircularBufferSpec):
        return BlockGroup(block_tokens=1, most_blocks=1)
    if isinstance(spec, MambaSpec) and spec.mamba_cache_mode in ("none", "align"):
        states = spec.max_memory_usage_bytes(vllm_config) // spec.page_size_bytes
        return BlockGroup(block_tokens=1, most_blocks=states)
    return BlockGroup(block_tokens=manager.block_size, most_blocks=manager.max_admission_blocks_per_request)
