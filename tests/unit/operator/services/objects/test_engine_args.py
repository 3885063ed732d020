"""The spec in the words of the engine's command line."""

import json
from typing import Any

import pytest

from loadline_api.inference_services import InferenceService
from loadline_api.kv_cache import SCHEDULER
from loadline_api.kv_retention import WORKER
from loadline_operator.services.objects.defaults import Defaults
from loadline_operator.services.objects.descriptions import describe
from loadline_operator.services.objects.engine_args import Member, arguments

URI = "hf://org/llm"


def told(
    pool: str = "main",
    *,
    member: Member = Member.SOLE,
    device: str | None = None,
    agents: str | None = None,
    **spec: Any,
) -> list[str]:
    """The arguments of a pool."""
    one = InferenceService.parse(
        {"metadata": {"name": "chat", "namespace": "serving"}, "spec": {"model": {"uri": URI}, **spec}}
    )
    described = describe(one, Defaults(kv_buffer_device=device, agent_url=agents))
    found = next(each for each in described.pools if each.name == pool)
    return arguments(described, found, member=member)


def transfer(pool: str, **more: Any) -> dict[str, str]:
    """How a pool of a split service moves KV."""
    (one,) = [one for one in told(pool, prefill={"replicas": 1}, router={}, **more) if "kv-transfer" in one]
    config: dict[str, str] = json.loads(one.removeprefix("--kv-transfer-config="))
    return config


def test_a_plain_service_says_little() -> None:
    assert told() == [
        "--model=org/llm",
        "--served-model-name=chat",
        "--port=8000",
        "--shutdown-timeout=300",
    ]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"model": {"uri": URI, "name": "talk"}}, {"--served-model-name=talk"}),
        ({"parallelism": {"tensor": 4}}, {"--tensor-parallel-size=4"}),
        (
            {"parallelism": {"tensor": 2, "pipeline": 2, "data": 2}},
            {"--tensor-parallel-size=2", "--pipeline-parallel-size=2", "--data-parallel-size=2"},
        ),
        ({"parallelism": {"expert": True}}, {"--enable-expert-parallel"}),
        (
            {"engine": {"maxModelLength": 8192, "maxSequences": 64}},
            {"--max-model-len=8192", "--max-num-seqs=64"},
        ),
        ({"kvCache": {"dtype": "fp8"}}, {"--kv-cache-dtype=fp8"}),
    ],
)
def test_fields_become_arguments(spec: dict[str, Any], expected: set[str]) -> None:
    assert expected <= set(told(**spec))


@pytest.mark.parametrize(
    "spec", [{"parallelism": {}}, {"engine": {}}, {"kvCache": {"dtype": "auto"}}, {"kvCache": {}}]
)
def test_a_default_is_not_told(spec: dict[str, Any]) -> None:
    assert told(**spec) == told()


def test_the_users_own_arguments_come_last() -> None:
    own = ["--enforce-eager", "--shutdown-timeout=60"]
    assert told(engine={"arguments": own})[-2:] == own


def test_prefill_produces_kv_and_decode_takes_it() -> None:
    assert transfer("prefill") == {"kv_connector": "NixlConnector", "kv_role": "kv_producer"}
    assert transfer("main") == {
        "kv_connector": "NixlConnector",
        "kv_role": "kv_consumer",
        "kv_load_failure_policy": "recompute",
    }


@pytest.mark.parametrize("pool", ["main", "prefill"])
def test_both_pools_of_a_split_service_run_our_scheduler(pool: str) -> None:
    admission: dict[str, Any] = {"kvCache": {"admission": {"mode": "Observe"}}}
    found = told(pool, agents="http://agents:9479", prefill={"replicas": 1}, router={}, **admission)
    assert "--scheduler-cls=loadline_vllm.schedulers.LoadlineScheduler" in found


@pytest.mark.parametrize(
    ("cache", "classes"),
    [
        ({}, set()),
        ({"admission": {"mode": "Observe"}}, {SCHEDULER}),
        ({"retention": {"mode": "Observe"}}, {SCHEDULER, WORKER}),
        ({"retention": {"mode": "Off", "budgetTokens": 512}}, set()),
        ({"admission": {"mode": "Enforce"}, "retention": {"mode": "Enforce"}}, {SCHEDULER, WORKER}),
    ],
    ids=str,
)
@pytest.mark.parametrize("member", Member)
def test_each_class_of_ours_is_named_once(member: Member, cache: dict[str, Any], classes: set[str]) -> None:
    found = told(agents="http://agents:9479", member=member, kvCache=cache)
    named = [one.partition("=")[2] for one in found if one.startswith(("--scheduler-cls=", "--worker-cls="))]
    assert sorted(named) == sorted(classes)


def test_without_agents_no_class_of_ours_is_asked_for() -> None:
    assert not [one for one in told(kvCache={"retention": {"mode": "Enforce"}}) if "-cls=" in one]


def test_a_machine_without_gpu_says_where_kv_is_held() -> None:
    assert {transfer(pool, device="cpu")["kv_buffer_device"] for pool in ("prefill", "main")} == {"cpu"}


def test_the_nodes_of_a_replica_meet_at_their_leader() -> None:
    spread: dict[str, Any] = {"parallelism": {"tensor": 16, "nodes": 2}}
    leader, follower = (told(member=one, **spread) for one in (Member.LEADER, Member.FOLLOWER))
    assert set(leader) - set(follower) == {"--node-rank=0", "--master-addr=$(VLLM_HOST_IP)"}
    assert set(follower) - set(leader) == {
        "--node-rank=$(LWS_WORKER_INDEX)",
        "--master-addr=$(LWS_LEADER_ADDRESS)",
        "--headless",
    }
    assert "--nnodes=2" in leader
