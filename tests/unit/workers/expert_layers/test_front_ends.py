"""The front-end flushes the prefix cache when answers change, and reports what fits into a report."""

import json
from typing import Any

import pytest
from pydantic import JsonValue

from loadline_vllm.expert_layers.front_ends import MOST_LAYERS, ExpertsFrontEnd, section
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
    "bound": None,
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


def test_a_report_of_the_most_layers_fits_into_a_message() -> None:
    names = [f"model.layers.{layer}.block_sparse_moe.experts" for layer in range(MOST_LAYERS + 1)]
    answer = {"layers": dict.fromkeys(names, LAYER), "bypassed": {}, "unbounded": {}}
    found = section(of_ranks([answer]))
    assert found["layers_left_out"] == 1
    assert len(json.dumps(found)) < 60 * 1024
