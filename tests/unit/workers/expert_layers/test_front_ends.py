"""The front-end flushes the prefix cache when answers change, and reports what fits into a report."""

import json
from typing import Any

import pytest
from pydantic import JsonValue

from loadline_api import expert_counts
from loadline_api.expert_counts import LONGEST_NAME, MOST_LAYERS, MOST_RANKS_NAMED
from loadline_vllm.expert_layers.front_ends import ExpertsFrontEnd, section
from loadline_vllm.expert_layers.observations import of_ranks

ENFORCED: dict[str, JsonValue] = {"mode": "enforce", "gamma_thousandths": 1500}
OTHER: dict[str, JsonValue] = {"mode": "enforce", "gamma_thousandths": 1250}
LAYER: dict[str, Any] = {
    "loads": [[0] * 256, [10_000_000] * 256],
    "batches": [100_000, 100_000],
    "expert_most": 100_000_000,
    "rank_most": 400_000_000.125,
    "dropped": [100_000_000] * 5,
    "capped_rank_most": [400_000_000.125] * 5,
    "rank_loads": [320_000_000.0] * 8,
    "bound": {
        "bounded_batches": 100_000,
        "tokens": 50_000_000,
        "offered": 400_000_000,
        "dropped": 40_000_000,
        "rerouted": 0,
        "without_expert": 1_000_000,
        "excess": 0,
    },
}


class Client:
    """vLLM's client, as far as it flushes."""

    def __init__(self, *, flushes: bool = True) -> None:
        self.flushes, self.flushed = flushes, 0

    async def reset_prefix_cache(self, *, reset_running_requests: bool, reset_connector: bool) -> bool:
        assert reset_running_requests
        assert reset_connector
        self.flushed += 1
        return self.flushes


@pytest.mark.parametrize(
    ("settings", "flushes"),
    [
        ([{}, {"mode": "off"}, {"min_tokens": 512}], 0),
        ([ENFORCED], 1),
        ([ENFORCED, ENFORCED], 1),
        ([ENFORCED, OTHER], 2),
        ([ENFORCED, {}], 2),
    ],
    ids=str,
)
async def test_the_cache_is_flushed_when_answers_change(
    settings: list[dict[str, JsonValue]], flushes: int
) -> None:
    front_end, client = ExpertsFrontEnd(), Client()
    for each in settings:
        assert await front_end.held(client, each)
    assert client.flushed == flushes


async def test_a_flush_that_failed_is_tried_again() -> None:
    front_end, client = ExpertsFrontEnd(), Client(flushes=False)
    assert not await front_end.held(client, ENFORCED)
    client.flushes = True
    assert await front_end.held(client, ENFORCED)
    assert client.flushed == 2


def answer(
    layers: dict[str, dict[str, Any]], *, settings: dict[str, JsonValue] | None = None
) -> dict[str, Any]:
    return {"layers": layers, "bypassed": {}, "unbounded": {}, "settings": settings or {}, "eplb": None}


def test_a_report_of_the_most_layers_fits_into_a_message() -> None:
    names = [f"model.layers.{layer}.block_sparse_moe.experts" for layer in range(MOST_LAYERS + 1)]
    found = section(of_ranks([answer(dict.fromkeys(names, LAYER))]))
    assert found["layers_left_out"] == 1
    assert len(json.dumps(found)) < 60 * 1024


def test_an_agent_reads_what_a_front_end_reports() -> None:
    found = expert_counts.decode(section(of_ranks([answer({"a": LAYER}, settings=ENFORCED)])))
    assert (found.mode, found.gamma_thousandths, found.strategy) == ("enforce", 1500, "drop")
    assert found.layers["a"].counts.pairs == 256 * 10_000_000
    assert found.total == found.layers["a"].counts
    assert found.bound.without_expert_fraction == 0.02


def test_settings_that_differ_by_rank_are_not_reported() -> None:
    found = section(of_ranks([answer({}, settings=ENFORCED), answer({}, settings=OTHER)]))
    assert (found["mode"], found["gamma_thousandths"], found["strategy"]) == (None, None, None)


def test_a_layer_whose_name_is_too_long_is_left_out() -> None:
    found = section(of_ranks([answer({"a": LAYER, "b" * (LONGEST_NAME + 1): LAYER})]))
    assert [*expert_counts.decode(found).layers] == ["a"]
    assert found["layers_left_out"] == 1


def test_the_fullest_ranks_are_named_first() -> None:
    loads = [100.0, 300.0, *[200.0] * MOST_RANKS_NAMED]
    found = expert_counts.decode(section(of_ranks([answer({"a": {**LAYER, "rank_loads": loads}})])))
    assert len(found.fullest_ranks) == MOST_RANKS_NAMED
    assert (found.fullest_ranks[0].rank, found.fullest_ranks[0].load) == (1, 1.5)
