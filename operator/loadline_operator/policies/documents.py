"""
Which policy documents there are, which of them parse, and what was good before.

A broken edit must not take a policy out of force, so each document remembers the hash
of its last good version. The operator keeps it in memory only: the coordinator of each
domain holds the policy itself, and the status of domains and services the hash, so after
a restart with a broken document the condition says what can't be told here any more.

No cluster is spoken to; `handlers` brings the texts and tells others what changed.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

from loadline_api.names import POLICY_KEY, POLICY_LABEL
from loadline_operator.kube.fact_tables import FactTable
from loadline_operator.kube.kinds import Key, Manifest
from loadline_policies import documents
from loadline_policies.errors import InvalidPolicy
from loadline_policies.loops import OF_SERVICES, Loop


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A policy's ConfigMap: its loop, the hash of its last good version, and what is wrong with this one.

    `loop` is None where the label names none.
    """

    loop: Loop | None
    good_hash: str | None
    policy: str | None
    fault: str | None

    @property
    def valid(self) -> bool:
        """Whether the version at hand is the one in force."""
        return self.fault is None


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyIndex:
    """All documents: those of the system namespace, and those of namespaces that may have their own."""

    system_namespace: str
    others: Collection[str] = ()
    system: FactTable[Document] = field(default_factory=FactTable)
    own: FactTable[Document] = field(default_factory=FactTable)

    def table(self, namespace: str) -> FactTable[Document]:
        return self.system if namespace == self.system_namespace else self.own

    def places(self, namespace: str) -> tuple[str, ...]:
        """Where a service of a namespace finds its policies, the first place that has one first."""
        own = (namespace,) if namespace in self.others else ()
        return (*own, self.system_namespace)

    def find(self, loop: Loop, key: Key) -> Document | None:
        """The document of that loop, if there is one."""
        document = self.table(key.namespace).get(key)
        return document if document is not None and document.loop is loop else None

    def all(self) -> list[Document]:
        """Every document, whatever its loop."""
        return [*self.system.facts(), *self.own.facts()]


def read(config_map: Manifest, before: Document | None, *, loops: Collection[Loop] = tuple(Loop)) -> Document:
    """What the ConfigMap says now; a version that can't be used leaves the last good one.

    `loops` are those whose policies may lie where the ConfigMap does.
    """
    loop: Loop | None = None
    try:
        loop = _loop(config_map, loops)
        document = documents.parse(_text(config_map), loop)
    except InvalidPolicy as error:
        kept = before if before is not None and before.loop is loop else None
        return Document(
            loop=loop,
            good_hash=kept.good_hash if kept is not None else None,
            policy=kept.policy if kept is not None else None,
            fault=str(error),
        )
    return Document(loop=loop, good_hash=document.hash, policy=document.policy.name, fault=None)


def _loop(config_map: Manifest, loops: Collection[Loop]) -> Loop:
    told = (config_map["metadata"].get("labels") or {}).get(POLICY_LABEL)
    found = next((loop for loop in loops if loop == told), None)
    if found is not None:
        return found
    if told == Loop.POWER:
        fix = (
            "move the power policy to Loadline's namespace; this namespace may have policies of"
            f" {', '.join(OF_SERVICES)}"
        )
        raise InvalidPolicy(POLICY_LABEL, told, fix=fix)
    raise InvalidPolicy(POLICY_LABEL, told, fix=f"set the label to one of {', '.join(loops)}")


def _text(config_map: Manifest) -> str:
    data = config_map.get("data") or {}
    if POLICY_KEY not in data:
        keys = ", ".join(sorted(data)) or "no key"
        raise InvalidPolicy(
            POLICY_KEY, None, fix=f"put the document under this key; the ConfigMap has {keys}"
        )
    return str(data[POLICY_KEY])
