"""
Whether a service's layers of experts are counted, and whether a capacity bounds them.

A capacity changes answers, so the conditions say only what agents have read back from engines lately. One
engine with a capacity in force is enough for ExpertsBounded to be True; it is False only where all agents
report, and none has such an engine. Why there is one or isn't, the agents report in one word, because they
run the policy. A word that this version doesn't know is shown, and tells nothing more.
"""

from collections.abc import Collection
from dataclasses import replace

from loadline_api.conditions import ConditionType
from loadline_api.experts import ExpertsMode, ExpertsStatus
from loadline_api.inference_services import InferenceServiceSpec
from loadline_api.reasons import Reason
from loadline_operator.findings import Finding
from loadline_operator.services.facts import expert_loads
from loadline_operator.services.facts.expert_loads import BY_WORD
from loadline_operator.services.facts.node_reports import NodeReport, not_told
from loadline_operator.services.plugin_presence import SNIPPET

PARTLY_UNREPORTED = "the agent of a node with pods of the service has not reported how its experts are loaded"
UNREPORTED = "no engine has reported yet how its layers of experts are loaded"
BYPASSED = "the engine's metric loadline:experts_bypassed has the reasons"


def findings(spec: InferenceServiceSpec, seen: Collection[NodeReport]) -> dict[ConditionType, Finding]:
    """The conditions of a service whose spec has experts."""
    mode, loads = spec.experts_mode, expert_loads.put_together(seen)
    observed = _observed(mode, loads, seen)
    if observed.so is None and observed.text == UNREPORTED and spec.workload_ref is not None:
        observed = replace(observed, text=f"{UNREPORTED}; if none does, add to its pod template {SNIPPET}")
    return {
        ConditionType.EXPERTS_OBSERVED: observed,
        ConditionType.EXPERTS_BOUNDED: _bounded(mode, loads, seen),
    }


def _observed(mode: ExpertsMode, loads: ExpertsStatus | None, seen: Collection[NodeReport]) -> Finding:
    if loads is not None and loads.layers:
        return Finding(so=True, reason=Reason.COUNTED, text=_counted(loads))
    if mode is ExpertsMode.OFF:
        text = "experts.mode is Off, so engines count no loads: set it to Observe to have them counted"
        return Finding(so=False, reason=Reason.NOT_ASKED, text=text)
    if loads is None or not loads.engines or not _all_believed(seen):
        return _unreported(seen)
    if loads.left_alone_layers:
        return Finding(so=False, reason=Reason.LAYERS_LEFT_ALONE)
    text = "the engines report that the model has no layer of experts: remove experts from the spec"
    return Finding(so=False, reason=Reason.NO_EXPERTS, text=text)


def _counted(loads: ExpertsStatus) -> str:
    counted = f"engines count the load of {loads.layers} layers of experts"
    if not loads.left_alone_layers:
        return counted
    return f"{counted}; {loads.left_alone_layers} layers stay as vLLM built them: {BYPASSED}"


def _bounded(mode: ExpertsMode, loads: ExpertsStatus | None, seen: Collection[NodeReport]) -> Finding:
    if loads is not None and loads.bounded_engines:
        return _in_force(loads, seen)
    if not _all_believed(seen):
        return not_told(seen)
    if mode is ExpertsMode.OFF:
        return Finding(so=False, reason=Reason.NOT_ALLOWED, text="experts.mode is Off")
    if loads is None or not loads.engines:
        return _unreported(seen)
    if any(one.experts is None for one in seen):
        return Finding(so=None, reason=Reason.NOT_TOLD, text=PARTLY_UNREPORTED)
    if mode is ExpertsMode.OBSERVE:
        return Finding(so=False, reason=Reason.NOT_ALLOWED, text="experts.mode is Observe")
    return _unbounded(loads.reason)


def _in_force(loads: ExpertsStatus, seen: Collection[NodeReport]) -> Finding:
    """A capacity that engines have read back; what another node's agent reports is added if it is graver."""
    bounding = [one for one in expert_loads.reported(seen) if one.bounded_engines]
    word = expert_loads.gravest(bounding)
    gamma = f" of {loads.gamma_percent} % of the mean load" if loads.gamma_percent is not None else ""
    text = f"a capacity{gamma} is in force; the agent reports the reason {word or '(none)'}"
    if loads.reason != word:
        text = f"{text}; on another node the agent reports {loads.reason}"
    return Finding(so=True, reason=_known(word) or Reason.NOT_TOLD, text=text)


def _unbounded(word: str | None) -> Finding:
    """No engine has a capacity in force; `word` is the agents' reason."""
    reason = _known(word)
    if reason is None:
        why = f"{word}, which this version of Loadline doesn't know" if word else "no reason"
        text = f"no engine reports a capacity in force, but agents report {why}"
        return Finding(so=None, reason=Reason.NOT_TOLD, text=text)
    if reason is Reason.OBJECTIVE_MISSED:
        text = "an objective is missed, but no engine reports yet that a capacity is in force"
        return Finding(so=False, reason=reason, text=text)
    return Finding(so=False, reason=reason)


def _known(word: str | None) -> Reason | None:
    return BY_WORD.get(word) if word is not None else None


def _unreported(seen: Collection[NodeReport]) -> Finding:
    """Engines report no loads, though agents may report the service."""
    if not seen or not _all_believed(seen):
        return not_told(seen)
    return Finding(so=None, reason=Reason.NOT_TOLD, text=UNREPORTED)


def _all_believed(seen: Collection[NodeReport]) -> bool:
    return all(one.believed for one in seen)
