"""What a front-end makes of its ranks' counts, and what it publishes."""

import math
from dataclasses import replace
from typing import Any

import prometheus_client
import pytest
from prometheus_client import CollectorRegistry, Gauge

from loadline_api.expert_counts import EplbCounts
from loadline_api.expert_settings import ExpertsSettings
from loadline_vllm.expert_layers.metrics import ALL, ExpertsMetrics
from loadline_vllm.expert_layers.observations import of_ranks, total

FOUND: dict[str, Any] = {
    "loads": [[1, 1, 0, 0], [50, 30, 10, 10]],
    "batches": [1, 2],
    "tokens": [1, 50],
    "expert_most": 50,
    "rank_most": 80.0,
    "dropped": [30, 20, 12, 0, 0],
    "capped_rank_most": [50.0, 60.0, 68.0, 80.0, 80.0],
    "rank_loads": [80.0, 20.0],
    "bound": {
        "bounded_batches": 2,
        "tokens": 50,
        "offered": 100,
        "dropped": 12,
        "rerouted": 5,
        "without_expert": 1,
        "excess": 0,
    },
}
EMPTY: dict[str, Any] = {
    **FOUND,
    "loads": [[0] * 4] * 2,
    "batches": [0, 0],
    "expert_most": 0,
    "rank_most": 0.0,
    "dropped": [0] * 5,
    "capped_rank_most": [0.0] * 5,
    "rank_loads": [0.0, 0.0],
    "bound": None,
}


def answer(bypassed: dict[str, str] | None = None, **layers: dict[str, Any]) -> dict[str, Any]:
    return {
        "layers": layers,
        "bypassed": bypassed or {},
        "unbounded": {"a": "HashRouting"} if layers else {},
        "settings": {},
        "eplb": None,
    }


def test_ranks_that_count_the_same_are_counted_once() -> None:
    (layer,) = of_ranks([answer(a=FOUND), answer(a=FOUND)]).layers.values()
    assert layer.counts.pairs == 100
    assert layer.batches == (1, 2)


def test_layers_of_all_pipeline_stages_are_taken() -> None:
    observation = of_ranks([answer(a=FOUND), answer(b=FOUND)])
    assert set(observation.layers) == {"a", "b"}
    together = total(observation)
    assert together is not None
    assert together.pairs == 200
    assert together.rank_imbalance == 1.6


def test_layers_that_are_not_served_are_counted_by_reason() -> None:
    one, other = {"a": "MonolithicKernel", "b": "ZeroExperts"}, {"a": "MonolithicKernel", "c": "ZeroExperts"}
    assert of_ranks([answer(one), answer(other)]).bypassed == {"MonolithicKernel": 1, "ZeroExperts": 2}


def test_an_engine_without_experts_has_no_table() -> None:
    assert total(of_ranks([answer()])) is None


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> CollectorRegistry:
    """A registry in place of the engine's."""
    found = CollectorRegistry()

    def gauge(name: str, text: str, labelnames: tuple[str, ...], multiprocess_mode: str) -> Gauge:
        assert multiprocess_mode == "mostrecent"
        return Gauge(name, text, labelnames, registry=found)

    monkeypatch.setattr(prometheus_client, "Gauge", gauge)
    return found


def test_all_metrics_are_published(registry: CollectorRegistry) -> None:
    metrics = ExpertsMetrics()
    for _ in range(2):
        metrics.publish(of_ranks([{**answer({"b": "ZeroExperts"}, a=FOUND), "eplb": steps(5_000)}]))
    assert {metric.name for metric in registry.collect()} == {gauge.name for gauge in ALL}
    value = registry.get_sample_value
    assert value("loadline:experts_observed_layers") == 1
    assert value("loadline:experts_bypassed", {"reason": "ZeroExperts"}) == 1
    assert value("loadline:experts_unbounded", {"reason": "HashRouting"}) == 1
    assert value("loadline:experts_batches", {"size": "large"}) == 2
    assert value("loadline:experts_dropped_fraction") == 0.12
    assert value("loadline:experts_rerouted_fraction") == 0.05
    assert value("loadline:experts_tokens_without_expert") == 1
    assert value("loadline:experts_imbalance", {"layer": "a"}) == 2.0
    assert value("loadline:experts_rank_imbalance", {"layer": "a"}) == 1.6
    assert value("loadline:experts_rank_load", {"rank": "0"}) == 1.6
    assert value("loadline:experts_shadow_drop_fraction", {"gamma": "1.25"}) == 0.2
    assert value("loadline:experts_shadow_rank_imbalance", {"gamma": "1"}) == 1.0
    assert value("loadline:experts_eplb_steps_since_rearranged") == 5_000
    assert value("loadline:experts_eplb_step_interval") == 3_000


def test_a_reason_that_has_gone_is_at_zero(registry: CollectorRegistry) -> None:
    metrics = ExpertsMetrics()
    for reason in ("NotCalibrated", "HashRouting"):
        metrics.publish(of_ranks([{**answer(a=FOUND), "unbounded": {"a": reason}}]))
    for reason, layers in (("NotCalibrated", 0), ("HashRouting", 1)):
        assert registry.get_sample_value("loadline:experts_unbounded", {"reason": reason}) == layers


def test_of_several_ranks_the_one_whose_eplb_waits_longest_is_taken() -> None:
    ranks = [{**answer(), "eplb": eplb} for eplb in (None, steps(7), steps(9), steps(8))]
    assert of_ranks(ranks).eplb == EplbCounts(steps_since_rearranged=9, step_interval=3_000)
    assert of_ranks([answer()]).eplb is None


def steps(count: int) -> dict[str, int]:
    return {"steps_since_rearranged": count, "step_interval": 3_000}


def test_what_is_not_known_is_not_published(registry: CollectorRegistry) -> None:
    ExpertsMetrics().publish(of_ranks([answer(a=EMPTY)]))
    assert {metric.name for metric in registry.collect()} == {
        "loadline:experts_observed_layers",
        "loadline:experts_unbounded",
        "loadline:experts_batches",
        "loadline:experts_gamma",
    }


@pytest.mark.parametrize(
    ("settings", "gamma"),
    [
        (None, math.nan),
        (ExpertsSettings(), math.inf),
        (ExpertsSettings(gamma_thousandths=1_500), math.inf),
        (ExpertsSettings(mode="enforce", gamma_thousandths=1_500), 1.5),
    ],
)
def test_the_capacity_that_ranks_hold_is_published(
    registry: CollectorRegistry, settings: ExpertsSettings | None, gamma: float
) -> None:
    ExpertsMetrics().publish(replace(of_ranks([answer(a=EMPTY)]), settings=settings))
    assert registry.get_sample_value("loadline:experts_gamma") == pytest.approx(gamma, nan_ok=True)
