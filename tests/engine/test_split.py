"""Prefill and decode apart, on real engines: KV really moves, and nobody can tell by the text."""

import pytest

from testbed.engines.processes import Engines

PROMPTS = (
    "The pilot asked where the harbour ends and where the open sea begins, and got no answer. " * 3,
    "A load line is the mark on a hull that shows how deep a ship may safely lie in the water. " * 3,
    "Cargo, ballast, fuel and crew: whatever comes aboard, the mark stays above the water. " * 3,
)


@pytest.mark.timeout(900)
def test_a_split_service_says_what_one_engine_says_and_its_kv_has_moved(engines: Engines) -> None:
    prefill, decode, router = engines.split()
    split = [router.complete(prompt) for prompt in PROMPTS]

    assert decode.metric("vllm:nixl_bytes_transferred_sum") > 0
    assert decode.metric("vllm:nixl_bytes_transferred_count") == len(PROMPTS)
    assert decode.metric("vllm:nixl_num_failed_transfers_total") == 0
    assert decode.metric("vllm:prompt_tokens_by_source_total", source="external_kv_transfer") > 0
    assert decode.metric("vllm:prompt_tokens_by_source_total", source="local_compute") == 0
    assert prefill.metric("vllm:generation_tokens_total") == len(PROMPTS)

    assert [decode.complete(prompt) for prompt in PROMPTS] == split
    assert len(set(split)) == len(PROMPTS)
