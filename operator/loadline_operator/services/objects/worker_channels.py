"""
What an engine's pod needs so that the plugin in it can report to the agent of its node.

A token of an audience of its own, which no other server takes and which names the pod; the agent's address;
and which pod this is. Every engine's pod has them, whatever loops its service asks for. The pods of a replica
that spans nodes are alike in this too, though only the first one reports.

vLLM starts the part of the plugin that reports only if `VLLM_PLUGINS` names the plugin, and loads no plugin
then that the variable doesn't name. So the variable is set only where the service asks for a loop that can't
work without reports: that of experts, or one of those over KV memory.
"""

from pathlib import PurePath
from typing import Final

from loadline_api.experts import ExpertsMode
from loadline_api.kv_cache import AdmissionMode
from loadline_api.kv_retention import KeptTokens, Retention, RetentionMode
from loadline_api.worker_messages import TOKEN_FILE, WORKER_AUDIENCE
from loadline_operator.kube.kinds import Manifest

VOLUME: Final = "loadline-worker"

TOKEN_SECONDS: Final = 3600
"""How long a token lives; the kubelet renews it before that. As Kubernetes does for its own."""

PLUGINS: Final = "VLLM_PLUGINS"
"""Plugins that vLLM loads; without this variable it loads all that are installed."""

PLUGIN: Final = "loadline"
"""Loadline's plugin in that list."""

ENGINE_NAMES: Final = {
    KeptTokens.STREAMING: "streaming",
    KeptTokens.KEY_NORM: "key-norm",
    KeptTokens.KEY_DIFF: "key-diff",
    KeptTokens.RANDOM: "random",
    KeptTokens.TRIM_KV: "trimkv",
    KeptTokens.CHELSEA: "chelsea",
}
"""Policies of kept tokens in the plugin's words."""

DIRECTORY: Final = str(PurePath(TOKEN_FILE).parent)


def volume() -> Manifest:
    """The pod's token for its agent."""
    source = {
        "audience": WORKER_AUDIENCE,
        "expirationSeconds": TOKEN_SECONDS,
        "path": PurePath(TOKEN_FILE).name,
    }
    return {"name": VOLUME, "projected": {"sources": [{"serviceAccountToken": source}]}}


def mount() -> Manifest:
    """Where the plugin finds it."""
    return {"name": VOLUME, "mountPath": DIRECTORY, "readOnly": True}


def environment(
    agent_url: str, *, experts: ExpertsMode, admission: AdmissionMode, retention: Retention
) -> list[Manifest]:
    """The agent's address, the pod's name and uid, and how far the plugin may go in each loop."""
    modes = {
        **({"LOADLINE_EXPERTS": experts.value.lower()} if experts is not ExpertsMode.OFF else {}),
        **({"LOADLINE_ADMISSION": admission.value.lower()} if admission is not AdmissionMode.OFF else {}),
        **(_of_retention(retention) if retention.mode is not RetentionMode.OFF else {}),
    }
    return [
        {"name": "LOADLINE_AGENT", "value": agent_url},
        {"name": "LOADLINE_POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "LOADLINE_POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
        *([{"name": PLUGINS, "value": PLUGIN}] if modes else []),
        *({"name": name, "value": mode} for name, mode in modes.items()),
    ]


def _of_retention(asked: Retention) -> dict[str, str]:
    """The engine's settings of retention; one that the spec doesn't set is left to the engine."""
    told = {
        "": asked.mode.value.lower(),
        "_POLICY": ENGINE_NAMES[asked.policy],
        "_BUDGET_TOKENS": asked.budget_tokens,
        "_MOST_TOKENS": asked.most_tokens,
        "_BUFFER_TOKENS": asked.buffer_tokens,
        "_SINK_TOKENS": asked.sink_tokens,
        "_RECENT_TOKENS": asked.recent_tokens,
        "_PROTECT_TOKENS": asked.protect_tokens,
        "_GATES": asked.gates_path,
        "_ON_PROBE_FAILURE": asked.on_probe_failure.value.lower(),
    }
    return {f"LOADLINE_RETENTION{name}": str(value) for name, value in told.items() if value is not None}
