"""Prefill and decode as stand-ins: KV is asked for over a socket, and what is wired wrongly fails."""

from collections.abc import Callable
from typing import Any

import pytest

from testbed.engines.processes import free_ports
from testbed.engines.standins import Standin

Start = Callable[..., Standin]

ASKED = {"do_remote_decode": True, "do_remote_prefill": False, "remote_engine_id": None}
PROMPT = "one two three four"


def role(name: str, policy: str = "fail") -> str:
    """The argument that makes an engine a half."""
    return f'--kv-transfer-config={{"kv_connector":"NixlConnector","kv_role":"{name}",' + (
        f'"kv_load_failure_policy":"{policy}"}}'
    )


def prefilled(prefill: Standin) -> dict[str, Any]:
    """The parameters that a prefill engine answers with, as the router asks for them."""
    told = prefill.ask(PROMPT, max_tokens=1, stream=False, kv_transfer_params=ASKED).json()
    return dict(told["kv_transfer_params"])


@pytest.fixture
def prefill(start: Start) -> Standin:
    return start(role("kv_producer"), side=free_ports(1)[0])


def test_a_decode_fetches_what_was_prefilled_and_says_the_same(start: Start, prefill: Standin) -> None:
    decode = start(role("kv_consumer"))
    assert decode.complete(PROMPT, kv_transfer_params=prefilled(prefill)) == prefill.complete(PROMPT)
    assert decode.metric("vllm:prompt_tokens_by_source_total", source="external_kv_transfer") == 4
    assert decode.metric("vllm:prompt_tokens_by_source_total", source="local_compute") == 0
    assert decode.metric("vllm:nixl_bytes_transferred_sum") > 0


def test_kv_is_fetched_once(start: Start, prefill: Standin) -> None:
    decode, parameters = start(role("kv_consumer")), prefilled(prefill)
    assert decode.ask(PROMPT, kv_transfer_params=parameters).status_code == 200
    assert decode.ask(PROMPT, kv_transfer_params=parameters).status_code == 500
    assert decode.metric("vllm:nixl_num_failed_transfers_total") == 1


def test_a_prefill_that_is_gone_fails_the_request(start: Start, prefill: Standin) -> None:
    decode, parameters = start(role("kv_consumer")), prefilled(prefill)
    prefill.process.kill()
    answer = decode.ask(PROMPT, kv_transfer_params=parameters)
    assert answer.status_code == 500
    assert "no KV from 127.0.0.1" in answer.json()["error"]["message"]


def test_a_decode_may_compute_again_what_it_can_not_load(start: Start, prefill: Standin) -> None:
    decode, parameters = start(role("kv_consumer", "recompute")), prefilled(prefill)
    prefill.process.kill()
    assert decode.ask(PROMPT, kv_transfer_params=parameters).status_code == 200
    assert decode.metric("vllm:prompt_tokens_by_source_total", source="local_compute") == 4


def test_without_a_connector_nothing_is_handed_over(start: Start) -> None:
    told = start().ask(PROMPT, max_tokens=1, kv_transfer_params=ASKED).json()
    assert told["kv_transfer_params"] is None
