"""
How much alike the keys, and the values, of adjacent layers are: what merging layers (MiniCache) relies on.

A token's keys in a layer are one vector, of all KV heads, as they are cached, so after the rotation by
position. The paper published no code, so that its vectors are these is our reading.
"""

from dataclasses import dataclass, field
from math import pi

import torch

from loadline_policies.kv.analysis_results import Likeness
from loadline_policies.kv.layer_merging import UNMERGED_SHARE
from loadline_vllm.kv_analyses.attentions import States


@dataclass(slots=True)
class LayerSimilarities:
    """Sums over the tokens of all sequences. `see` is called for each layer in turn."""

    _before: tuple[torch.Tensor, torch.Tensor] | None = None
    _sums: dict[int, torch.Tensor] = field(default_factory=dict)
    _tokens: int = 0

    def see(self, layer: int, states: States) -> None:
        """Compare a layer's keys and values with those of the layer before."""
        now = _joined(states.keys), _joined(states.values)
        if layer == 0:
            self._tokens += now[0].shape[0]
        elif self._before is not None:
            found = [_compared(one, other) for one, other in zip(self._before, now, strict=True)]
            self._sums[layer] = self._sums.get(layer, 0) + torch.stack(found).double()
        self._before = now

    def found(self) -> tuple[Likeness, ...]:
        """By layer, from the second one on."""
        return tuple(self._of(layer, *(sums / self._tokens).tolist()) for layer, sums in self._sums.items())

    @staticmethod
    def _of(layer: int, keys: tuple[float, float], values: tuple[float, float]) -> Likeness:
        return Likeness(
            layer=layer,
            keys_cosine=keys[0],
            values_cosine=values[0],
            keys_unmerged_share=keys[1],
            values_unmerged_share=values[1],
        )


def _joined(heads: torch.Tensor) -> torch.Tensor:
    """[tokens, elements of all heads]"""
    return heads.transpose(0, 1).flatten(1)


def _compared(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """The sum of the tokens' cosines, and how many of them stay unmerged by the paper's threshold."""
    cosines = torch.nn.functional.cosine_similarity(one, other)
    distances = cosines.clamp(-1, 1).acos() / pi
    least, most = distances.aminmax()
    threshold = least + (most - least) * (1 - UNMERGED_SHARE)
    return torch.stack([cosines.sum(), (distances >= threshold).sum().to(cosines)])
