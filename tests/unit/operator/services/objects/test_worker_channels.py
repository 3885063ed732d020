"""What the docs tell the owner of an attached workload is what the operator puts into its own pods."""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from loadline_api import names
from loadline_api.experts import ExpertsMode
from loadline_api.kv_cache import SCHEDULER, SCHEDULER_OPTION, AdmissionMode
from loadline_api.kv_retention import (
    WORKER,
    WORKER_OPTION,
    KeptTokens,
    OnProbeFailure,
    Retention,
    RetentionMode,
)
from loadline_operator.services.objects import worker_channels
from loadline_operator.services.objects.pod_templates import lay_over
from loadline_vllm import settings

ROOT = Path(__file__).parents[5]
URL = f"http://{names.WORKERS_SERVICE}.{names.SYSTEM_NAMESPACE}.svc:{names.AGENT_WORKERS_PORT}"


def snippet() -> dict[str, Any]:
    """The pod's spec in the docs that has the agent's address."""
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "serving.md").read_text("utf-8"), re.DOTALL)
    (found,) = (block for block in blocks if "LOADLINE_AGENT" in block)
    spec: dict[str, Any] = yaml.safe_load(found)["spec"]
    return spec


PLACE = ("LOADLINE_NAMESPACE", "LOADLINE_SERVICE", "LOADLINE_POOL")
"""Which service a pod belongs to: the operator knows it of its own pods without being told."""


def test_a_pod_with_the_snippet_has_what_the_operators_own_pods_have() -> None:
    engine = {"name": "vllm", "image": "mine", "env": [{"name": "A", "value": "1"}]}
    pod = lay_over({"spec": {"containers": [engine]}}, {"spec": snippet()})["spec"]
    (container,) = pod["containers"]
    assert pod["volumes"] == [worker_channels.volume()]
    assert container["volumeMounts"] == [worker_channels.mount()]
    given = {one["name"]: one for one in container["env"]}
    made = worker_channels.environment(
        URL, experts=ExpertsMode.OBSERVE, admission=AdmissionMode.OBSERVE, retention=Retention()
    )
    assert {name: one for name, one in given.items() if name not in ("A", *PLACE)} == {
        one["name"]: one for one in made
    }


def test_the_snippet_tells_the_plugin_all_that_it_needs() -> None:
    environment = snippet()["containers"][0]["env"]
    told = {one["name"]: one.get("value", "from-a-field") for one in environment}
    found = settings.read(told)
    assert found.worker is not None
    assert (found.worker.agent, found.worker.service, found.worker.pool) == (URL, "mine", "main")
    assert (found.experts, found.admission) == ("observe", "observe")


def given(retention: Retention) -> dict[str, Any]:
    """The environment of an engine with this retention and no other loop."""
    made = worker_channels.environment(
        URL, experts=ExpertsMode.OFF, admission=AdmissionMode.OFF, retention=retention
    )
    return {one["name"]: one.get("value", "from-a-field") for one in made}


def test_the_plugin_reads_what_the_spec_says_of_retention() -> None:
    asked = Retention(
        mode=RetentionMode.ENFORCE,
        policy=KeptTokens.TRIM_KV,
        budget_tokens=512,
        most_tokens=1024,
        buffer_tokens=128,
        sink_tokens=8,
        recent_tokens=64,
        protect_tokens=100,
        gates_path="/gates/chat.safetensors",
        on_probe_failure=OnProbeFailure.REFUSE,
    )
    found = settings.read(given(asked))
    assert (found.retention, found.retention_policy) == ("enforce", "trimkv")
    assert (found.retention_budget_tokens, found.retention_most_tokens) == (512, 1024)
    assert (found.retention_buffer_tokens, found.retention_protect_tokens) == (128, 100)
    assert (found.retention_sink_tokens, found.retention_recent_tokens) == (8, 64)
    assert found.retention_gates == "/gates/chat.safetensors"
    assert settings.must_bound(given(asked))


def test_what_a_spec_leaves_out_is_what_the_plugin_would_do_anyway() -> None:
    plain = settings.read({"LOADLINE_RETENTION": "observe"})
    told = settings.read(given(Retention(mode=RetentionMode.OBSERVE)))
    of_retention = [name for name in settings.Settings.model_fields if name.startswith("retention")]
    assert {name: getattr(told, name) for name in of_retention} == {
        name: getattr(plain, name) for name in of_retention
    }


def test_retention_that_is_off_sets_nothing() -> None:
    found = given(Retention(budget_tokens=512, on_probe_failure=OnProbeFailure.REFUSE))
    assert not [name for name in found if name.startswith(("LOADLINE_RETENTION", "VLLM_PLUGINS"))]


def test_each_policy_of_kept_tokens_has_its_name_in_the_plugin() -> None:
    names = worker_channels.ENGINE_NAMES
    assert names.keys() == {*KeptTokens}
    assert {*get_args(settings.PolicyName)} | {"chelsea"} == {*names.values()}


@pytest.mark.parametrize("of_vllm", [SCHEDULER, WORKER])
def test_the_classes_that_engines_are_given_are_the_plugins(of_vllm: str) -> None:
    module, name = of_vllm.rsplit(".", 1)
    source = find_spec(module.partition(".")[0])
    assert source is not None
    assert source.origin is not None
    file = Path(source.origin).parent.joinpath(*module.split(".")[1:]).with_suffix(".py")
    assert f"class {name}(" in file.read_text("utf-8")


@pytest.mark.parametrize("argument", [f"{SCHEDULER_OPTION}={SCHEDULER}", f"{WORKER_OPTION}={WORKER}"])
def test_the_docs_name_the_arguments_by_which_an_engine_runs_our_classes(argument: str) -> None:
    assert f"`{argument}`" in (ROOT / "docs" / "serving.md").read_text("utf-8")
