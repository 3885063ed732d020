"""
How long one step of an engine takes, by what is in its batch.

A step computes a chunk of some prompts and one token of each request that decodes. It has a fixed part; a
part for each decoding request; and one for each token of their contexts, since their keys and values are
read. A prompt's tokens take arithmetic, and each of them attends to all before it: so many *pairs*. The parts
are added up, as for a batch that does both. The source measured each alone; how far the sum is off isn't
known.

Other than `latencies`, which has the times of a phase by the clock, this is one step of a scheduler at full
clock. Nothing here knows a queue.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class StepModel:
    """Seconds of a step, and of what is in it; one model on one GPU."""

    base_s: float
    decode_s: float
    """For each request that decodes."""
    context_s: float
    """For each token that these requests hold."""
    prefill_s: float
    """For each token of a prompt."""
    pair_s: float
    """For each pair of a prompt's token and one at or before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one step computes."""

    decoding: int = 0
    context_tokens: int = 0
    prefill_tokens: int = 0
    prefill_pairs: float = 0.0


def step_s(model: StepModel, batch: Batch) -> float:
    """Seconds that a step with this batch takes; one with nothing in it takes none."""
    if not batch.decoding and not batch.prefill_tokens:
        return 0.0
    return (
        model.base_s
        + model.decode_s * batch.decoding
        + model.context_s * batch.context_tokens
        + model.prefill_s * batch.prefill_tokens
        + model.pair_s * batch.prefill_pairs
    )


def pairs(*, before: int, tokens: int) -> float:
    """Pairs of a chunk of `tokens` that comes after `before` others of its request."""
    return tokens * before + tokens * tokens / 2
