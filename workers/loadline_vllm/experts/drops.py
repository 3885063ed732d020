"""
Token drop: pairs that don't fit their expert's or their device's capacity are left out.

The bound of a device is the looser one: the sum over its experts is bounded, a single hot expert isn't,
and what its neighbours leave unused isn't lost. A threshold bounds nothing, but judges each pair by its
own priority: what a token gets then never depends on the other tokens of its batch. `calibrations` makes
thresholds.

Source: the paper's Algorithm 1 for `token_drop`, its Table 3 for `device_drop`. Thresholds in place of a
competition are known from an SGLang fork.
"""

import torch
from torch import Tensor

from loadline_vllm.experts import positions
from loadline_vllm.experts.routings import Capped, Chosen, capped


def token_drop(own: Chosen, priorities: Tensor, *, capacities: Tensor) -> Capped:
    """Each expert keeps its pairs of the highest priority, as many as `capacities` [E] has for it."""
    return capped(own, positions.kept(own.experts, priorities, offered=own.offered, capacities=capacities))


def device_drop(own: Chosen, priorities: Tensor, *, devices: Tensor, capacities: Tensor) -> Capped:
    """Each device keeps the pairs of the highest priority of all its experts, by `capacities` [D].

    `devices` [E] has the device of each expert. An expert with replicas on several devices has none, so
    this can't be combined with replicas.
    """
    buckets = devices.to(torch.int64)[own.experts]
    return capped(own, positions.kept(buckets, priorities, offered=own.offered, capacities=capacities))


def threshold_drop(own: Chosen, priorities: Tensor, *, thresholds: Tensor) -> Capped:
    """Each expert keeps the pairs whose priority reaches its threshold, however many those are."""
    return capped(own, own.offered & (priorities >= thresholds[own.experts]))
