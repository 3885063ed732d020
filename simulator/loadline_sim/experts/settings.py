"""
What a study of an expert cache assumes: the memory, the link, the batch, and the size of an expert.

The defaults are chosen for an ordinary server, not measured: 25 GB/s is what PCIe 4.0 with 16 lanes
moves at best, and 0.3 ms is the order of one layer of a small model in decode. Every report names them.
"""

from dataclasses import dataclass

from loadline_policies.errors import InvalidInput
from loadline_sim.experts.precisions import GIB
from loadline_sim.experts.routings import Routing

EXAMPLE_PARAMETERS = 3 * 2048 * 1408
"""An expert of DeepSeek-V2-Lite: gate, up and down projections of hidden size 2048 and width 1408."""

DEFAULT_SHARE = 0.25
"""The share of all experts that have a slot, where no memory is set."""

MOST_QUEUED = 1_000_000
"""Steps that may be known ahead; more than any trace has."""

MOST_CELLS = 2**27
"""Tokens × layers × E of a routing that a study takes: 0.5 GiB for each of its arrays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a study assumes. Of `memory_gib` and `slots` at most one is set.

    `expert_parameters` is the number of weights of one routed expert. The link moves `link_gbs` · 10⁹
    bytes a second; a layer computes for `layer_ms`. `batch` requests decode together. Of the steps to
    come, `queued` are known to a policy that knows the queued tokens; Algorithm 1 forms batches of
    `grouped` tokens from `waiting`.
    """

    expert_parameters: int = EXAMPLE_PARAMETERS
    precision: str = "bf16"
    memory_gib: float | None = None
    slots: int | None = None
    batch: int = 4
    link_gbs: float = 25.0
    layer_ms: float = 0.3
    queued: int = 4
    waiting: int = 64
    grouped: int = 8
    seed: int = 1

    def __post_init__(self) -> None:
        if self.memory_gib is not None and self.slots is not None:
            raise InvalidInput("--slots", self.slots, fix="set either `--slots` or `--memory-gib`")
        for option, value in (("--expert-params", self.expert_parameters), ("--link-gbs", self.link_gbs)):
            if not 0.0 < value < 1e15:
                raise InvalidInput(option, value, fix="give a number above 0")
        if self.grouped > self.waiting:
            raise InvalidInput("--grouped", self.grouped, fix=f"give at most `--waiting`, {self.waiting}")
        if self.queued > MOST_QUEUED:
            raise InvalidInput("--queued", self.queued, fix=f"give at most {MOST_QUEUED}")
        if not 0.0 <= self.layer_ms < 1e6:
            raise InvalidInput("--layer-ms", self.layer_ms, fix="give milliseconds from 0 to 1000000")

    @property
    def layer_s(self) -> float:
        return self.layer_ms / 1e3

    def transfer_s(self, expert_bytes: float) -> float:
        """How long the link needs for one expert."""
        return expert_bytes / (self.link_gbs * 1e9)


def slots_of(settings: Settings, routing: Routing, *, expert_bytes: float) -> int:
    """The number of slots; InvalidInput if there isn't one for each layer. All experts are enough."""
    slots = settings.slots
    if settings.memory_gib is not None:
        slots = _that_fit(settings.memory_gib, expert_bytes)
    if slots is None:
        slots = max(round(DEFAULT_SHARE * routing.model_experts), routing.layers)
    if slots < routing.layers:
        by_memory = settings.memory_gib is not None
        least_gib = routing.layers * expert_bytes / GIB
        raise InvalidInput(
            "--memory-gib" if by_memory else "--slots",
            settings.memory_gib if by_memory else slots,
            fix=f"give memory for one expert in each of the {routing.layers} layers: {routing.layers} "
            f"slots, which are {least_gib:.2f} GiB at this precision",
        )
    return min(slots, routing.model_experts)


def _that_fit(memory_gib: float, expert_bytes: float) -> int:
    if not 0.0 < memory_gib < 1e9:
        raise InvalidInput("--memory-gib", memory_gib, fix="give a number above 0")
    return int(memory_gib * GIB / expert_bytes)
