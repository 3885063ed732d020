"""
Which policy document is in force for one loop of one service, as far as its agent knows.

The rule is the operator's, who reports it in the service's status (docs/designs/0010): the document that the
service names, else the loop's default, is looked for in the service's own namespace, where that may have
policies, then in the system namespace. A document that can't be used, and a name that leads nowhere, take
nothing out of force. The agent keeps the texts, since it is the agent that acts by them: the operator keeps
hashes.

Pure: `service_policies` brings the documents.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from loadline_agent.kube.clients import Object
from loadline_agent.kube.object_parsers import policy_text
from loadline_api.names import POLICY_LABEL, default_policy
from loadline_policies.documents import ServiceDocument, built_in, parse
from loadline_policies.errors import InvalidPolicy
from loadline_policies.loops import OF_WORKERS, Loop


@dataclass(frozen=True, slots=True)
class InForce:
    """A policy in force: the ConfigMap (`namespace/name`) and its text, both empty where it is built in."""

    document: ServiceDocument
    key: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Documents:
    """The ConfigMaps of all places: those that can be used, in their last good version, and what is wrong."""

    good: Mapping[str, InForce]
    refused: Mapping[str, str]


def policy_in(thing: Object) -> InForce:
    """The policy in a ConfigMap; InvalidPolicy if it can't be used."""
    text, metadata = policy_text(thing), thing["metadata"]
    loop = (metadata.get("labels") or {}).get(POLICY_LABEL)
    return InForce(document_in(text, loop), f"{metadata['namespace']}/{metadata['name']}", text)


@lru_cache(maxsize=128)
def document_in(text: str, loop: str) -> ServiceDocument:
    """The document in a text; InvalidPolicy if it can't be used, or isn't of that loop of workers."""
    if loop not in OF_WORKERS:
        raise InvalidPolicy(POLICY_LABEL, loop, fix=f"set the label to one of {', '.join(OF_WORKERS)}")
    document = parse(text, Loop(loop))
    assert isinstance(document, ServiceDocument)
    return document


def chosen(
    loop: Loop, name: str | None, *, places: Sequence[str], documents: Documents, before: InForce | None
) -> InForce:
    """What is in force for a loop of a service that names a policy, or None for the loop's default.

    `before` is what was in force before, None if that isn't known.
    """
    refused = False
    for place in places:
        key = f"{place}/{name or default_policy(loop)}"
        found = documents.good.get(key)
        if found is not None and found.document.loop is loop:
            return found
        if key in documents.refused:
            refused = True
            if before is not None and before.key == key:
                return before
    if before is None or (not refused and name is None):
        return InForce(built_in(loop))
    now = documents.good.get(before.key)
    return now if now is not None and now.document.loop is loop else before
