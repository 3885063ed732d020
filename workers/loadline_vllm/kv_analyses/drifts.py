"""
How far a changed attention moves a model's predictions: the divergence of the next token's distribution.

Both runs see the same tokens (the data's, not those that they would have produced), so a difference is the
change's own, and doesn't grow by another answer. Distributions are compared in parts, since a vocabulary is
large.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import torch

from loadline_policies.kv.analysis_results import Drift

AT_ONCE: Final = 64
"""Tokens whose distributions are there at once."""

Head = Callable[[torch.Tensor], torch.Tensor]
"""From the last hidden states of tokens to the logits of what follows them."""


@dataclass(slots=True)
class DriftSums:
    """Sums over sequences."""

    _kl: float = 0.0
    _loss: float = 0.0
    _same: int = 0
    _tokens: int = 0

    def add(
        self,
        own: torch.Tensor,
        changed: torch.Tensor,
        *,
        following: torch.Tensor,
        places: Sequence[int],
        head: Head,
    ) -> None:
        """Add a sequence: its last hidden states under full and under changed attention, the token after each
        place, and the places that are judged."""
        for first in range(0, len(places), AT_ONCE):
            part = torch.tensor(places[first : first + AT_ONCE])
            truth, guess = (head(states[part]).float().log_softmax(-1) for states in (own, changed))
            next_ids = following[part][:, None]
            self._kl += float((truth.exp() * (truth - guess)).sum())
            self._loss += float((truth.gather(1, next_ids) - guess.gather(1, next_ids)).sum())
            self._same += int((truth.argmax(-1) == guess.argmax(-1)).sum())
            self._tokens += len(part)

    def mean(self) -> Drift:
        """The means; there must be a judged token."""
        count = self._tokens
        return Drift(
            kl_nats=self._kl / count,
            loss_nats=self._loss / count,
            same_token_share=self._same / count,
            judged_tokens=count,
        )
