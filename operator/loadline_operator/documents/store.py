"""
Which policy documents there are, which of them parse, and what was good before.

A broken edit must not take a policy out of force, so each document remembers the hash
of its last good version. The operator keeps it in memory only: the coordinator of each
domain holds the policy itself, and PowerDomain's status the hash, so after a restart
with a broken document the condition says what can't be told here any more.

No cluster is spoken to; `handlers` brings the texts and tells others what changed.
"""

from dataclasses import dataclass

from loadline_api.names import POLICY_KEY
from loadline_operator.kinds import Manifest
from loadline_policies.documents import parse_power
from loadline_policies.errors import InvalidPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A policy's ConfigMap: the hash of its last good version, and what is wrong with this one."""

    good_hash: str | None
    policy: str | None
    fault: str | None

    @property
    def valid(self) -> bool:
        """Whether the version at hand is the one in force."""
        return self.fault is None


def read(config_map: Manifest, before: Document | None) -> Document:
    """What the ConfigMap says now; a version that can't be used leaves the last good one."""
    try:
        document = parse_power(_text(config_map))
    except InvalidPolicy as error:
        return Document(
            good_hash=before.good_hash if before is not None else None,
            policy=before.policy if before is not None else None,
            fault=str(error),
        )
    return Document(good_hash=document.hash, policy=document.policy.name, fault=None)


def _text(config_map: Manifest) -> str:
    data = config_map.get("data") or {}
    if POLICY_KEY not in data:
        keys = ", ".join(sorted(data)) or "no key"
        raise InvalidPolicy(POLICY_KEY, None, f"put the document under this key; the ConfigMap has {keys}")
    return str(data[POLICY_KEY])
