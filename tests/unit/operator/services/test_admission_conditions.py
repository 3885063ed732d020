"""Whether the policy decides which requests start is said only of what agents have read back from engines."""

from collections.abc import Sequence
from typing import Any

import pytest

from loadline_api.inference_services import InferenceServiceSpec
from loadline_api.kv_cache import AdmissionMode, AdmissionStatus, KvCacheStatus
from loadline_api.reasons import Reason
from loadline_operator.findings import Finding
from loadline_operator.services import admission_conditions
from loadline_operator.services.facts import kv_memories
from loadline_operator.services.facts.node_reports import NodeReport

OFF, OBSERVE, ENFORCE = AdmissionMode
SILENT = NodeReport(believed=False)
UNREPORTED = NodeReport(plugin=True)


def node(reason: str | None = "Predicting", **admission: Any) -> NodeReport:
    decided = {"enforcing_engines": 1, "warm_engines": 1} if reason == "Predicting" else {}
    told = {"engines": 1, "reason": reason, **decided, **admission}
    return NodeReport(plugin=True, kv_cache=KvCacheStatus(admission=AdmissionStatus(**told)))


def finding(mode: AdmissionMode, *seen: NodeReport, **of: Any) -> Finding:
    made = of or {"model": {"uri": "hf://org/m"}}
    spec = InferenceServiceSpec.model_validate({**made, "kvCache": {"admission": {"mode": mode}}})
    status = kv_memories.put_together(seen)
    return admission_conditions.finding(spec, status.admission if status is not None else None, seen)


@pytest.mark.parametrize(
    ("seen", "so", "reason"),
    [
        ([], None, Reason.NOT_TOLD),
        ([UNREPORTED], None, Reason.NOT_TOLD),
        ([SILENT], None, Reason.NOT_TOLD),
        ([node()], True, Reason.PREDICTING),
        ([node(), node(engines=3, enforcing_engines=3)], True, Reason.PREDICTING),
        ([node(), SILENT], None, Reason.NOT_TOLD),
        ([node(), UNREPORTED], None, Reason.NOT_TOLD),
        ([node(), NodeReport(plugin=True, kv_cache=KvCacheStatus())], None, Reason.NOT_TOLD),
        ([node(), NodeReport(plugin=False)], False, Reason.PLUGIN_ABSENT),
        ([node(engines=2)], None, Reason.NOT_TOLD),
        ([node(None)], None, Reason.NOT_TOLD),
        ([node("ReadingsUnknown"), node()], None, Reason.READINGS_UNKNOWN),
        ([node("OfALaterVersion"), node()], None, Reason.NOT_TOLD),
        ([node("FewLengths", enforcing_engines=1), node()], False, Reason.FEW_LENGTHS),
        ([node("PluginFailed"), node(), SILENT], False, Reason.PLUGIN_FAILED),
        ([node("AdmissionOff"), node("FewLengths")], False, Reason.ADMISSION_OFF),
        ([node("Observing")], False, Reason.OBSERVING),
        ([node("PolicyObserves")], False, Reason.POLICY_OBSERVES),
    ],
)
def test_one_engine_that_does_otherwise_is_enough_and_one_that_is_unknown_is_no_proof(
    seen: Sequence[NodeReport], so: bool | None, reason: Reason
) -> None:
    found = finding(ENFORCE, *seen)
    assert (found.so, found.reason) == (so, reason)


@pytest.mark.parametrize(
    ("mode", "seen", "so", "reason"),
    [
        (OFF, [], False, Reason.NOT_ASKED),
        (OFF, [UNREPORTED], False, Reason.NOT_ASKED),
        (OFF, [node("NotAllowed")], False, Reason.NOT_ASKED),
        (OFF, [node()], True, Reason.PREDICTING),
        (OBSERVE, [node("NotAllowed")], False, Reason.NOT_ALLOWED),
        (OBSERVE, [node()], True, Reason.PREDICTING),
        (OBSERVE, [UNREPORTED], None, Reason.NOT_TOLD),
    ],
)
def test_what_engines_read_back_comes_before_the_spec(
    mode: AdmissionMode, seen: Sequence[NodeReport], so: bool | None, reason: Reason
) -> None:
    found = finding(mode, *seen)
    assert (found.so, found.reason) == (so, reason)


def test_a_cautious_start_says_how_many_lengths_are_known() -> None:
    text = finding(ENFORCE, node("FewLengths", known_requests=12)).text
    assert "knows the lengths of 12 answers" in text
    assert "initialTokens" in text


def test_the_sentence_names_the_field_that_allows_no_more() -> None:
    assert "kvCache.admission.mode is Observe" in finding(OBSERVE, node("NotAllowed")).text
    assert "kvCache.admission.mode is Off" in finding(OFF).text


@pytest.mark.parametrize("word", ["OfALaterVersion", "Ready", "\x1b[31m"])
def test_a_word_that_is_unknown_here_is_shown_and_not_believed(word: str) -> None:
    found = finding(ENFORCE, node(word))
    assert (found.so, found.reason) == (None, Reason.NOT_TOLD)
    assert word.replace("\x1b", "\\x1b") in found.text


@pytest.mark.parametrize("seen", [UNREPORTED, node("AdmissionOff")], ids=["unreported", "no-scheduler"])
def test_the_owner_of_an_attached_workload_is_told_what_its_pods_need(seen: NodeReport) -> None:
    ref = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "llm"}
    text = finding(ENFORCE, seen, workloadRef=ref).text
    assert "LOADLINE_ADMISSION" in text
    assert "--scheduler-cls" in text
    assert "docs/serving.md" in text
    assert "docs/serving.md" not in finding(ENFORCE, seen).text
