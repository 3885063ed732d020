"""What the operator says on a command line is understood by the parsers of vLLM and of the router."""

import json
import subprocess
from typing import Any

import pytest

from loadline_api.inference_services import InferenceService
from loadline_api.pools import RouterPolicy
from loadline_operator.services.objects.defaults import Defaults
from loadline_operator.services.objects.descriptions import describe
from loadline_operator.services.objects.engine_args import Member, arguments
from loadline_operator.services.objects.routers import arguments as router_arguments
from testbed.engines.venvs import ENVIRONMENT, Venv

URI = "hf://org/llm@v2"

EXPANDED = {
    "$(VLLM_HOST_IP)": "10.0.0.1",
    "$(LWS_LEADER_ADDRESS)": "chat-0.chat.serving",
    "$(LWS_WORKER_INDEX)": "1",
}
"""What the kubelet puts in the place of variables."""

PARSE = """
import json, sys
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.utils.argparse_utils import FlexibleArgumentParser
parser = make_arg_parser(FlexibleArgumentParser())
for line in map(json.loads, sys.stdin):
    told = vars(parser.parse_args(line))
    print(json.dumps({name: told[name] for name in told if type(told[name]) in (str, int, bool, list)}))
"""

PARSE_ROUTERS = """
import json, sys
from vllm_router.launch_router import parse_router_args
for line in map(json.loads, sys.stdin):
    print(json.dumps(vars(parse_router_args(line)), default=str))
"""

FULL: dict[str, Any] = {
    "model": {"uri": URI, "name": "talk"},
    "parallelism": {"tensor": 4, "data": 2, "expert": True, "nodes": 2},
    "engine": {"maxModelLength": 4096, "maxSequences": 8, "arguments": ["--shutdown-timeout=60"]},
    "kvCache": {"dtype": "fp8"},
}
SPLIT = {**FULL, "prefill": {"perDecode": "1"}, "router": {}}
PIPED = {**FULL, "parallelism": {"tensor": 4, "pipeline": 2}}


def service(spec: dict[str, Any]) -> InferenceService:
    return InferenceService.parse({"metadata": {"name": "chat", "namespace": "serving"}, "spec": spec})


def understood(venv: Venv, program: str, lines: list[list[str]]) -> list[dict[str, Any]]:
    """What a parser makes of each command line; a flag that it doesn't know ends it."""
    done = subprocess.run(
        [venv.python, "-c", program],
        input="\n".join(map(json.dumps, lines)),
        env={**ENVIRONMENT, "PATH": "/usr/bin:/bin", "HOME": "/tmp"},
        text=True,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def expanded(argument: str) -> str:
    for variable, value in EXPANDED.items():
        argument = argument.replace(variable, value)
    return argument


@pytest.fixture(scope="module")
def told(engine_venv: Venv) -> dict[str, dict[str, Any]]:
    """What vLLM understands of each kind of engine."""
    lines: dict[str, list[str]] = {}
    for name, spec in {"full": FULL, "split": SPLIT, "piped": PIPED}.items():
        described = describe(service(spec), Defaults(kv_buffer_device="cpu"))
        for pool in described.pools:
            for member in Member:
                key = f"{name} {pool.name} {member.value}"
                said = arguments(described, pool, member=member)
                lines[key] = [expanded(one) for one in said]
    parsed = understood(engine_venv, PARSE, [*lines.values()])
    return dict(zip(lines, parsed, strict=True))


def test_fields_arrive_where_they_should(told: dict[str, dict[str, Any]]) -> None:
    plain = told["full main sole"]
    expected = {
        "model": "org/llm",
        "revision": "v2",
        "served_model_name": ["talk"],
        "port": 8000,
        "tensor_parallel_size": 4,
        "data_parallel_size": 2,
        "enable_expert_parallel": True,
        "max_model_len": 4096,
        "max_num_seqs": 8,
        "kv_cache_dtype": "fp8",
        "shutdown_timeout": 60,
        "headless": False,
    }
    assert {name: plain[name] for name in expected} == expected
    assert told["piped main sole"]["pipeline_parallel_size"] == 2


def test_the_nodes_of_a_replica_know_their_part(told: dict[str, dict[str, Any]]) -> None:
    leader = told["full main leader"]
    follower = told["full main follower"]
    assert (leader["nnodes"], leader["node_rank"], leader["headless"]) == (2, 0, False)
    assert (follower["nnodes"], follower["node_rank"], follower["headless"]) == (2, 1, True)
    assert leader["master_addr"] == "10.0.0.1"
    assert follower["master_addr"] == "chat-0.chat.serving"


def test_every_engine_was_understood(told: dict[str, dict[str, Any]]) -> None:
    assert len(told) == 12


@pytest.mark.parametrize("policy", RouterPolicy)
def test_the_router_understands_what_it_is_told(engine_venv: Venv, policy: RouterPolicy) -> None:
    plain, split = (service({**spec, "router": {"policy": policy.value}}) for spec in (FULL, SPLIT))
    lines = []
    for one in (plain, split):
        described = describe(one, Defaults())
        assert described.router is not None
        lines.append(router_arguments(described, described.router))
    alone, both = understood(engine_venv, PARSE_ROUTERS, lines)
    main = {
        "loadline.dev/service": "chat",
        "loadline.dev/pool": "main",
        "leaderworkerset.sigs.k8s.io/worker-index": "0",
    }
    assert (alone["selector"], alone["vllm_pd_disaggregation"]) == (main, False)
    assert both["decode_selector"] == main
    assert both["prefill_selector"] == {**main, "loadline.dev/pool": "prefill"}
    assert (both["host"], both["port"], both["service_discovery_port"]) == ("0.0.0.0", 8000, 8000)
    assert both["service_discovery_namespace"] == "serving"
