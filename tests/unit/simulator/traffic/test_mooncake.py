"""A recorded conversation trace: its blocks are shared as its ids say, and its times lie on a grid of 3 s."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from loadline_sim.traffic import spreading, trace_files
from loadline_sim.traffic.statistics import statistics

PATH = Path(__file__).parent / "excerpts" / "mooncake-conversation-200.jsonl.gz"
TRACE = trace_files.read(PATH).trace


def shared_blocks() -> tuple[int, int]:
    """Blocks whose id an earlier request has had, of all; by a set, whatever stands before them."""
    with gzip.open(PATH, "rt", encoding="utf-8") as lines:
        prompts = [json.loads(line)["hash_ids"] for line in lines]
    seen: set[int] = set()
    shared = 0
    for prompt in prompts:
        shared += sum(one in seen for one in prompt)
        seen.update(prompt)
    return shared, sum(map(len, prompts))


def test_leading_hits_are_all_hits_because_an_id_stands_for_its_prefix_too() -> None:
    shared, blocks = shared_blocks()
    assert statistics(TRACE).cached_share == pytest.approx(shared / blocks, abs=1e-12)
    assert 0 < shared < blocks


def test_times_are_noted_every_three_seconds() -> None:
    assert spreading.step_of(TRACE) == pytest.approx(3.0, abs=0.01)


def test_spread_requests_come_as_independent_ones_do() -> None:
    before, after = statistics(TRACE), statistics(spreading.spread(TRACE, seed=1))
    assert before.dispersion > 3.0
    assert after.dispersion == pytest.approx(1.0, abs=0.5)
    assert after.cached_share == before.cached_share
    assert np.array_equal(TRACE.prompt_tokens, spreading.spread(TRACE, seed=1).prompt_tokens)
