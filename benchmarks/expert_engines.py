"""
The part of the experts' benchmark that needs an engine: one small model, in one process, and JSON at the end.

    python -m benchmarks.expert_engines MODEL eager|compiled

The model answers with the routers that vLLM built, then with the plugin and bounds that bound nothing; its
counters are compared with a recount of what vLLM's own hook captured; and settings change while nothing may
be compiled. The engine's interpreter runs it (`expert_works` is the part without an engine).
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import JsonValue

from loadline_api.expert_settings import StrategyName
from loadline_vllm.expert_layers import worker_rpc
from testbed.experts.recounts import recounted
from testbed.experts.small_engines import SmallEngine, batches, compilations

EXPERTS, RANKS, MIN_TOKENS = 8, 4, 16
"""Of the small models, as counted; the size from which a batch is large, as `small_engines` starts them."""

LEAST_LARGE = 1
"""Large batches that a comparison of counters needs to be one."""


def main() -> None:
    """Measure, and print one JSON document."""
    model, kind = Path(sys.argv[1]), sys.argv[2]
    engine = SmallEngine(model, eager=kind == "eager")
    with engine.without_plugin():
        baseline = engine.answers()
    found = {
        "model": model.name,
        "kind": kind,
        "layers": len(worker_rpc.counts()["layers"]),
        "tokens_equal": _tokens_equal(engine, baseline),
        "counters_equal": _counters_equal(engine),
        "recompilations": _recompilations(engine),
        "answers_changed": _answers_changed(engine, baseline),
    }
    print(json.dumps(found))


def _tokens_equal(engine: SmallEngine, baseline: list[list[int]]) -> bool:
    """Whether every strategy without a γ answers as vLLM alone does, and so does counting."""
    unbounded: list[dict[str, JsonValue]] = [
        {"mode": "observe", "min_tokens": MIN_TOKENS},
        *({"mode": "enforce", "strategy": one, "min_tokens": MIN_TOKENS} for one in get_args(StrategyName)),
    ]
    return all(_answers(engine, settings) == baseline for settings in unbounded)


def _answers(engine: SmallEngine, settings: dict[str, JsonValue]) -> list[list[int]]:
    worker_rpc.hold(settings)
    return engine.answers()


def _counters_equal(engine: SmallEngine) -> bool:
    """Whether the counters equal the recount, and a trace's counters those of the same code as Python."""
    _answers(engine, {"min_tokens": MIN_TOKENS})
    traced = worker_rpc.counts()["layers"]
    worker_rpc.hold({"min_tokens": MIN_TOKENS})
    with engine.traces_off(), engine.captured() as captured:
        engine.answers()
    counted = worker_rpc.counts()["layers"]
    return traced == counted and all(
        layer["batches"][1] >= LEAST_LARGE and _same(layer, batches(captured[name]))
        for name, layer in counted.items()
    )


def _same(layer: dict[str, Any], routed: list[list[list[int]]]) -> bool:
    expected = recounted(routed, experts=EXPERTS, ranks=RANKS, min_tokens=MIN_TOKENS)
    return {figure: layer[figure] for figure in expected} == expected


def _bounding() -> Iterator[dict[str, JsonValue]]:
    """Settings that change answers, one after another: strategies, γ, metrics, and back."""
    for strategy in get_args(StrategyName):
        for gamma, metric in ((1_000, "score"), (1_500, "random")):
            yield {"mode": "observe", "strategy": strategy, "min_tokens": MIN_TOKENS}
            yield {
                "mode": "enforce",
                "gamma_thousandths": gamma,
                "strategy": strategy,
                "metric": metric,
                "min_tokens": MIN_TOKENS,
            }


def _recompilations(engine: SmallEngine) -> int:
    """How many of vLLM's and Dynamo's counters of compilations moved while settings changed."""
    engine.answers()
    before = compilations()
    for settings in _bounding():
        _answers(engine, settings)
    return sum(before.get(name) != value for name, value in compilations().items())


def _answers_changed(engine: SmallEngine, baseline: list[list[int]]) -> bool:
    """Whether a bound does bound: else equal tokens would show nothing."""
    settings: dict[str, JsonValue] = {"mode": "enforce", "gamma_thousandths": 100, "min_tokens": MIN_TOKENS}
    return _answers(engine, settings) != baseline


if __name__ == "__main__":
    main()
