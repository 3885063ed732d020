"""
The settings of one layer of experts, as tensors on its device.

A change fills the tensors in place: a captured graph and a compiled trace read the new value at their next
step, and nothing is compiled again. What would need another trace is no setting here, but in the engine's
environment.
"""

from enum import IntEnum

import torch
from torch import Tensor, nn

from loadline_api.expert_settings import ExpertsSettings


class Mode(IntEnum):
    """`ExpertsSettings.mode` as a number, which a tensor can hold."""

    OFF = 0
    OBSERVE = 1
    ENFORCE = 2


class LayerSettings(nn.Module):
    """One layer's settings on its device.

    They are buffers, because vLLM saves buffers when an engine sleeps, and no other tensors; and they are
    no part of the model's weights.
    """

    mode: Tensor
    min_tokens: Tensor

    def __init__(self, *, device: torch.device, floor: int) -> None:
        super().__init__()
        self.floor = floor
        for name in ("mode", "min_tokens"):
            value = torch.zeros((), dtype=torch.int64, device=device)
            self.register_buffer(name, value, persistent=False)
        self.hold(ExpertsSettings())

    def hold(self, settings: ExpertsSettings) -> None:
        """Take the settings from the layer's next step on; `min_tokens` below the floor is the floor."""
        self.mode.fill_(Mode[settings.mode.upper()])
        self.min_tokens.fill_(max(settings.min_tokens, self.floor))
