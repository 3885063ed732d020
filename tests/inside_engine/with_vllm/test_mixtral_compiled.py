"""Mixtral with torch.compile, which traces the router on a CPU: settings change without another trace."""

import os
from pathlib import Path

import pytest
from pydantic import JsonValue

from loadline_vllm.expert_layers import worker_rpc
from testbed.experts.small_engines import PROMPT_TOKENS, PROMPTS, SmallEngine, compilations

pytestmark = pytest.mark.filterwarnings("ignore")

LAYERS, TOP_K = 4, 2
LARGE = 1
OBSERVE: dict[str, JsonValue] = {"min_tokens": 16}
ENFORCE: dict[str, JsonValue] = {"mode": "enforce", "gamma_thousandths": 1000, "min_tokens": 16}


@pytest.fixture(scope="module")
def engine() -> SmallEngine:
    return SmallEngine(Path(os.environ["LOADLINE_EXPERT_MODELS"]) / "mixtral", eager=False)


@pytest.fixture(scope="module")
def baseline(engine: SmallEngine) -> list[list[int]]:
    with engine.without_plugin():
        return engine.answers()


def test_all_layers_are_served_and_traced_under_their_own_key(engine: SmallEngine) -> None:
    assert len(worker_rpc.counts()["layers"]) == LAYERS
    config = engine.llm.llm_engine.vllm_config
    with_plugin = config.compute_hash()
    marked = config.additional_config.pop("loadline_experts")
    assert sorted(marked) == sorted(engine.runners)
    assert config.compute_hash() != with_plugin
    config.additional_config["loadline_experts"] = marked


def test_modes_change_while_it_runs_and_compile_nothing(
    engine: SmallEngine, baseline: list[list[int]]
) -> None:
    engine.answers()
    before = compilations()
    unbounding: list[dict[str, JsonValue]] = [
        {"mode": "off"},
        OBSERVE,
        {"mode": "enforce"},
        {**ENFORCE, "min_tokens": 10_000},
    ]
    for settings in unbounding:
        worker_rpc.hold(settings)
        assert engine.answers() == baseline
    changes: list[dict[str, JsonValue]] = [
        {"gamma_thousandths": 100},
        {"gamma_thousandths": 200, "metric": "random"},
        {"gamma_thousandths": 100, "strategy": "rank_drop"},
        {"gamma_thousandths": 100, "strategy": "reroute"},
        {"gamma_thousandths": 100, "strategy": "expanded"},
    ]
    for changed in changes:
        worker_rpc.hold({**ENFORCE, **changed})
        assert engine.answers() != baseline, changed
    worker_rpc.hold(OBSERVE)
    assert engine.answers() == baseline
    assert compilations() == before


@pytest.mark.parametrize("strategy", ["drop", "reroute", "rank_drop", "expanded"])
def test_a_trace_bounds_as_python_does(engine: SmallEngine, strategy: str) -> None:
    worker_rpc.hold({**ENFORCE, "strategy": strategy})
    answers, traced = engine.answers(), worker_rpc.counts()
    worker_rpc.hold({**ENFORCE, "strategy": strategy})
    with engine.traces_off():
        assert engine.answers() == answers
    assert worker_rpc.counts() == traced
    for layer in traced["layers"].values():
        assert layer["bound"]["bounded_batches"] == layer["batches"][LARGE]
        assert layer["bound"]["dropped"] > 0
        assert layer["bound"]["excess"] <= 0


def test_a_trace_counts_as_python_does(engine: SmallEngine) -> None:
    worker_rpc.hold(OBSERVE)
    engine.answers()
    traced = worker_rpc.counts()
    worker_rpc.hold(OBSERVE)
    with engine.traces_off():
        engine.answers()
    assert worker_rpc.counts() == traced
    for layer in traced["layers"].values():
        assert layer["tokens"][LARGE] == PROMPTS * PROMPT_TOKENS
        assert sum(layer["loads"][LARGE]) == TOP_K * PROMPTS * PROMPT_TOKENS


def test_the_size_from_which_batches_are_large_changes_while_it_runs(engine: SmallEngine) -> None:
    worker_rpc.hold({"min_tokens": 10_000})
    engine.answers()
    for layer in worker_rpc.counts()["layers"].values():
        assert layer["tokens"][LARGE] == 0
        assert sum(layer["loads"][0]) > 0
