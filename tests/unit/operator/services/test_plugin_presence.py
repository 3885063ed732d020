"""Loops that need Loadline's plugin say when the engine runs without it."""

from pathlib import Path
from typing import Any

import pytest

from loadline_api.conditions import Condition
from loadline_api.inference_services import InferenceService
from loadline_api.reasons import Reason
from loadline_operator.services.plugin_presence import configured_in, plugin_missing


def missing(*, told: bool | None = None, configured: bool | None = None, **spec: Any) -> Condition:
    whole = spec if "workloadRef" in spec else {"model": {"uri": "hf://org/m"}, **spec}
    raw = {"metadata": {"name": "chat", "generation": 4}, "spec": whole}
    return plugin_missing(InferenceService.parse(raw), told=told, configured=configured)


def template(*environment: dict[str, Any]) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "proxy"}, {"name": "vllm", "env": list(environment)}]}}


OBSERVED = {"mode": "Observe"}
ASKED: dict[str, Any] = {
    "experts": OBSERVED,
    "kvCache": {"admission": OBSERVED, "retention": OBSERVED},
}


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"experts": {}},
        {"experts": {"mode": "Off"}},
        {"kvCache": {"dtype": "fp8"}},
        {"kvCache": {"admission": {"mode": "Off"}}},
        {"kvCache": {"retention": {"mode": "Off", "budgetTokens": 512}}},
    ],
    ids=str,
)
def test_nobody_misses_what_nobody_asked_for(spec: dict[str, Any]) -> None:
    one = missing(told=False, **spec)
    assert (one.status, one.reason) == ("False", Reason.NOT_ASKED)


@pytest.mark.parametrize(
    ("told", "configured", "status", "reason"),
    [
        (True, None, "False", Reason.PLUGIN_PRESENT),
        (True, False, "False", Reason.PLUGIN_PRESENT),
        (False, None, "True", Reason.PLUGIN_ABSENT),
        (None, False, "True", Reason.PLUGIN_ABSENT),
        (None, None, "Unknown", Reason.NOT_TOLD),
    ],
)
@pytest.mark.parametrize("loop", ASKED)
def test_what_the_engines_tell_counts_most(
    loop: str, told: bool | None, configured: bool | None, status: str, reason: Reason
) -> None:
    one = missing(told=told, configured=configured, **{loop: ASKED[loop]})
    assert (one.status, one.reason) == (status, reason)
    assert loop in one.message or told


def test_the_sentence_names_every_loop_that_is_asked_for() -> None:
    assert (
        "experts and kvCache.admission and kvCache.retention can't act"
        in missing(told=False, **ASKED).message
    )
    only = missing(told=False, kvCache={"retention": OBSERVED}).message
    assert "kvCache.retention can't act" in only
    assert "kvCache.admission" not in only


def test_the_owner_of_an_attached_workload_is_told_what_its_pods_need() -> None:
    theirs: dict[str, Any] = {"workloadRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "llm"}}
    text = missing(told=False, **ASKED, **theirs).message
    named = text[text.index("docs/serving.md lists under «") :].split("»")[0].split("«")[1]
    docs = (Path(__file__).parents[4] / "docs" / "serving.md").read_text("utf-8")
    assert f"\n## {named}\n" in docs
    assert "docs/serving.md" not in missing(told=False, **ASKED).message


@pytest.mark.parametrize(
    ("environment", "configured"),
    [
        ((), None),
        (({"name": "VLLM_PLUGINS", "value": "lora_resolver"},), False),
        (({"name": "VLLM_PLUGINS", "value": "lora_resolver, loadline"},), None),
        (({"name": "VLLM_PLUGINS", "value": ""},), False),
        (({"name": "VLLM_PLUGINS", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}},), None),
        (({"name": "HOME", "value": "/tmp"},), None),
    ],
    ids=["unset", "others", "among-others", "none", "from-elsewhere", "another-variable"],
)
def test_a_container_can_only_prove_that_the_plugin_is_left_out(
    environment: tuple[dict[str, Any], ...], configured: bool | None
) -> None:
    assert configured_in(template(*environment)) is configured
