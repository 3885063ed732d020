"""Whether experts are counted or bounded is said only of what agents have read back from engines."""

from collections.abc import Sequence
from typing import Any

import pytest

from loadline_api.conditions import ConditionType
from loadline_api.experts import ExpertsMode, ExpertsStatus
from loadline_api.inference_services import InferenceServiceSpec
from loadline_api.reasons import Reason
from loadline_operator.findings import Finding
from loadline_operator.services.expert_conditions import findings
from loadline_operator.services.facts.expert_loads import BY_WORD
from loadline_operator.services.facts.node_reports import NodeReport

OFF, OBSERVE, ENFORCE = ExpertsMode
SILENT = NodeReport(believed=False)
UNREPORTED = NodeReport(plugin=True)


def node(**experts: Any) -> NodeReport:
    return NodeReport(experts=ExpertsStatus(**{"engines": 1, "layers": 4, **experts}))


DENSE = node(layers=0)
BYPASSED = node(layers=0, left_alone_layers=4)


def spec(mode: ExpertsMode, **of: Any) -> InferenceServiceSpec:
    made = of or {"model": {"uri": "hf://org/m"}}
    return InferenceServiceSpec.model_validate({**made, "experts": {"mode": mode}})


def observed(mode: ExpertsMode, *seen: NodeReport) -> Finding:
    return findings(spec(mode), seen)[ConditionType.EXPERTS_OBSERVED]


def bounded(mode: ExpertsMode, *seen: NodeReport) -> Finding:
    return findings(spec(mode), seen)[ConditionType.EXPERTS_BOUNDED]


@pytest.mark.parametrize(
    ("seen", "so", "reason"),
    [
        ([], None, Reason.NOT_TOLD),
        ([UNREPORTED], None, Reason.NOT_TOLD),
        ([node(engines=0, layers=0)], None, Reason.NOT_TOLD),
        ([node()], True, Reason.COUNTED),
        ([node(), SILENT], True, Reason.COUNTED),
        ([node(left_alone_layers=2)], True, Reason.COUNTED),
        ([BYPASSED], False, Reason.LAYERS_LEFT_ALONE),
        ([DENSE], False, Reason.NO_EXPERTS),
        ([DENSE, UNREPORTED], False, Reason.NO_EXPERTS),
        ([DENSE, SILENT], None, Reason.NOT_TOLD),
        ([BYPASSED, SILENT], None, Reason.NOT_TOLD),
        ([SILENT], None, Reason.NOT_TOLD),
    ],
)
@pytest.mark.parametrize("mode", [OBSERVE, ENFORCE])
def test_experts_are_observed_where_an_engine_counts_them(
    mode: ExpertsMode, seen: Sequence[NodeReport], so: bool | None, reason: Reason
) -> None:
    found = observed(mode, *seen)
    assert (found.so, found.reason) == (so, reason)


@pytest.mark.parametrize(
    ("seen", "so", "reason"),
    [
        ([], False, Reason.NOT_ASKED),
        ([UNREPORTED], False, Reason.NOT_ASKED),
        ([SILENT], False, Reason.NOT_ASKED),
        ([node()], True, Reason.COUNTED),
    ],
)
def test_experts_that_nobody_asked_for_are_not_observed_unless_an_engine_counts_them(
    seen: Sequence[NodeReport], so: bool, reason: Reason
) -> None:
    found = observed(OFF, *seen)
    assert (found.so, found.reason) == (so, reason)


def test_a_dense_model_is_told_what_to_do() -> None:
    assert "remove experts from the spec" in observed(OBSERVE, DENSE).text


def test_layers_that_are_left_alone_beside_others_are_mentioned() -> None:
    text = observed(OBSERVE, node(layers=24, left_alone_layers=2)).text
    assert "24 layers" in text
    assert "2 layers stay as vLLM built them" in text
    assert "loadline:experts_bypassed" in text


