"""
When reading KV takes longer than reading weights, in a decode step that waits for memory.

A step reads the weights once, for all requests of its batch, and the KV of each of them. So from a certain
context on KV is the larger part; which one follows from bytes alone, not from the GPU. The GPU's bandwidth
gives the shortest time that a step can take: a bound, since no kernel reads at the full rate and arithmetic
isn't counted.
"""

from dataclasses import dataclass
from math import ceil

from loadline_policies.models.gpu_memories import Gpu


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeReads:
    """Bytes that decoding reads: `weight_bytes` once a step, `token_bytes` for each token of each context."""

    weight_bytes: int
    token_bytes: float

    def step_bytes(self, *, batch: int, context_tokens: int) -> float:
        """Bytes of one step of a batch whose requests all have that context."""
        return self.weight_bytes + batch * context_tokens * self.token_bytes

    def kv_share(self, *, batch: int, context_tokens: int) -> float:
        """The KV's part of a step's bytes, from 0 to 1."""
        return 1 - self.weight_bytes / self.step_bytes(batch=batch, context_tokens=context_tokens)

    def kv_dominates_from(self, batch: int) -> int:
        """The context from which on a step reads at least as much KV as weights, in tokens."""
        return ceil(self.weight_bytes / (batch * self.token_bytes))

    def least_step_s(self, gpu: Gpu, *, batch: int, context_tokens: int) -> float:
        """The shortest time of a step on a GPU, in seconds."""
        return self.step_bytes(batch=batch, context_tokens=context_tokens) / gpu.bytes_per_s
