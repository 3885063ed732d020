"""
Whether a service's requests may be bounded, as agents have read back from its engines.

RetentionActive speaks of all engines, and follows from what they have read back: it is True only if in each
one requests may be bounded and all ranks can drop tokens. So one that is known to do otherwise is enough for
it to be False, and an engine of which nothing is known is enough for it not to be True. Why, an agent reports
in one word. A word that this version doesn't know is shown, and tells nothing more.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Final

from loadline_api.inference_services import InferenceServiceSpec
from loadline_api.kv_retention import RetentionMode
from loadline_api.kv_retention_status import RetentionStatus
from loadline_api.reasons import Reason
from loadline_operator.findings import Finding
from loadline_operator.services.facts.node_reports import NodeReport, has_plugin, not_told
from loadline_operator.services.facts.retention_counts import BY_WORD
from loadline_operator.services.plugin_presence import SNIPPET

FIELD: Final = "kvCache.retention.mode"
UNREPORTED: Final = "no engine has reported yet whether it bounds requests"
PARTLY_UNREPORTED: Final = (
    "the agent of a node with pods of the service has not reported whether they bound requests"
)
UNREADABLE: Final = "the agent can't read what an engine reports of retention; its log has the fault"
OTHER_VERSION: Final = "upgrade the older of agent and engine, or see the agent's log"

NEVER_BOUNDING: Final = frozenset(
    {
        Reason.PLUGIN_FAILED,
        Reason.ENGINE_UNABLE,
        Reason.OBSERVING,
        Reason.READINGS_UNKNOWN,
        Reason.NO_BUDGET,
        Reason.NOT_ALLOWED,
    }
)
"""Reasons with which an engine bounds no request, whatever is counted."""

FIXES: Final[Mapping[Reason, str]] = {
    Reason.PLUGIN_FAILED: "restart the engine, and report the fault",
    Reason.ENGINE_UNABLE: f"remove what the log names, or set {FIELD} to Off",
    Reason.RECALL_LOST: "raise the budgets of the policy, or protect more of the prompts",
    Reason.DRIFTED: "raise the budgets of the policy",
    Reason.PREFIX_HITS: f"set {FIELD} to Off if that stays so",
    Reason.NO_BUDGET: "set kvCache.retention.budgetTokens, or name a policy in kvCache.retention.policyRef",
}
"""What to do about a reason, where it can be said in a clause."""


def finding(
    spec: InferenceServiceSpec, retention: RetentionStatus | None, seen: Collection[NodeReport]
) -> Finding:
    """The condition of a service whose spec has kvCache.retention; `retention` is what its status shows."""
    found = _finding(spec.retention.mode, retention, seen)
    missing = found.reason is Reason.ENGINE_UNABLE or found.text == UNREPORTED
    if missing and spec.workload_ref is not None:
        return replace(
            found, text=f"{found.text or found.reason.sentence}; add to its pod template {SNIPPET}"
        )
    return found


def _finding(mode: RetentionMode, retention: RetentionStatus | None, seen: Collection[NodeReport]) -> Finding:
    if mode is RetentionMode.OFF and (retention is None or not retention.bounding_engines):
        text = f"{FIELD} is Off: set it to Observe to have the policy report what it would do"
        return Finding(so=False, reason=Reason.NOT_ASKED, text=text)
    if retention is not None and _is_known_otherwise(retention):
        return _otherwise(retention, mode)
    if has_plugin(seen) is False:
        return Finding(so=False, reason=Reason.PLUGIN_ABSENT)
    if not seen or not all(one.believed for one in seen):
        return not_told(seen)
    if retention is None or not retention.engines:
        return Finding(so=None, reason=Reason.NOT_TOLD, text=UNREPORTED)
    if any(one.kv_cache is None or one.kv_cache.retention is None for one in seen):
        return Finding(so=None, reason=Reason.NOT_TOLD, text=PARTLY_UNREPORTED)
    return _bounding(retention)


def _is_known_otherwise(retention: RetentionStatus) -> bool:
    never = BY_WORD.get(retention.reason or "") in NEVER_BOUNDING
    return never or retention.bounding_engines < retention.engines


def _otherwise(retention: RetentionStatus, mode: RetentionMode) -> Finding:
    """An engine is known to bound none, or it is reported that nothing is known of it."""
    word = retention.reason
    reason = BY_WORD.get(word or "")
    if reason is None:
        told = f"report {word}, which this version of Loadline doesn't know" if word else "report no reason"
        text = f"{_counted(retention)}, and agents {told}: {OTHER_VERSION}"
        return Finding(so=None, reason=Reason.NOT_TOLD, text=text)
    if reason is Reason.READINGS_UNKNOWN:
        return Finding(so=None, reason=reason, text=UNREADABLE)
    if reason is Reason.NOT_ALLOWED and mode is RetentionMode.ENFORCE:
        return Finding(so=False, reason=Reason.OBSERVING)  # the agent hasn't seen the edit yet
    if reason is Reason.NOT_ALLOWED:
        text = f"{FIELD} is {mode.value}, so requests keep all of their tokens"
        return Finding(so=False, reason=reason, text=text)
    fix = f"; {FIXES[reason]}" if reason in FIXES else ""
    return Finding(so=False, reason=reason, text=f"{_counted(retention)}: {reason.sentence.rstrip('.')}{fix}")


def _bounding(retention: RetentionStatus) -> Finding:
    """All engines have read back that requests may be bounded; the reason says how far."""
    reason = BY_WORD.get(retention.reason or "", Reason.BOUNDED)
    budget = retention.budget_tokens
    kept = f"a new request keeps {budget} tokens" if budget is not None else "a new request keeps all tokens"
    text = f"{_counted(retention)}, and {kept}: {reason.sentence}"
    return Finding(so=True, reason=reason, text=text)


def _counted(retention: RetentionStatus) -> str:
    return f"requests may be bounded in {retention.bounding_engines} of {retention.engines} engines"