@pytest.mark.parametrize("mode", ExpertsMode)
def test_a_capacity_that_is_read_back_counts_whatever_the_spec_says(mode: ExpertsMode) -> None:
    found = bounded(mode, node(bounded_engines=1, gamma_percent=150, reason="ObjectiveMissed"), SILENT)
    assert (found.so, found.reason) == (True, Reason.OBJECTIVE_MISSED)
    assert "150 % of the mean load" in found.text


@pytest.mark.parametrize(
    ("mode", "seen", "so", "reason"),
    [
        (OFF, [], False, Reason.NOT_ALLOWED),
        (OFF, [UNREPORTED], False, Reason.NOT_ALLOWED),
        (OFF, [SILENT], None, Reason.NOT_TOLD),
        (OBSERVE, [], None, Reason.NOT_TOLD),
        (OBSERVE, [UNREPORTED], None, Reason.NOT_TOLD),
        (OBSERVE, [node(reason="PolicyObserves")], False, Reason.NOT_ALLOWED),
        (OBSERVE, [node(), SILENT], None, Reason.NOT_TOLD),
        (OBSERVE, [node(), UNREPORTED], None, Reason.NOT_TOLD),
        (ENFORCE, [node(reason="ObjectiveMet"), UNREPORTED], None, Reason.NOT_TOLD),
        (ENFORCE, [], None, Reason.NOT_TOLD),
        (ENFORCE, [node(reason="ObjectiveMet"), SILENT], None, Reason.NOT_TOLD),
        (ENFORCE, [node()], None, Reason.NOT_TOLD),
        (ENFORCE, [node(engines=0, reason="ObjectiveMet")], None, Reason.NOT_TOLD),
    ],
)
def test_experts_are_unbounded_only_where_all_agents_say_so(
    mode: ExpertsMode, seen: Sequence[NodeReport], so: bool | None, reason: Reason
) -> None:
    found = bounded(mode, *seen)
    assert (found.so, found.reason) == (so, reason)


@pytest.mark.parametrize("reason", BY_WORD.values())
def test_every_reason_that_agents_report_is_that_of_the_condition(reason: Reason) -> None:
    found = bounded(ENFORCE, node(reason=reason.value), node(reason="ObjectiveMet"))
    assert (found.so, found.reason) == (False, reason)


def test_a_capacity_that_is_not_in_force_yet_is_not_said_to_be() -> None:
    assert "no engine reports yet" in bounded(ENFORCE, node(reason="ObjectiveMissed")).text


@pytest.mark.parametrize("word", ["OfALaterVersion", "Ready", "\x1b[31m"])
def test_a_word_that_is_unknown_here_is_shown_and_not_believed(word: str) -> None:
    found = bounded(ENFORCE, node(reason=word))
    assert (found.so, found.reason) == (None, Reason.NOT_TOLD)
    assert word.replace("\x1b", "\\x1b") in found.text
    in_force = bounded(ENFORCE, node(bounded_engines=1, reason=word))
    assert (in_force.so, in_force.reason) == (True, Reason.NOT_TOLD)


def test_a_breach_on_another_node_is_mentioned_while_a_capacity_is_in_force() -> None:
    bounding = node(bounded_engines=1, gamma_percent=200, reason="ObjectiveMissed")
    found = bounded(ENFORCE, bounding, node(reason="GuardBreached"))
    assert (found.so, found.reason) == (True, Reason.OBJECTIVE_MISSED)
    assert "on another node the agent reports GuardBreached" in found.text


def test_the_owner_of_an_attached_workload_is_told_what_its_pods_need() -> None:
    theirs = spec(OBSERVE, workloadRef={"apiVersion": "apps/v1", "kind": "Deployment", "name": "llm"})
    text = findings(theirs, [UNREPORTED])[ConditionType.EXPERTS_OBSERVED].text
    assert "docs/serving.md" in text
    assert "docs/serving.md" not in observed(OBSERVE, UNREPORTED).text
