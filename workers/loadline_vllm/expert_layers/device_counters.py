"""
The counts of one layer, kept on its device and read by one copy when they are asked for.

A batch of at least `min_tokens` tokens is large, any other is small. vLLM mixes prefill and decode in one
batch, and a router can't tell them apart; but only steps with prefill are that large, and only a large batch
is worth bounding. So small batches are counted apart, by their loads alone, which costs few operations.
The shadow counts (how full the fullest expert and rank were, and what each γ would have dropped) are of large
batches: they don't follow from summed loads, so each batch adds its own.
"""

from typing import Any

import torch
from torch import Tensor, nn

from loadline_policies.experts.capacities import GRID_THOUSANDTHS
from loadline_vllm.experts import capacities, counters
from loadline_vllm.experts.routings import Chosen

SMALL, LARGE = 0, 1


class DeviceCounters(nn.Module):
    """Counts since the last `clear`; buffers, so that they survive an engine's sleep.

    `counts` has a row for small and one for large batches: the offered pairs of each expert, the batches and
    their tokens. `sums` [2 + 2G] is of large batches only, in the order of `read`.
    """

    counts: Tensor
    sums: Tensor
    grid: Tensor

    def __init__(self, *, experts: int, device: torch.device) -> None:
        super().__init__()
        self.experts = experts
        size = 2 + 2 * len(GRID_THOUSANDTHS)
        for name, value in {
            "counts": torch.zeros((2, experts + 2), dtype=torch.int64, device=device),
            "sums": torch.zeros(size, dtype=torch.float64, device=device),
            "grid": torch.tensor(GRID_THOUSANDTHS, dtype=torch.int64, device=device),
        }.items():
            self.register_buffer(name, value, persistent=False)

    def add(
        self, own: Chosen, *, shares: Tensor, replicas: Tensor, min_tokens: Tensor, counting: Tensor
    ) -> None:
        """Count a batch of whatever size; nothing unless `counting`."""
        found = counters.observed(own, shares=shares, replicas=replicas, grid_thousandths=self.grid)
        tokens = capacities.real_tokens(own.offered)
        large = (tokens >= min_tokens) & counting
        small = (tokens < min_tokens) & counting
        batch = torch.cat((found.loads, found.batches.view(1), tokens.view(1)))
        self.counts.add_(torch.stack((small, large)).to(torch.int64).unsqueeze(1) * batch)
        most = torch.stack((found.expert_most.to(torch.float64), found.rank_most.to(torch.float64)))
        sums = torch.cat((most, found.dropped.to(torch.float64), found.capped_rank_most.to(torch.float64)))
        self.sums.add_(large * sums)

    def add_small(self, own: Chosen, *, counting: Tensor) -> None:
        """Count a batch that is known to be small."""
        tokens = capacities.real_tokens(own.offered)
        loads = counters.loads(own.experts, own.offered, count=self.experts)
        batch = torch.cat((loads, (tokens > 0).to(torch.int64).view(1), tokens.view(1)))
        self.counts[SMALL].add_(counting * batch)

    def clear(self) -> None:
        """Count from 0 again."""
        self.counts.zero_()
        self.sums.zero_()

    def read(self) -> dict[str, Any]:
        """All counts as plain numbers; waits for the device."""
        rows, sums = self.counts.tolist(), self.sums.tolist()
        grid = len(GRID_THOUSANDTHS)
        return {
            "loads": [row[: self.experts] for row in rows],
            "batches": [row[self.experts] for row in rows],
            "tokens": [row[self.experts + 1] for row in rows],
            "expert_most": sums[0],
            "rank_most": sums[1],
            "dropped": [round(one) for one in sums[2 : 2 + grid]],
            "capped_rank_most": sums[2 + grid :],
        }
