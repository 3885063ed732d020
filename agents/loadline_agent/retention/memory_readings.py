"""
How full an engine's KV memory is, from what its plugin counts.

Prefix hits are counted from the engine's start. What matters is how often prompts share a prefix now, while
no request is bounded: bounded ones neither read nor fill the cache. So the share is taken over the last
minutes without a bounded request, and without the first ones of an engine, whose cache is still empty.

Pure.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from loadline_api.kv_counts import AdmissionCounts
from loadline_api.kv_retention_counts import RetentionCounts
from loadline_policies.kv.engine_memories import Allowance, CanaryReadings, EngineMemory

WARM_TOKENS: Final = 20_000
"""Tokens of prompts after which a prefix cache isn't empty any more. Chosen: some dozen prompts."""

LEAST_TOKENS: Final = 10_000
"""Tokens of prompts from which on a share of hits counts. Chosen."""

WINDOW_S: Final = 600.0
"""Over how long hits are counted. Chosen."""


@dataclass(slots=True)
class PrefixHits:
    """The share of prefix hits of one engine, over the last minutes in which no request was bounded."""

    hit_percent: float | None = None
    _read: deque[tuple[float, int, int]] = field(default_factory=deque)

    def add(self, counts: RetentionCounts, *, now: float) -> None:
        """Take one more report of the engine."""
        if not counts.has_prefix_cache:
            self.hit_percent = 0.0
            return
        queried, hit = counts.prefix_queried_tokens, counts.prefix_hit_tokens
        if queried is None or hit is None:
            self.hit_percent = None
            return
        restarted = bool(self._read) and (queried < self._read[-1][1] or hit < self._read[-1][2])
        if counts.bounded_requests or counts.kept_tokens is not None or restarted:
            self._read.clear()  # what was known before stands
        if restarted:
            self.hit_percent = None
        if counts.bounded_requests or counts.kept_tokens is not None or queried < WARM_TOKENS:
            return
        self._read.append((now, queried, hit))
        while now - self._read[0][0] > WINDOW_S:
            self._read.popleft()
        _, first_queried, first_hit = self._read[0]
        if queried - first_queried >= LEAST_TOKENS:
            self.hit_percent = 100.0 * (hit - first_hit) / (queried - first_queried)


def memory(
    counts: RetentionCounts | None,
    admission: AdmissionCounts | None,
    *,
    prefix_hit_percent: float | None,
    canary: CanaryReadings,
    baseline_known: bool,
    allowance: Allowance,
    age_s: float,
) -> EngineMemory:
    """What a policy observes of an engine; without counts all of its memory is unknown."""
    if counts is None or not counts.pool_blocks:
        return EngineMemory(canary=canary, baseline_known=baseline_known, allowance=allowance, age_s=age_s)
    pool = counts.pool_blocks
    return EngineMemory(
        used_percent=100.0 * counts.used_blocks / pool,
        predicted_peak_percent=_predicted_percent(admission),
        saved_percent=100.0 * counts.saved_blocks / pool if counts.saved_blocks is not None else None,
        bounded_requests=counts.bounded_requests,
        pool_tokens=pool * counts.block_tokens,
        preemptions=counts.preemptions,
        prefix_hit_percent=prefix_hit_percent,
        kv_bits=16,  # an engine with other KV memory bounds no request
        canary=canary,
        baseline_known=baseline_known,
        allowance=allowance,
        age_s=age_s,
    )


def _predicted_percent(admission: AdmissionCounts | None) -> float | None:
    """The predicted peak of the batch with the request that waits first, where lengths are known."""
    if admission is None or not admission.is_warm or not admission.waiting or not admission.pool_blocks:
        return None
    peak = admission.predicted_peak_blocks
    return 100.0 * peak / admission.pool_blocks if peak is not None else None
