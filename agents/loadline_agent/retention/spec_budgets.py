"""
What the spec of a service leaves to a policy of retention, what an engine gets of its decision, and why its
requests are bounded or aren't.

The spec narrows the policy: it may forbid budgets, and a policy may only lower the budget that the spec sets.
A budget is rounded up to whole blocks, whose size the engine alone knows. What the engine reports comes
before what spec and policy say, since it may not have their settings yet.

Pure.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from loadline_api.kv_retention import QualityClass, Retention, RetentionMode
from loadline_api.kv_retention_counts import RetentionCounts
from loadline_api.kv_retention_settings import RetentionSettings
from loadline_api.reasons import Reason
from loadline_policies.kv import engine_memories
from loadline_policies.kv.engine_memories import Allowance, Retained

CLASSES: Final[Mapping[QualityClass, engine_memories.QualityClass]] = MappingProxyType(
    {
        QualityClass.FULL: engine_memories.QualityClass.FULL,
        QualityClass.HIGH: engine_memories.QualityClass.HIGH,
        QualityClass.STANDARD: engine_memories.QualityClass.STANDARD,
    }
)
"""The policy's words for those of the spec."""

_BY_WORD: Final = {one.value: one for one in Reason}
OF_POLICY: Final[Mapping[engine_memories.Reason, Reason]] = MappingProxyType(
    {one: _BY_WORD[one.value] for one in engine_memories.Reason}
)
"""The API's reasons for those of policies, which have the same words."""

FAILURE: Final = "Failure"
"""The plugin's word for its own failure."""


def allowance(retention: Retention, counts: RetentionCounts | None) -> Allowance:
    """What the spec allows, and whether the engine can carry it out.

    An engine that was started for no more than a largest budget can't go back to keep all tokens.
    """
    return Allowance(
        enforce=retention.mode is RetentionMode.ENFORCE,
        able=counts.unbounded is None and counts.most_tokens is None if counts is not None else None,
        quality_class=CLASSES[retention.quality_class],
    )


def settings(
    retention: Retention, decided: Retained | None, counts: RetentionCounts | None
) -> RetentionSettings | None:
    """What the engine gets; None: it does as it was started to."""
    if decided is None or decided.kept_tokens is None or counts is None:
        return None
    kept = -(-decided.kept_tokens // counts.block_tokens) * counts.block_tokens
    if retention.budget_tokens is not None:
        kept = min(kept, retention.budget_tokens)
    return RetentionSettings(kept_tokens=kept)


def at_start(retention: Retention) -> int | None:
    """What requests keep without settings; None for all tokens."""
    if retention.mode is not RetentionMode.ENFORCE:
        return None
    return retention.budget_tokens or retention.most_tokens


def bounds(retention: Retention, decided: Retained | None, counts: RetentionCounts | None) -> bool:
    """Whether an engine reports that its requests may be bounded, and that its ranks can fold."""
    if counts is None or counts.unbounded is not None or counts.folds is None:
        return False
    may = decided is not None and decided.reason not in _NEVER_BOUNDING
    return retention.mode is RetentionMode.ENFORCE and (counts.kept_tokens is not None or may)


_NEVER_BOUNDING: Final = frozenset(
    {
        engine_memories.Reason.NOT_ALLOWED,
        engine_memories.Reason.POLICY_OBSERVES,
        engine_memories.Reason.ENGINE_UNABLE,
    }
)


def reason(
    retention: Retention, decided: Retained | None, counts: RetentionCounts, *, late: bool = False
) -> Reason:
    """Why an engine that reports these counts bounds its requests or doesn't.

    `decided` is None without a policy that decides; `late`: it has not taken the settings for long.
    """
    if counts.unbounded is not None:
        return Reason.PLUGIN_FAILED if counts.unbounded == FAILURE else Reason.ENGINE_UNABLE
    if counts.folds is None:
        return Reason.READINGS_UNKNOWN
    if late:
        return Reason.OBSERVING
    if decided is not None and (decided.kept_tokens is not None or counts.kept_tokens is None):
        return OF_POLICY[decided.reason]
    if counts.kept_tokens is not None:
        return Reason.BOUNDED
    return Reason.NO_BUDGET if retention.mode is RetentionMode.ENFORCE else Reason.NOT_ALLOWED
