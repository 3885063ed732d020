"""
The pairs that fit the capacities: of each expert's pairs those of the highest priority.

One sort of one key does it. The key is the expert times 2³², less the bits of the priority, so sorted
pairs stand expert by expert, best first, and those before the expert's first position plus its capacity
fit. The sort is stable: of equal priorities the earlier token is kept. It costs O(TK log TK), whatever
the number of experts, and a capacity may differ by expert. The paper's code selects the best C of a
column of T for each expert instead, which needs C as a number on the host.
"""

import torch
from torch import Tensor

LOWEST = -(1 << 31)
"""The bits of the float -0, as a signed integer."""


def kept(buckets: Tensor, priorities: Tensor, *, offered: Tensor, capacities: Tensor) -> Tensor:
    """The mask of the pairs that fit, of the shape of `buckets`; what isn't `offered` never does.

    A bucket is an expert, or a device; `capacities` has one for each. Priorities are finite.
    """
    beyond = capacities.shape[0]
    flat = torch.where(offered, buckets, beyond).reshape(-1)
    keys, order = torch.sort((flat << 32) - _ascending(priorities).reshape(-1), stable=True)
    firsts = torch.searchsorted(keys, (torch.arange(beyond, device=keys.device) << 32) + LOWEST)
    ends = torch.cat((firsts + capacities, capacities.new_zeros(1)))
    fits = torch.arange(keys.shape[0], device=keys.device) < ends.index_select(0, (keys - LOWEST) >> 32)
    return torch.empty_like(fits).scatter_(0, order, fits).view(buckets.shape)


def _ascending(priorities: Tensor) -> Tensor:
    """Integers above -2³¹ and below 2³¹ that rise with the priority; from 0 up they are its bits.

    The bits of a float that isn't negative rise with it, those of a negative one fall: hence the mirror.
    Both zeros are 0.
    """
    bits = priorities.to(torch.float32).view(torch.int32)
    return torch.where(bits < 0, LOWEST - bits, bits)
