"""
What an engine's pod needs so that the plugin in it can report to the agent of its node.

A token of an audience of its own, which no other server takes and which names the pod; the agent's address;
and which pod this is. Every engine's pod has them, whatever loops its service asks for, so that asking for
one restarts nothing. The pods of a replica that spans nodes are alike in this too, though only the first one
reports.
"""

from pathlib import PurePath
from typing import Final

from loadline_api.worker_messages import TOKEN_FILE, WORKER_AUDIENCE
from loadline_operator.kube.kinds import Manifest

VOLUME: Final = "loadline-worker"

TOKEN_SECONDS: Final = 3600
"""How long a token lives; the kubelet renews it before that. As Kubernetes does for its own."""

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


def environment(agent_url: str) -> list[Manifest]:
    """The agent's address and the pod's name and uid, as the plugin reads them."""
    return [
        {"name": "LOADLINE_AGENT", "value": agent_url},
        {"name": "LOADLINE_POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "LOADLINE_POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
    ]
