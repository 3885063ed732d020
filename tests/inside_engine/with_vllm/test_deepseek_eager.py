"""DeepSeek-V2 without torch.compile: a router with groups, shared experts, a first layer without experts."""

import os
from collections.abc import Callable
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import JsonValue
from torch import Tensor

from loadline_policies.experts.capacities import GRID_THOUSANDTHS
from loadline_vllm import plugin
from loadline_vllm.expert_layers import registrations, worker_rpc
from loadline_vllm.expert_layers.layers import PROCESS, ExpertsLayer
from loadline_vllm.expert_layers.probes import LayerFacts
from loadline_vllm.settings import Settings
from testbed.experts.recounts import recounted
from testbed.experts.small_engines import (
    ANSWER_TOKENS,
    PROMPT_TOKENS,
    PROMPTS,
    SmallEngine,
    batches,
)

pytestmark = pytest.mark.filterwarnings("ignore")

EXPERTS, TOP_K, RANKS = 8, 2, 4
SMALL, LARGE = 0, 1
ENFORCE: dict[str, JsonValue] = {"mode": "enforce", "gamma_thousandths": 1000, "min_tokens": 16}


@pytest.fixture(scope="module")
def engine() -> SmallEngine:
    return SmallEngine(Path(os.environ["LOADLINE_EXPERT_MODELS"]) / "deepseek-v2", eager=True)


@pytest.fixture(scope="module")
def baseline(engine: SmallEngine) -> list[list[int]]:
    with engine.without_plugin():
        return engine.answers()


def test_each_layer_with_experts_is_served(engine: SmallEngine) -> None:
    found = worker_rpc.counts()
    assert found["bypassed"] == {}
    assert sorted(found["layers"]) == [f"model.layers.{layer}.mlp.experts" for layer in (1, 2, 3)]


def test_off_and_observe_answer_as_without_the_plugin(engine: SmallEngine, baseline: list[list[int]]) -> None:
    for mode in ("off", "observe"):
        worker_rpc.hold({"mode": mode, "min_tokens": 16})
        assert engine.answers() == baseline


def test_what_is_counted_is_what_was_routed(engine: SmallEngine) -> None:
    worker_rpc.hold({"min_tokens": 16})
    with engine.captured() as captured:
        engine.answers()
    for name, layer in worker_rpc.counts()["layers"].items():
        expected = recounted(batches(captured[name]), experts=EXPERTS, ranks=RANKS, min_tokens=16)
        assert {figure: layer[figure] for figure in expected} == expected
        assert len(layer["dropped"]) == len(GRID_THOUSANDTHS)


def test_prefill_is_counted_apart_from_decode(engine: SmallEngine) -> None:
    worker_rpc.hold({"min_tokens": 16})
    engine.answers()
    for layer in worker_rpc.counts()["layers"].values():
        assert layer["tokens"] == [PROMPTS * (ANSWER_TOKENS - 1), PROMPTS * PROMPT_TOKENS]
        assert layer["batches"][SMALL] == ANSWER_TOKENS - 1


def test_load_is_uneven_and_a_larger_gamma_drops_less(engine: SmallEngine) -> None:
    worker_rpc.hold({"min_tokens": 16})
    engine.answers()
    for layer in worker_rpc.counts()["layers"].values():
        assert layer["dropped"][0] > 0
        assert all(less <= more for more, less in pairwise(layer["dropped"]))


def test_nothing_is_counted_when_it_is_off(engine: SmallEngine) -> None:
    worker_rpc.hold({"mode": "off"})
    engine.answers()
    for layer in worker_rpc.counts()["layers"].values():
        assert not any(map(any, layer["loads"]))
        assert layer["batches"] == [0, 0]


@pytest.mark.parametrize("strategy", ["drop", "reroute", "rank_drop", "expanded"])
def test_no_load_exceeds_its_capacity(engine: SmallEngine, strategy: str) -> None:
    worker_rpc.hold({**ENFORCE, "strategy": strategy})
    engine.answers()
    for layer in worker_rpc.counts()["layers"].values():
        bound = layer["bound"]
        assert bound["bounded_batches"] == layer["batches"][LARGE]
        assert bound["offered"] == TOP_K * layer["tokens"][LARGE]
        assert bound["dropped"] > 0
        assert bound["excess"] <= 0


def test_expanded_drop_gives_tokens_other_experts(engine: SmallEngine) -> None:
    """The placement is made up: the engine has one rank, and counts as if it had four."""
    worker_rpc.hold({**ENFORCE, "strategy": "expanded"})
    engine.answers()
    for layer in worker_rpc.counts()["layers"].values():
        assert layer["bound"]["rerouted"] > 0


