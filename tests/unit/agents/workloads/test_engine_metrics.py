"""What an engine's metrics say."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_agent.workloads.engine_metrics import scrape_of
from loadline_policies.errors import InvalidInput

ANSWER = Path(__file__).with_name("vllm-0.32.0.metrics").read_bytes()
"""A part of what a server of that version answered."""

SGLANG = b"""# HELP sglang:num_running_reqs The number of running requests.
# TYPE sglang:num_running_reqs gauge
sglang:num_running_reqs{engine_type="unified",model_name="m",tp_rank="0"} 7.0
sglang:num_queue_reqs{engine_type="unified",model_name="m",tp_rank="0"} 2.0
sglang:token_usage{engine_type="unified",model_name="m",tp_rank="0"} 0.28
sglang:time_to_first_token_seconds_sum{model_name="m"} 31.5
sglang:time_to_first_token_seconds_bucket{le="0.1",model_name="m"} 20.0
sglang:time_to_first_token_seconds_bucket{le="+Inf",model_name="m"} 120.0
sglang:inter_token_latency_seconds_bucket{le="0.02",model_name="m"} 8000.0
sglang:inter_token_latency_seconds_bucket{le="+Inf",model_name="m"} 9000.0
"""
"""Series by the names of SGLang's page on production metrics."""


def test_an_answer_of_vllm_is_read() -> None:
    found = scrape_of(ANSWER)
    assert found is not None
    assert (found.running, found.waiting, found.kv_use, found.plugin) == (0.0, 0.0, 0.0, False)
    assert found.ttft is not None
    assert found.itl is not None
    assert (found.ttft.total, found.itl.total) == (5.0, 17.0)
    assert found.ttft.bounds[:3] == (0.001, 0.005, 0.01)
    assert found.itl.bounds[-2:] == (80.0, math.inf)


def test_an_answer_of_sglang_is_read() -> None:
    found = scrape_of(SGLANG)
    assert found is not None
    assert (found.running, found.waiting, found.kv_use, found.plugin) == (7.0, 2.0, 0.28, False)
    assert found.ttft is not None
    assert found.itl is not None
    assert (found.ttft.total, found.itl.total) == (120.0, 9000.0)


def test_the_cores_of_an_engine_are_added() -> None:
    second = ANSWER.replace(b'engine="0"', b'engine="1"')
    one, both = scrape_of(ANSWER), scrape_of(ANSWER + second)
    assert one is not None
    assert both is not None
    assert one.ttft is not None
    assert both.ttft is not None
    assert both.ttft.counts == tuple(2 * count for count in one.ttft.counts)


def test_gauges_are_summed_and_the_fullest_memory_counts() -> None:
    text = b"""# HELP vllm:num_requests_running x
vllm:num_requests_running{engine="0"} 3.0
vllm:num_requests_running{engine="1"} 4.0
vllm:num_requests_waiting{engine="0"} 5
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 9.0
vllm:kv_cache_usage_perc{engine="0"} 0.25
vllm:kv_cache_usage_perc{engine="1"} 0.75 1795366671694
"""
    with pytest.raises(InvalidInput):
        scrape_of(text)
    found = scrape_of(text.replace(b" 1795366671694", b""))
    assert found is not None
    assert (found.running, found.waiting, found.kv_use) == (7.0, 5.0, 0.75)
    assert found.ttft is None


RUNNING_ALONE = b'vllm:num_requests_running{model_name="chat"} 41.0\n'


@pytest.mark.parametrize(
    ("more", "waiting", "kv_use"),
    [
        (b"", None, None),
        (b'vllm:num_requests_waiting{model_name="chat"} 0\n', 0.0, None),
        (b'vllm:kv_cache_usage_perc{model_name="chat"} 0.0\n', None, 0.0),
        (b'vllm:gpu_cache_usage_perc{model_name="chat"} 0.93\n', None, 0.93),
        (b'vllm:kv_usage{model_name="chat"} 0.93\n', None, None),
        (b"vllm:gpu_cache_usage_perc{} 0.9\nvllm:kv_cache_usage_perc{} 0.5\n", None, 0.5),
    ],
    ids=["nothing", "no-kv", "no-queue", "older-name", "other-name", "both-names"],
)
def test_a_series_that_is_not_there_is_no_zero(
    more: bytes, waiting: float | None, kv_use: float | None
) -> None:
    found = scrape_of(RUNNING_ALONE + more)
    assert found is not None
    assert (found.running, found.waiting, found.kv_use, found.ttft) == (41.0, waiting, kv_use, None)


def test_sglang_without_its_series_is_no_zero_either() -> None:
    found = scrape_of(b'sglang:num_running_reqs{model_name="m"} 3\n')
    assert found is not None
    assert (found.running, found.waiting, found.kv_use) == (3.0, None, None)


def test_a_plugin_tells_of_itself() -> None:
    found = scrape_of(ANSWER + b'loadline:plugin_info{version="0.1.0"} 1.0\n')
    assert found is not None
    assert found.plugin


def test_a_models_name_may_hold_anything() -> None:
    odd = rb'model_name="a } b,le=\"7\" {role=\"x\"} \\"'
    assert scrape_of(ANSWER.replace(b'model_name="tiny"', odd)) == scrape_of(ANSWER)


@pytest.mark.parametrize("text", [b"", b"<html>", b"trtllm_request_active{} 1\n"])
def test_another_server_is_none_of_ours(text: bytes) -> None:
    assert scrape_of(text) is None


@pytest.mark.parametrize(
    "line",
    [
        b'vllm:num_requests_running{engine="0"} NaN',
        b'vllm:num_requests_running{engine="0"}',
        b'vllm:time_to_first_token_seconds_bucket{engine="0"} 1.0',
        b'vllm:time_to_first_token_seconds_bucket{le="0.1"} 1.0',
        b'vllm:inter_token_latency_seconds_bucket{le="x"} 1.0',
    ],
)
def test_numbers_that_cannot_be_are_refused(line: bytes) -> None:
    with pytest.raises(InvalidInput):
        scrape_of(b'vllm:num_requests_running{engine="1"} 1.0\n' + line)


@given(st.binary(), st.integers(0, len(ANSWER)), st.integers(0, 200))
def test_whatever_a_tenant_answers_is_read_or_refused(junk: bytes, at: int, cut: int) -> None:
    try:
        scrape_of(ANSWER[:at] + junk + ANSWER[at + cut :])
    except InvalidInput:
        return
