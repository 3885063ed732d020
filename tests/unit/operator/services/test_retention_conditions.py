"""Whether requests may be bounded is said only of what agents have read back from engines."""

from collections.abc import Sequence
from typing import Any

import pytest

from loadline_api.inference_services import InferenceServiceSpec
from loadline_api.kv_cache import KvCacheStatus
from loadline_api.kv_retention import RetentionMode
from loadline_api.kv_retention_status import GRAVEST_FIRST, RetentionStatus
from loadline_api.reasons import Reason
from loadline_operator.findings import Finding
from loadline_operator.services import retention_conditions
from loadline_operator.services.facts import kv_memories
from loadline_operator.services.facts.node_reports import NodeReport
from loadline_operator.services.retention_conditions import FIXES, NEVER_BOUNDING

OFF, OBSERVE, ENFORCE = RetentionMode
SILENT = NodeReport(believed=False)
UNREPORTED = NodeReport(plugin=True)


def node(reason: str | None = "Bounded", *, bounding: int = 1, **retention: Any) -> NodeReport:
    told = {"engines": 1, "bounding_engines": bounding, "reason": reason, **retention}
    return NodeReport(plugin=True, kv_cache=KvCacheStatus(retention=RetentionStatus(**told)))


def unbounded(reason: str | None) -> NodeReport:
    return node(reason, bounding=0)


def finding(mode: RetentionMode, *seen: NodeReport, **of: Any) -> Finding:
    made = of or {"model": {"uri": "hf://org/m"}}
    spec = InferenceServiceSpec.model_validate({**made, "kvCache": {"retention": {"mode": mode}}})
    status = kv_memories.put_together(seen)
    return retention_conditions.finding(spec, status.retention if status is not None else None, seen)


@pytest.mark.parametrize(
    ("seen", "so", "reason"),
    [
        ([], None, Reason.NOT_TOLD),
        ([UNREPORTED], None, Reason.NOT_TOLD),
        ([SILENT], None, Reason.NOT_TOLD),
        ([node()], True, Reason.BOUNDED),
        ([node(None)], True, Reason.BOUNDED),
        ([node("OfALaterVersion")], True, Reason.BOUNDED),
        ([node("NoPressure"), node("LastRung")], True, Reason.LAST_RUNG),
        ([node(), node(engines=3, bounding=3)], True, Reason.BOUNDED),
        ([node(), SILENT], None, Reason.NOT_TOLD),
        ([node(), UNREPORTED], None, Reason.NOT_TOLD),
        ([node(), NodeReport(plugin=True, kv_cache=KvCacheStatus())], None, Reason.NOT_TOLD),
        ([node(), NodeReport(plugin=False)], False, Reason.PLUGIN_ABSENT),
        ([node(None, engines=2)], None, Reason.NOT_TOLD),
        ([unbounded("OfALaterVersion"), node()], None, Reason.NOT_TOLD),
        ([unbounded("ReadingsUnknown"), node()], None, Reason.READINGS_UNKNOWN),
        ([unbounded("EngineUnable"), node(), SILENT], False, Reason.ENGINE_UNABLE),
        ([unbounded("PluginFailed"), node()], False, Reason.PLUGIN_FAILED),
        ([unbounded("RecallLost")], False, Reason.RECALL_LOST),
        ([unbounded("PrefixHits")], False, Reason.PREFIX_HITS),
        ([node("PrefixHits")], True, Reason.PREFIX_HITS),
        ([unbounded("NoBudget")], False, Reason.NO_BUDGET),
        ([unbounded("PolicyObserves")], False, Reason.POLICY_OBSERVES),
        ([unbounded("Observing")], False, Reason.OBSERVING),
        ([unbounded("NotAllowed")], False, Reason.OBSERVING),
    ],
)
def test_one_engine_that_does_otherwise_is_enough_and_one_that_is_unknown_is_no_proof(
    seen: Sequence[NodeReport], so: bool | None, reason: Reason
) -> None:
    found = finding(ENFORCE, *seen)
    assert (found.so, found.reason) == (so, reason)


@pytest.mark.parametrize("reason", sorted(NEVER_BOUNDING))
def test_counts_that_contradict_the_reason_prove_nothing(reason: Reason) -> None:
    assert not finding(ENFORCE, node(reason.value)).so


@pytest.mark.parametrize(
    ("mode", "seen", "so", "reason"),
    [
        (OFF, [], False, Reason.NOT_ASKED),
        (OFF, [UNREPORTED], False, Reason.NOT_ASKED),
        (OFF, [unbounded("NotAllowed")], False, Reason.NOT_ASKED),
        (OFF, [node()], True, Reason.BOUNDED),
        (OBSERVE, [unbounded("NotAllowed")], False, Reason.NOT_ALLOWED),
        (OBSERVE, [unbounded("EngineUnable")], False, Reason.ENGINE_UNABLE),
        (OBSERVE, [node()], True, Reason.BOUNDED),
        (OBSERVE, [UNREPORTED], None, Reason.NOT_TOLD),
    ],
)
def test_what_engines_read_back_comes_before_the_spec(
    mode: RetentionMode, seen: Sequence[NodeReport], so: bool | None, reason: Reason
) -> None:
    found = finding(mode, *seen)
    assert (found.so, found.reason) == (so, reason)


def test_the_sentence_has_the_budget_in_force() -> None:
    assert (
        "in 1 of 1 engines, and a new request keeps 512 tokens"
        in finding(ENFORCE, node(budget_tokens=512)).text
    )
    assert "a new request keeps all tokens" in finding(ENFORCE, node("NoPressure")).text


@pytest.mark.parametrize("reason", FIXES)
def test_the_sentence_says_what_to_do(reason: Reason) -> None:
    assert FIXES[reason] in finding(ENFORCE, unbounded(reason.value)).text
    assert "in 0 of 1 engines" in finding(ENFORCE, unbounded(reason.value)).text


def test_the_sentence_names_the_field_that_allows_no_more() -> None:
    assert "kvCache.retention.mode is Observe" in finding(OBSERVE, unbounded("NotAllowed")).text
    assert "kvCache.retention.mode is Off" in finding(OFF).text


@pytest.mark.parametrize("word", ["OfALaterVersion", "Ready", "\x1b[31m"])
def test_a_word_that_is_unknown_here_is_shown_and_not_believed(word: str) -> None:
    found = finding(ENFORCE, unbounded(word))
    assert (found.so, found.reason) == (None, Reason.NOT_TOLD)
    assert word.replace("\x1b", "\\x1b") in found.text


@pytest.mark.parametrize("seen", [UNREPORTED, unbounded("EngineUnable")], ids=["unreported", "unable"])
def test_the_owner_of_an_attached_workload_is_told_what_its_pods_need(seen: NodeReport) -> None:
    ref = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "llm"}
    text = finding(ENFORCE, seen, workloadRef=ref).text
    assert "LOADLINE_RETENTION" in text
    assert "--worker-cls" in text
    assert "docs/serving.md" in text
    assert "docs/serving.md" not in finding(ENFORCE, seen).text


def test_every_reason_has_its_gravity_once() -> None:
    assert len(set(GRAVEST_FIRST)) == len(GRAVEST_FIRST)
    assert GRAVEST_FIRST[-1] is Reason.BOUNDED
