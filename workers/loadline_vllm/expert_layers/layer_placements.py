"""
Which share of each expert's load falls to which rank, as vLLM has placed the experts of a layer.

EPLB moves experts while the engine runs, so this is read anew whenever the counters are. Without EPLB the
placement follows from vLLM's strategy. An engine without expert parallelism has one rank; it may count as if
it had more, to learn what expert parallelism would find.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class LayerPlacement(nn.Module):
    """`shares` [R, E] and `replicas` [E] on the layer's device, changed in place.

    At first each expert is on the rank that `ranks` [E] has for it, of `count` ranks.
    """

    shares: Tensor
    replicas: Tensor

    def __init__(self, ranks: Tensor, *, count: int, device: torch.device) -> None:
        super().__init__()
        experts = len(ranks)
        shares, replicas = shares_of(ranks, torch.arange(experts), count=count, experts=experts)
        self.register_buffer("shares", shares.to(device), persistent=False)
        self.register_buffer("replicas", replicas.to(device), persistent=False)

    def rank_loads(self, loads: Sequence[int]) -> list[float]:
        """The load of each rank, given that of each expert."""
        found: list[float] = (self.shares.cpu() @ torch.tensor(loads, dtype=torch.float64)).tolist()
        return found

    def move(self, logical_to_physical: Tensor, *, physical: int) -> None:
        """Take the placement that EPLB has made of `physical` experts, an equal number on each rank.

        `logical_to_physical` [E, M] has the physical experts of each logical one, -1 where there are no more.
        """
        count, experts = self.shares.shape
        logical, column = (logical_to_physical.cpu() >= 0).nonzero(as_tuple=True)
        ranks = logical_to_physical.cpu()[logical, column].to(torch.int64) // (physical // count)
        shares, replicas = shares_of(ranks, logical, count=count, experts=experts)
        self.shares.copy_(shares)
        self.replicas.copy_(replicas)


def shares_of(ranks: Tensor, logical: Tensor, *, count: int, experts: int) -> tuple[Tensor, Tensor]:
    """`shares` [count, experts] and `replicas` [experts], given the rank and the logical id of each."""
    placed = torch.zeros((count, experts), dtype=torch.float64)
    placed.index_put_((ranks, logical), torch.ones(len(ranks), dtype=torch.float64), accumulate=True)
    replicas = placed.sum(0)
    return placed / replicas.clamp(min=1), replicas.to(torch.int64)


def linear(experts: int, ranks: int) -> Tensor:
    """The rank of each expert in order; the first ranks get one more, where they can't have equally many."""
    each, more = divmod(experts, ranks)
    sizes = torch.tensor([each + (rank < more) for rank in range(ranks)])
    return torch.repeat_interleave(torch.arange(ranks), sizes)


def round_robin(experts: int, ranks: int) -> Tensor:
    """The rank of each expert in turns."""
    return torch.arange(experts) % ranks
