"""
The pairs that fit the capacities: of each expert's pairs those of the highest priority.

One sort of one key does it. The upper half of the key is the expert, the lower half falls as the
priority rises, so sorted pairs stand expert by expert, best first; a pair's position behind the first
of its expert is compared with the capacity. The sort is stable: of equal priorities the earlier token
is kept. It costs O(TK log TK), whatever the number of experts, and a capacity may differ by expert.
The paper's code selects the best C of a column of T for each expert instead, which needs C as a number
on the host.
"""

import torch
from torch import Tensor

LOWEST = 1 << 31


def kept(buckets: Tensor, priorities: Tensor, *, offered: Tensor, capacities: Tensor) -> Tensor:
    """The mask of the pairs that fit, of the shape of `buckets`; what isn't `offered` never does.

    A bucket is an expert, or a device; `capacities` has one for each. Priorities are finite float32.
    """
    beyond = capacities.shape[0]
    flat = torch.where(offered, buckets, beyond).reshape(-1)
    ordered, order = torch.sort((flat << 32) | _descending(priorities).reshape(-1), stable=True)
    sizes = flat.new_zeros(beyond + 1).scatter_add_(0, flat, torch.ones_like(flat))
    firsts = sizes.cumsum(0) - sizes
    bucket = ordered >> 32
    room = torch.cat((capacities, capacities.new_zeros(1)))
    fits = torch.arange(bucket.shape[0], device=bucket.device) - firsts[bucket] < room[bucket]
    return torch.empty_like(fits).scatter_(0, order, fits).view(buckets.shape)


def _descending(priorities: Tensor) -> Tensor:
    """Integers from 0 up to 2³² that fall as the priority rises; for 0 and above 2³¹ - 1 - its bits.

    The bits of a float that isn't negative rise with it, those of a negative one fall: hence the mirror.
    """
    bits = priorities.to(torch.float32).view(torch.int32).to(torch.int64)
    return (LOWEST - 1) - torch.where(bits < 0, -LOWEST - bits, bits)
