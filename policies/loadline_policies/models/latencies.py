"""
How long prefill and decode take at a given clock.

Prefill is arithmetic, so its time follows the clock for the larger part; decode
waits for memory and hardly notices, until the clock is so low that arithmetic
binds after all. Both laws multiply a time at full clock, which is measured: prefill
piece-wise linear in the prompt's tokens, decode linear in the batch.

Nothing here knows queues or preemption; those are the engine's. Parameters come
from `parameters`, with the source of each.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyModel:
    """Times of one model on one kind of server.

    `prefill_tokens` and `prefill_seconds` are the knots of prefill at full clock.
    A decode step of a batch takes `decode_base_s` + batch × `decode_slot_s`. The clock
    shares are the parts of either phase whose time is inverse to the clock; decode
    can't be faster than `decode_arithmetic_share` ÷ (clock ÷ full clock).
    """

    full_mhz: float
    prefill_tokens: tuple[float, ...]
    prefill_seconds: tuple[float, ...]
    decode_base_s: float
    decode_slot_s: float
    prefill_clock_share: float
    decode_clock_share: float
    decode_arithmetic_share: float


def prefill_s(model: LatencyModel, *, prompt_tokens: float, clock_mhz: float) -> float:
    """Seconds from the start of a prompt's prefill to its first token."""
    at_full = on_line(prompt_tokens, xs=model.prefill_tokens, ys=model.prefill_seconds)
    return at_full * prefill_slowdown(model, clock_mhz)


def decode_s(model: LatencyModel, *, batch: int, clock_mhz: float) -> float:
    """Seconds per token of every sequence in a decode batch."""
    return (model.decode_base_s + batch * model.decode_slot_s) * decode_slowdown(model, clock_mhz)


def prefill_slowdown(model: LatencyModel, clock_mhz: float) -> float:
    """Prefill's time at a clock as a multiple of that at full clock."""
    share = model.prefill_clock_share
    return share * model.full_mhz / clock_mhz + 1.0 - share


def decode_slowdown(model: LatencyModel, clock_mhz: float) -> float:
    """Decode's time at a clock as a multiple of that at full clock."""
    stretch, share = model.full_mhz / clock_mhz, model.decode_clock_share
    return max(share * stretch + 1.0 - share, model.decode_arithmetic_share * stretch)


def on_line(x: float, *, xs: Sequence[float], ys: Sequence[float]) -> float:
    """The piece-wise line through the knots at `x`: flat before the first, straight on after the last."""
    if x <= xs[0]:
        return ys[0]
    i = min(bisect_left(xs, x), len(xs) - 1)
    return ys[i - 1] + (ys[i] - ys[i - 1]) * (x - xs[i - 1]) / (xs[i] - xs[i - 1])
