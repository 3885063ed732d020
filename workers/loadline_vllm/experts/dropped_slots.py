"""
What a kernel must get in the slot of a dropped pair.

A kernel that skips negative ids saves the pair's arithmetic. One that doesn't skip them counts them: the
CPU kernel writes past its counters then, and ends the process later. So a negative id goes only to
kernels that are known to skip it; all others get a valid id with the weight 0, which has the same result
and saves nothing.
"""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

import torch
from torch import Tensor

from loadline_vllm.experts.routings import Capped

NO_EXPERT = -1
"""The id that vLLM gives to padding, and that the kernels of `MINUS_ONE` skip."""


class DroppedSlot(Enum):
    """What stands in the slot of a dropped pair."""

    MINUS_ONE = "minus_one"
    ZERO_WEIGHT = "zero_weight"


KERNELS: Mapping[str, DroppedSlot] = MappingProxyType(
    {
        # Read in vLLM 0.32: moe_align_block_size skips negative ids, moe_fused_mul_sum leaves them out.
        # Not run on a GPU yet.
        "TRITON": DroppedSlot.MINUS_ONE,
        # Seen in vLLM 0.32: wrong results, then «free(): invalid next size».
        "CPU": DroppedSlot.ZERO_WEIGHT,
    }
)
"""By the name of vLLM's backend of unquantised experts. One that isn't here gets the weight 0."""


def slot_for(kernel: str) -> DroppedSlot:
    """What a kernel gets; ZERO_WEIGHT for one that isn't known."""
    return KERNELS.get(kernel, DroppedSlot.ZERO_WEIGHT)


def ids_for(left: Capped, ids: Tensor, slot: DroppedSlot) -> Tensor:
    """The ids for a kernel, of the type of the router's own `ids`, whose padding stays as it is."""
    real = left.kept | left.dropped
    known = torch.where(real, left.experts.to(ids.dtype), ids)
    if slot is DroppedSlot.ZERO_WEIGHT:
        return known
    return known.masked_fill(left.dropped, NO_EXPERT)
