"""
The counts of a layer, computed again from the experts of each token that vLLM's own hook captured.

Slow and obvious: plain numbers of plain lists, to compare what the plugin has counted on the device with.
"""

from collections.abc import Sequence
from typing import Any

from loadline_policies.experts.placements import contiguous
from loadline_policies.experts.shadow_tables import count, summed


def recounted(
    routed: Sequence[list[list[int]]], *, experts: int, ranks: int, min_tokens: int
) -> dict[str, Any]:
    """What `DeviceCounters.read` should give after these batches, on `ranks` ranks without replicas."""
    by_size = [[batch for batch in routed if (len(batch) >= min_tokens) is large] for large in (False, True)]
    large = [
        count(
            _loads([batch], experts),
            tokens=len(batch),
            top_k=len(batch[0]),
            placement=contiguous(experts, ranks),
        )
        for batch in by_size[True]
    ]
    total = summed(large)
    return {
        "loads": [_loads(batches, experts) for batches in by_size],
        "batches": [len(batches) for batches in by_size],
        "tokens": [sum(map(len, batches)) for batches in by_size],
        "expert_most": total.expert_most if total else 0,
        "rank_most": total.rank_most if total else 0,
        "dropped": list(total.dropped) if total else [],
        "capped_rank_most": list(total.capped_rank_most) if total else [],
    }


def _loads(batches: Sequence[list[list[int]]], experts: int) -> list[int]:
    pairs = [expert for batch in batches for token in batch for expert in token]
    return [pairs.count(expert) for expert in range(experts)]
