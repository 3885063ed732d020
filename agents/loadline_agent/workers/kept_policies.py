"""
The policies that were in force for services, in a file, for an agent that is restarted.

An agent that starts while the API server is away, or while a document can't be used, goes on with what was in
force. A file that can't be read is no memory: the loops then are what is built in.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from loadline_agent import private_files
from loadline_agent.workers.policy_choices import InForce, document_in
from loadline_policies.documents import built_in
from loadline_policies.errors import InvalidPolicy
from loadline_policies.loops import OF_WORKERS, Loop

FILE: Final = "worker-policies.json"

MOST_SERVICES: Final = 64
"""Services whose policies are kept, those that reported last. Chosen: more than a node has."""

Policies = Mapping[Loop, InForce]


class _Kept(BaseModel):
    """A policy's ConfigMap and its text, both empty for the one that is built in."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    key: str
    text: str


class _File(BaseModel):
    """For each service (`namespace/name`) and each of its loops, the policy that was in force."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    services: dict[str, dict[str, _Kept]] = {}


def recall(state_dir: Path) -> dict[str, Policies]:
    """What was kept, without what this version can't use; nothing if there is no usable file."""
    try:
        kept = _File.model_validate_json((state_dir / FILE).read_text())
    except (OSError, ValidationError, UnicodeDecodeError):
        return {}
    return {service: _usable(loops) for service, loops in kept.services.items()}


def keep(state_dir: Path, services: Mapping[str, Policies]) -> None:
    """Replace what was kept, as a whole; OSError when the directory can't be written."""
    content = _File(
        services={
            service: {
                loop.value: _Kept(key=policy.key, text=policy.text) for loop, policy in policies.items()
            }
            for service, policies in services.items()
        }
    )
    private_files.replace(state_dir / FILE, content.model_dump_json())


def _usable(loops: Mapping[str, _Kept]) -> Policies:
    found: dict[Loop, InForce] = {}
    for loop in OF_WORKERS:
        kept = loops.get(loop.value)
        if kept is None:
            continue
        try:
            document = document_in(kept.text, loop.value) if kept.key else built_in(loop)
        except InvalidPolicy:  # another version of the agent took it
            continue
        found[loop] = InForce(document, kept.key, kept.text)
    return found