def test_thresholds_hold_after_calibration_and_not_before(
    engine: SmallEngine, baseline: list[list[int]]
) -> None:
    worker_rpc.hold({**ENFORCE, "strategy": "threshold"})
    assert engine.answers() == baseline
    assert set(worker_rpc.counts()["unbounded"].values()) == {"NotCalibrated"}
    worker_rpc.hold({"strategy": "threshold", "min_tokens": 16})
    assert engine.answers() == baseline
    shared = worker_rpc.hold({**ENFORCE, "strategy": "threshold"})
    assert sorted(shared) == sorted(f"0/{name}" for name in engine.runners)
    assert engine.answers() != baseline
    assert worker_rpc.counts()["unbounded"] == {}


def test_thresholds_judge_each_pair_of_prefill_and_decode_by_its_score_alone(
    engine: SmallEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker_rpc.hold({"strategy": "threshold", "min_tokens": 16})
    engine.answers()
    worker_rpc.hold({**ENFORCE, "strategy": "threshold"})
    route, sizes = ExpertsLayer.route, set()

    def checked(layer: ExpertsLayer, logits: Tensor, ids: Tensor, weights: Tensor, **real: Any) -> Any:
        left, left_ids = route(layer, logits, ids, weights, **real)
        assert layer.bound is not None
        scores = logits.float().softmax(1).gather(1, ids.long())
        assert torch.equal(left, weights * (scores >= layer.bound.thresholds[ids.long()]))
        sizes.add(len(ids))
        return left, left_ids

    monkeypatch.setattr(ExpertsLayer, "route", checked)
    engine.answers()
    assert sizes == {PROMPTS * PROMPT_TOKENS, PROMPTS}


def test_token_drop_drops_what_the_shadow_counts_say(engine: SmallEngine) -> None:
    worker_rpc.hold({**ENFORCE, "strategy": "drop"})
    engine.answers()
    for layer in worker_rpc.counts()["layers"].values():
        assert layer["bound"]["dropped"] == layer["dropped"][0]
        assert layer["bound"]["rerouted"] == 0


def test_rerouting_drops_less_than_dropping(engine: SmallEngine) -> None:
    dropped = {}
    for strategy in ("drop", "reroute"):
        worker_rpc.hold({**ENFORCE, "strategy": strategy, "rounds": 2})
        engine.answers()
        found = worker_rpc.counts()["layers"].values()
        dropped[strategy] = sum(layer["bound"]["dropped"] for layer in found)
    assert dropped["reroute"] < dropped["drop"]
    assert all(layer["bound"]["rerouted"] > 0 for layer in found)


@pytest.mark.parametrize(
    "settings",
    [{"gamma_thousandths": 10_000_000}, {"min_tokens": 10_000}, {"mode": "observe"}],
    ids=["no gamma", "only decode", "observe"],
)
def test_what_bounds_nothing_answers_as_without_the_plugin(
    engine: SmallEngine, baseline: list[list[int]], settings: dict[str, JsonValue]
) -> None:
    worker_rpc.hold(ENFORCE)
    assert engine.answers() != baseline
    worker_rpc.hold({**ENFORCE, **settings})
    assert engine.answers() == baseline


def test_the_cpus_kernel_gets_valid_ids(engine: SmallEngine) -> None:
    worker_rpc.hold(ENFORCE)
    with engine.captured() as captured:
        engine.answers()
    assert all(int(ids.min()) >= 0 and int(ids.max()) < EXPERTS for ids in chain(*captured.values()))


def test_a_second_registration_changes_nothing(engine: SmallEngine) -> None:
    from vllm.model_executor.custom_op import op_registry_oot

    before = dict(op_registry_oot)
    plugin.register()
    registrations.register(Settings())
    assert op_registry_oot == before


def broken(*_: object, **__: object) -> LayerFacts:
    raise AttributeError("not the layer that this version of vLLM builds")


@pytest.mark.parametrize(
    ("facts", "reason"),
    [(lambda *_, **__: LayerFacts(zero_experts=True), "ZeroExperts"), (broken, "Failure")],
    ids=["refused", "failed"],
)
def test_a_layer_that_is_not_served_answers_as_vllm_built_it(
    engine: SmallEngine,
    baseline: list[list[int]],
    monkeypatch: pytest.MonkeyPatch,
    facts: Callable[..., LayerFacts],
    reason: str,
) -> None:
    name, runner = next(iter(engine.runners.items()))
    wrapped, served = runner.router, PROCESS.served[name]
    monkeypatch.setattr(registrations, "facts_of", facts)
    runner.router = wrapped.inner
    with engine.configured():
        registrations.serve(runner, Settings())
    try:
        assert runner.router is wrapped.inner
        assert worker_rpc.counts()["bypassed"] == {name: reason}
        assert engine.answers() == baseline
    finally:
        runner.router = wrapped
        PROCESS.serve(name, served, runner, unbounded=None)
