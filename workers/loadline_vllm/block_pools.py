"""The blocks of KV memory that the requests of a scheduler share, by vLLM's own pool of them."""

from typing import Any


def pool_blocks(scheduler: Any) -> int:
    """The blocks that requests can hold; vLLM keeps one for itself."""
    return int(scheduler.kv_cache_manager.block_pool.num_gpu_blocks) - 1


def used_blocks(scheduler: Any) -> int:
    """The blocks that requests hold now; those that are only cached are free."""
    return pool_blocks(scheduler) - int(scheduler.kv_cache_manager.block_pool.get_num_free_blocks())
