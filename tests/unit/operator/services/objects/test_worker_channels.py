"""What the docs tell the owner of an attached workload is what the operator puts into its own pods."""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from loadline_api import names
from loadline_api.experts import ExpertsMode
from loadline_api.kv_cache import SCHEDULER, SCHEDULER_OPTION, AdmissionMode
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
    made = worker_channels.environment(URL, experts=ExpertsMode.OBSERVE, admission=AdmissionMode.OBSERVE)
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


def test_the_scheduler_that_engines_are_given_is_the_plugins() -> None:
    module, name = SCHEDULER.rsplit(".", 1)
    source = find_spec(module)
    assert source is not None
    assert source.origin is not None
    assert f"class {name}(" in Path(source.origin).read_text("utf-8")


def test_the_docs_name_the_argument_by_which_an_engine_runs_our_scheduler() -> None:
    assert f"`{SCHEDULER_OPTION}={SCHEDULER}`" in (ROOT / "docs" / "serving.md").read_text("utf-8")
