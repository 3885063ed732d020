"""
Whether the policy decides which requests start in a service's engines, as agents have read back from them.

AdmissionPredicted speaks of all engines. So one that is known to do otherwise is enough for it to be False,
and an engine of which nothing is known is enough for it not to be True. Why an engine does otherwise, its
agent reports in one word. A word that this version doesn't know is shown, and tells nothing more.
"""

from collections.abc import Collection
from dataclasses import replace

from loadline_api.inference_services import InferenceServiceSpec
from loadline_api.kv_cache import AdmissionMode, AdmissionStatus
from loadline_api.reasons import Reason
from loadline_operator.findings import Finding
from loadline_operator.services.facts.admission_counts import BY_WORD
from loadline_operator.services.facts.node_reports import NodeReport, has_plugin, not_told
from loadline_operator.services.plugin_presence import SNIPPET

FIELD = "kvCache.admission.mode"
UNREPORTED = "no engine has reported yet how it admits requests"
PARTLY_UNREPORTED = "the agent of a node with pods of the service has not reported how they admit requests"
UNREADABLE = "the agent can't read what an engine reports of admission; its log has the fault"
OTHER_VERSION = "upgrade the older of agent and engine, or see the agent's log"


def finding(
    spec: InferenceServiceSpec, admission: AdmissionStatus | None, seen: Collection[NodeReport]
) -> Finding:
    """The condition of a service whose spec has kvCache.admission; `admission` is what its status shows."""
    found = _finding(spec.admission.mode, admission, seen)
    missing = found.reason is Reason.ADMISSION_OFF or found.text == UNREPORTED
    if missing and spec.workload_ref is not None:
        return replace(
            found, text=f"{found.text or found.reason.sentence}; add to its pod template {SNIPPET}"
        )
    return found


def _finding(mode: AdmissionMode, admission: AdmissionStatus | None, seen: Collection[NodeReport]) -> Finding:
    if mode is AdmissionMode.OFF and (admission is None or not admission.enforcing_engines):
        text = f"{FIELD} is Off: set it to Observe to have engines count what the policy would let wait"
        return Finding(so=False, reason=Reason.NOT_ASKED, text=text)
    if admission is not None and admission.reason not in (None, Reason.PREDICTING.value):
        return _otherwise(admission.reason or "", admission, mode)
    if has_plugin(seen) is False:
        return Finding(so=False, reason=Reason.PLUGIN_ABSENT)
    if not seen or not all(one.believed for one in seen):
        return not_told(seen)
    if admission is None or not admission.engines:
        return Finding(so=None, reason=Reason.NOT_TOLD, text=UNREPORTED)
    if any(one.kv_cache is None or one.kv_cache.admission is None for one in seen):
        return Finding(so=None, reason=Reason.NOT_TOLD, text=PARTLY_UNREPORTED)
    return _predicting(admission)


def _otherwise(word: str, admission: AdmissionStatus, mode: AdmissionMode) -> Finding:
    """An engine is known to do otherwise, or it is reported that nothing is known of it."""
    reason = BY_WORD.get(word)
    if reason is None:
        text = f"agents report {word}, which this version of Loadline doesn't know: {OTHER_VERSION}"
        return Finding(so=None, reason=Reason.NOT_TOLD, text=text)
    if reason is Reason.READINGS_UNKNOWN:
        return Finding(so=None, reason=reason, text=UNREADABLE)
    if reason is Reason.NOT_ALLOWED and mode is AdmissionMode.ENFORCE:
        return Finding(so=False, reason=Reason.OBSERVING)  # the agent hasn't seen the edit yet
    if reason is Reason.NOT_ALLOWED:
        return Finding(
            so=False, reason=reason, text=f"{FIELD} is {mode.value}, so engines admit as vLLM does"
        )
    if reason is Reason.FEW_LENGTHS and admission.known_requests is not None:
        text = f"an engine knows the lengths of {admission.known_requests} answers; {reason.sentence}"
        return Finding(so=False, reason=reason, text=text)
    return Finding(so=False, reason=reason)


def _predicting(admission: AdmissionStatus) -> Finding:
    """All engines report that the policy decides; that some do is no proof of the others."""
    decided, engines = admission.enforcing_engines, admission.engines
    if admission.reason is None or decided < engines:
        text = f"the policy decides in {decided} of {engines} engines, and agents report no reason"
        return Finding(so=None, reason=Reason.NOT_TOLD, text=text)
    return Finding(
        so=True,
        reason=Reason.PREDICTING,
        text=f"in {engines} engines that report, the policy decides which requests start",
    )
