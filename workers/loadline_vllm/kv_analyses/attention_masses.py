"""
How few tokens hold most of attention's mass, for each layer and KV head.

A KV head serves several query heads, and a token has to be read if any of them needs it: so the mass is that
of the group, the mean over its query heads. Some queries of the second half of a sequence are looked at,
because early ones have few tokens to choose from.
"""

from dataclasses import dataclass, field
from typing import Final

import torch

from loadline_policies.kv.analysis_results import HeadMasses
from loadline_vllm.kv_analyses.attentions import States

MASSES: Final = (0.90, 0.95, 0.99)
MOST_QUERIES: Final = 256
AT_ONCE: Final = 32


@dataclass(slots=True)
class AttentionMasses:
    """Sums over the looked-at queries of all sequences."""

    _sums: dict[int, torch.Tensor] = field(default_factory=dict)
    _queries: dict[int, int] = field(default_factory=dict)

    def see(self, layer: int, states: States) -> None:
        """Add a layer of one sequence."""
        places = _looked_at(states.queries.shape[1])
        for first in range(0, len(places), AT_ONCE):
            part = places[first : first + AT_ONCE]
            self._sums[layer] = self._sums.get(layer, 0) + _shares(states, part).sum(-1)
        self._queries[layer] = self._queries.get(layer, 0) + len(places)

    def found(self) -> tuple[HeadMasses, ...]:
        """By layer and KV head: the mean share of the tokens that hold each of `MASSES`."""
        return tuple(
            HeadMasses(
                layer=layer,
                kv_head=head,
                share_for_90=shares[0],
                share_for_95=shares[1],
                share_for_99=shares[2],
            )
            for layer, sums in self._sums.items()
            for head, shares in enumerate((sums / self._queries[layer]).tolist())
        )


def _looked_at(tokens: int) -> torch.Tensor:
    """The places of the queries, evenly spread over the second half."""
    first = tokens // 2
    return torch.linspace(first, tokens - 1, min(MOST_QUERIES, tokens - first)).round().long()


def _shares(states: States, places: torch.Tensor) -> torch.Tensor:
    """For some queries the share of tokens that hold each mass: [KV heads, masses, queries]."""
    heads, length = states.keys.shape[0], int(places[-1]) + 1
    queries = states.queries[:, places].unflatten(0, (heads, -1))
    logits = queries @ states.keys[:, None, :length].transpose(-1, -2) * states.scale
    later = torch.arange(length) > places[:, None]
    weights = logits.masked_fill(later, float("-inf")).softmax(-1).mean(1)
    held = weights.double().sort(-1, descending=True).values.cumsum(-1)
    wanted = torch.tensor(MASSES, dtype=torch.double)
    needed = (held[:, None] < wanted[None, :, None, None]).sum(-1) + 1
    return needed.double() / (places + 1)
