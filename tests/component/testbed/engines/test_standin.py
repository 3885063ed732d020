"""The stand-in seen from outside, as a client, a kubelet or Prometheus sees an engine."""

import json
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from testbed.engines.standins import Standin

pytestmark = pytest.mark.slow

Start = Callable[..., Standin]


def chat(standin: Standin, **body: Any) -> httpx.Response:
    """What a chat of one message gets."""
    document = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}], **body}
    return httpx.post(f"{standin.url}/v1/chat/completions", json=document, timeout=10.0, trust_env=False)


def events(answer: httpx.Response) -> list[dict[str, Any]]:
    """The documents of a stream, whose end must be there."""
    data = [line.removeprefix("data: ") for line in answer.text.splitlines() if line]
    assert data.pop() == "[DONE]"
    return [json.loads(one) for one in data]


def test_it_takes_whatever_vllm_takes(start: Start) -> None:
    standin = start(
        "--tensor-parallel-size=4", "--quantization", "awq", "--enable-expert-parallel", "--new=1"
    )
    assert standin.get("/health").status_code == 200


def test_it_serves_the_names_it_was_given(start: Start) -> None:
    (model,) = start().get("/v1/models").json()["data"]
    assert (model["id"], model["root"], model["max_model_len"]) == ("tiny", "/models/tiny", 2048)


def test_another_models_name_is_not_found(start: Start) -> None:
    assert start().ask(model="other").status_code == 404


def test_an_answer_hangs_on_the_prompt(start: Start) -> None:
    one, other = start(), start()
    assert one.complete("port") == other.complete("port") != one.complete("starboard")


def test_an_answer_ends_where_it_was_told(start: Start) -> None:
    standin = start()
    free = standin.ask(max_tokens=100).json()
    assert free["choices"][0]["finish_reason"] == "stop"
    told = standin.ask(max_tokens=100, ignore_eos=True).json()
    assert told["usage"]["completion_tokens"] == len(told["choices"][0]["text"].split()) == 100
    assert told["choices"][0]["finish_reason"] == "length"


def test_a_prompt_beyond_the_context_is_refused(start: Start) -> None:
    answer = start("--max-model-len=8").ask("one two three", max_tokens=6)
    assert answer.status_code == 400
    assert "8 tokens" in answer.json()["error"]["message"]


def test_a_stream_says_what_an_answer_says(start: Start) -> None:
    standin = start()
    told = events(standin.ask(max_tokens=5, stream=True, stream_options={"include_usage": True}))
    assert "".join(one["choices"][0]["text"] for one in told[:-1]) == standin.complete(max_tokens=5)
    assert told[-1]["usage"]["completion_tokens"] == 5


def test_a_chat_is_streamed_after_its_role(start: Start) -> None:
    standin = start()
    first, *others = events(chat(standin, max_completion_tokens=3, stream=True))
    assert first["choices"][0]["delta"]["role"] == "assistant"
    said = "".join(one["choices"][0]["delta"]["content"] for one in others)
    whole = chat(standin, max_completion_tokens=3).json()["choices"][0]
    assert (said, whole["finish_reason"]) == (whole["message"]["content"], "length")


def test_metrics_count_what_was_done(start: Start) -> None:
    standin = start()
    standin.complete("one two three", max_tokens=4, ignore_eos=True)
    assert standin.metric("vllm:prompt_tokens_total") == 3
    assert standin.metric("vllm:generation_tokens_total") == 4
    assert standin.metric("vllm:request_success_total", finished_reason="length") == 1
    assert standin.metric("vllm:time_to_first_token_seconds_count") == 1
    assert standin.metric("vllm:inter_token_latency_seconds_bucket", le="+Inf") == 3
    assert standin.metric("vllm:num_requests_running") == 0


def test_latencies_are_those_it_was_told(start: Start) -> None:
    standin = start(ttft_ms=120, itl_ms=30)
    standin.complete(max_tokens=3, ignore_eos=True)
    assert standin.metric("vllm:time_to_first_token_seconds_sum") >= 0.12
    assert standin.metric("vllm:inter_token_latency_seconds_sum") >= 0.06


def test_more_than_may_run_wait(start: Start) -> None:
    standin = start("--max-num-seqs=1", ttft_ms=500)
    askers = [threading.Thread(target=standin.complete) for _ in range(3)]
    for asker in askers:
        asker.start()
    standin.process.until(lambda: standin.metric("vllm:num_requests_waiting") == 2, timeout_s=5.0)
    assert standin.metric("vllm:num_requests_running") == 1
    assert standin.metric("vllm:kv_cache_usage_perc") > 0
    for asker in askers:
        asker.join()
    assert standin.metric("vllm:request_success_total") == 3


def test_a_drain_ends_what_has_begun_and_takes_nothing_new(start: Start) -> None:
    standin = start("--shutdown-timeout=20", itl_ms=50)
    said: list[str] = []
    asker = threading.Thread(
        target=lambda: said.append(standin.complete("long", max_tokens=20, ignore_eos=True))
    )
    asker.start()
    standin.process.until(lambda: standin.metric("vllm:num_requests_running") == 1, timeout_s=5.0)
    standin.process.send(signal.SIGTERM)
    standin.process.until(lambda: standin.ask().status_code == 500, timeout_s=5.0)
    assert standin.get("/health").status_code == 200  # as vLLM has it
    assert standin.process.wait(10) == 0
    asker.join()
    assert len(said[0].split()) == 20


def test_without_a_drain_what_has_begun_is_cut(start: Start) -> None:
    standin = start(itl_ms=50)
    codes: list[int] = []
    asker = threading.Thread(
        target=lambda: codes.append(standin.ask("long", max_tokens=100, ignore_eos=True).status_code)
    )
    asker.start()
    standin.process.until(lambda: standin.metric("vllm:num_requests_running") == 1, timeout_s=5.0)
    standin.process.send(signal.SIGTERM)
    assert standin.process.wait(10) == 0
    asker.join()
    assert codes == [500]


def test_a_slow_start_is_not_listening(start: Start) -> None:
    began_s = time.monotonic()
    start(start_s=0.8)
    assert time.monotonic() - began_s >= 0.8


def test_one_that_is_never_ready_says_so(start: Start) -> None:
    assert start(never_ready=1).get("/health").status_code == 503


def test_a_crash_has_the_code_and_the_words_it_was_told(start: Start) -> None:
    standin = start(listening=False, crash_after_s=0, exit_code=42, last_words="CUDA out of memory")
    assert standin.process.wait(10) == 42
    assert standin.process.tail() == "CUDA out of memory"


def test_one_that_hangs_answers_nothing(start: Start) -> None:
    standin = start(hang_after_s=0.3)
    time.sleep(0.4)
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(f"{standin.url}/health", timeout=0.3, trust_env=False)


def test_memory_is_filled_on_demand(start: Start) -> None:
    standin = start(allocate_mib=64)
    status = f"/proc/{standin.process.pid}/status"

    def resident_mib() -> int:
        with open(status) as lines:
            return int(next(line.split()[1] for line in lines if line.startswith("VmRSS"))) // 1024

    standin.process.until(lambda: resident_mib() > 64, timeout_s=5.0)


@pytest.mark.parametrize(("name", "value"), [("crash_at", "1"), ("itl_ms", "fast")])
def test_what_nobody_knows_is_refused(start: Start, name: str, value: str) -> None:
    standin = start(listening=False, **{name: value})
    assert standin.process.wait(10) == 1
    assert f"STANDIN_{name.upper()}" in standin.process.tail()
