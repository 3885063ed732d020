"""
What a policy that bounds requests observes of one engine's KV memory, and what it may ask for.

A policy gets how full the memory is, what bounds have saved, what the canaries read under the budget in
force, and what the service's spec allows. It knows no block, rank or request: an agent composes the
observation from what the engine's plugin reports, and sends the answer under a lease.

An unknown reading is None. A policy may not take it for a good one.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

from loadline_policies.decisions import Decision
from loadline_policies.kv.advices import Advice


class QualityClass(StrEnum):
    """How far the answers of a service may be changed by dropping tokens."""

    FULL = "full"
    """Not at all: no request of it is ever bounded."""

    HIGH = "high"
    """By the mildest budget that the policy has."""

    STANDARD = "standard"
    """By each of the policy's budgets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What the service's spec allows, and what its engine can.

    `able` says whether the engine can bound requests that arrive, and can go back to keep all of their
    tokens; None while it hasn't reported that. One that was started for no more than a largest budget can't.
    """

    enforce: bool = False
    able: bool | None = None
    quality_class: QualityClass = QualityClass.FULL


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryReadings:
    """What the budget in force costs, measured since it is in force against the same with all tokens kept.

    `recall_loss_fraction` is the share of facts that the recall probe found again before, and doesn't now.
    `drift_nats` is by how much the mean log-probability of the canary prompts has fallen.
    """

    recall_loss_fraction: float | None = None
    drift_nats: float | None = None

    @property
    def complete(self) -> bool:
        """Whether all of it was read."""
        return None not in (self.recall_loss_fraction, self.drift_nats)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineMemory:
    """The KV memory of one engine as its agent observes it; shares are in percent of the pool.

    With several engine cores, shares are those of the fullest.
    """

    used_percent: float | None = None

    predicted_peak_percent: float | None = None
    """That of the batch with the first waiting request; above 100 if it doesn't fit. None while no request
    waits, or while lengths are predicted by an assumption: such a peak says nothing of the memory now."""

    saved_percent: float | None = None
    """What bounded requests would hold now beside what they do hold, if they had kept all tokens; 0 where
    none is bounded."""

    bounded_requests: int | None = None
    pool_tokens: int | None = None

    preemptions: int | None = None
    """Since the engine was started."""

    prefix_hit_percent: float | None = None
    """Share of the prompts' tokens that were found in the prefix cache, of the last minutes in which no
    request was bounded: bounded ones neither read nor fill it. 0 where the engine has no prefix cache."""

    kv_bits: int | None = None
    """Of one number in the KV memory: 16 by default, 8 or fewer where it is quantized."""

    canary: CanaryReadings = field(default_factory=CanaryReadings)
    baseline_known: bool = False
    """Whether the canaries were read while all tokens were kept, without which a loss can't be measured."""

    allowance: Allowance = field(default_factory=Allowance)
    age_s: float = 0.0
    """Age of the oldest of the counts."""

    def readable(self, *, stale_s: float) -> bool:
        """Whether how full the memory is, is known, and as of now."""
        used, peak = self.used_percent, self.predicted_peak_percent
        fits = used is not None and 0.0 <= used <= 100.0 and (peak is None or peak >= 0.0)
        return fits and 0.0 <= self.age_s <= stale_s and self.preemptions is not None

    @property
    def pressure_percent(self) -> float:
        """How full the memory is, or will be with the request that waits first."""
        return max(self.used_percent or 0.0, self.predicted_peak_percent or 0.0)

    @property
    def demand_percent(self) -> float | None:
        """How full it would be if all tokens were kept, or more: requests that wait aren't in it."""
        return self.pressure_percent + self.saved_percent if self.saved_percent is not None else None

    def percent_with(self, kept_tokens: int | None, *, instead_of: int | None) -> float:
        """How full it would be if bounded requests kept so many tokens, or all, instead of fewer.

        Each grows by the difference at most, and all by what was saved. What is unknown adds nothing.
        """
        grown, requests = self.saved_percent or 0.0, self.bounded_requests
        if kept_tokens is not None and instead_of is not None and requests is not None and self.pool_tokens:
            grown = min(grown, 100.0 * requests * (kept_tokens - instead_of) / self.pool_tokens)
        return self.pressure_percent + grown


class Reason(StrEnum):
    """Why a policy bounds new requests or doesn't, in the words of the API."""

    NO_PRESSURE = "NoPressure"
    MEMORY_SHORT = "MemoryShort"
    """A budget is in force since memory was short, and would be again without it, or might be."""

    SETTLING = "Settling"
    """Memory is short, and the last change has not had its time to show."""

    LAST_RUNG = "LastRung"
    QUALITY_CLASS = "QualityClass"
    """The service's class allows no smaller budget than the one in force, or none."""

    PREFIX_HITS = "PrefixHits"
    PREFIX_HITS_UNKNOWN = "PrefixHitsUnknown"
    BASELINE_UNKNOWN = "BaselineUnknown"
    READINGS_UNKNOWN = "ReadingsUnknown"
    RECALL_LOST = "RecallLost"
    DRIFTED = "Drifted"
    """The log-probability of the canary prompts fell too far."""

    ENGINE_UNABLE = "EngineUnable"
    NOT_ALLOWED = "NotAllowed"
    """The spec only observes."""

    POLICY_OBSERVES = "PolicyObserves"


@dataclass(frozen=True, slots=True, kw_only=True)
class Retained:
    """What a policy asks for: the tokens that requests which arrive from now on keep, None for all; and why.

    `would_keep_tokens` is the budget that it would put in force now, where it may only observe. `advice` is
    what would help where it can do no more, the best first.
    """

    kept_tokens: int | None = None
    reason: Reason = Reason.NO_PRESSURE
    would_keep_tokens: int | None = None
    advice: tuple[Advice, ...] = ()


C = TypeVar("C")
S = TypeVar("S")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionPolicy(Generic[C, S]):
    """A name, the settings it reads, the state it starts in, and how it decides.

    `budgets` are those that a document may put in force, the largest first.
    """

    name: str
    config: type[C]
    start: S
    budgets: Callable[[C], tuple[int, ...]]
    decide: Callable[[EngineMemory, S, C, float], Decision[Retained, S]]

    @property
    def summary(self) -> str:
        """What it does: the first line of its `decide`."""
        return (self.decide.__doc__ or "").strip().partition("\n")[0]
