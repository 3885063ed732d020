"""What the docs tell the owner of an attached workload is what the operator puts into its own pods."""

import re
from pathlib import Path
from typing import Any

import yaml

from loadline_api import names
from loadline_operator.services.objects import worker_channels
from loadline_vllm import settings

ROOT = Path(__file__).parents[5]
URL = f"http://{names.WORKERS_SERVICE}.{names.SYSTEM_NAMESPACE}.svc:{names.AGENT_WORKERS_PORT}"


def snippet() -> dict[str, Any]:
    """The pod's spec in the docs that has the agent's address."""
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "serving.md").read_text("utf-8"), re.DOTALL)
    (found,) = (block for block in blocks if "LOADLINE_AGENT" in block)
    spec: dict[str, Any] = yaml.safe_load(found)["spec"]
    return spec


def test_the_snippet_has_the_operators_volume_and_mount() -> None:
    spec = snippet()
    assert spec["volumes"] == [worker_channels.volume()]
    assert spec["containers"][0]["volumeMounts"] == [worker_channels.mount()]


def test_the_snippet_tells_the_plugin_all_that_it_needs() -> None:
    environment = snippet()["containers"][0]["env"]
    assert [one for one in worker_channels.environment(URL) if one not in environment] == []
    told = {one["name"]: one.get("value", "from-a-field") for one in environment}
    found = settings.read(told).worker
    assert found is not None
    assert (found.agent, found.service, found.pool) == (URL, "mine", "main")
    assert told["VLLM_PLUGINS"] == "loadline"
