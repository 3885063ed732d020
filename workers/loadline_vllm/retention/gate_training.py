"""
Training of gates on a frozen model: its attention is discounted by β, and β is pressed to fit a budget.

The loss is TRIM-KV's (arXiv 2512.03324): how far the discounted model's predictions are from the model's own,
how well it predicts the next token, and by how much the retained mass, the sum of β^age, is above the budget,
as a share of the tokens so far. The discount is added to the logits of attention, age × log β: the paper's
form; its published code multiplies in one place, which differs.

Any causal model of transformers will do whose attention is looked up by name. Only the gates are trained.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from loadline_vllm.retention import frozen_models
from loadline_vllm.retention.gate_examples import Example
from loadline_vllm.retention.gates import GateShape, LayerGate

ATTENTION: Final = "loadline_gated"
INNER: Final = 64
FIRST_BIAS: Final = 6.0
"""At first nothing is forgotten: β of 0.9975. The paper has 10 to 18, for far longer sequences."""


@dataclass(frozen=True, slots=True)
class Losses:
    """The parts of a step's loss."""

    distillation: float
    prediction: float
    capacity: float


class TrainedGates(nn.Module):
    """The gates of all layers, as parameters."""

    def __init__(self, shape: GateShape) -> None:
        super().__init__()
        self.shape = shape
        heads = (shape.layers, shape.kv_heads)
        self.inward = nn.Parameter(0.02 * torch.randn(*heads, INNER, shape.head))
        self.inward_bias = nn.Parameter(torch.zeros(*heads, INNER))
        self.outward = nn.Parameter(0.02 * torch.randn(*heads, INNER))
        self.outward_bias = nn.Parameter(torch.full(heads, FIRST_BIAS))

    def layer(self, number: int) -> LayerGate:
        return LayerGate(
            self.inward[number], self.inward_bias[number], self.outward[number], self.outward_bias[number]
        )

    def layers(self) -> list[LayerGate]:
        return [self.layer(number) for number in range(self.shape.layers)]


class GateTraining:
    """Trains gates for a model in a directory, in steps whose caller decides when to stop and to save.

    Raises InvalidInput for a model whose attention can't be replaced.
    """

    def __init__(self, model: Path, *, kept_tokens: int, rate: float, seed: int) -> None:
        torch.manual_seed(seed)
        self._model: Any = frozen_models.load(model, name=ATTENTION, attend=self._attend)
        self.gates = TrainedGates(frozen_models.shape_of(self._model.config))
        self._kept_tokens, self._gated = kept_tokens, False
        self._capacities: list[torch.Tensor] = []
        self._optimizer = torch.optim.AdamW(self.gates.parameters(), lr=rate, weight_decay=0.0)
        self.steps = 0

    def step(self, batch: list[Example]) -> Losses:
        """One step on examples of one length."""
        ids = torch.tensor([example.ids for example in batch])
        judged = torch.zeros_like(ids, dtype=torch.bool)
        for row, example in enumerate(batch):
            if example.judged is None:
                judged[row, :-1] = True
            else:
                judged[row, list(example.judged)] = True
        with torch.no_grad():
            own = self._logits(ids, gated=False)[judged].log_softmax(-1)
        discounted = self._logits(ids, gated=True)[judged].log_softmax(-1)
        following = ids.roll(-1, 1)[judged]
        distillation = nn.functional.kl_div(discounted, own, log_target=True, reduction="batchmean")
        prediction = nn.functional.nll_loss(discounted, following)
        capacity = torch.stack(self._capacities).mean()
        self._optimizer.zero_grad()
        (distillation + prediction + capacity).backward()
        self._optimizer.step()
        self.steps += 1
        return Losses(*(part.item() for part in (distillation, prediction, capacity)))

    def state(self) -> dict[str, Any]:
        """What is needed to go on later."""
        return {
            "gates": self.gates.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "steps": self.steps,
        }

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.gates.load_state_dict(state["gates"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.steps = int(state["steps"])

    def _logits(self, ids: torch.Tensor, *, gated: bool) -> torch.Tensor:
        self._gated = gated
        self._capacities.clear()
        logits: torch.Tensor = self._model(input_ids=ids, use_cache=False).logits
        return logits

    def _attend(self, module: Any, *states: Any, **named: Any) -> tuple[torch.Tensor, None]:
        """Attention with each token's weight discounted by its age; called by the model in each layer.

        `states` are queries, keys and values, [sequences, heads, tokens, head size], and a causal mask.
        """
        query, key, value, *_ = states
        each = query.shape[1] // key.shape[1]
        tokens = key.shape[2]
        positions = torch.arange(tokens)
        ages = (positions[:, None] - positions[None, :]).float()
        bias = torch.zeros(1, 1, tokens, tokens)
        if self._gated:
            gate = self.gates.layer(module.layer_idx)
            log_beta = torch.stack([gate.log_retention(row) for row in value])
            fading = log_beta[:, :, None, :] * ages.clamp(min=0)
            mass = fading.exp().masked_fill(ages < 0, 0.0).sum(-1)
            above = (mass - self._kept_tokens).clamp(min=0) / (positions + 1)
            self._capacities.append(above.mean())
            bias = fading.repeat_interleave(each, 1)
        mixed = nn.functional.scaled_dot_product_attention(
            query,
            key.repeat_interleave(each, 1),
            value.repeat_interleave(each, 1),
            attn_mask=bias.masked_fill(ages < 0, -math.inf),
            scale=named.get("scaling"),
        )
        return mixed.transpose(1, 2).contiguous(), None
