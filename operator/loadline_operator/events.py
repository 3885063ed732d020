"""
Kubernetes Events: the changes of state that a person should meet in `kubectl describe`.

One constructor each, all reasons here. The name is made of what happened to which
version of the object, so the same thing told twice, by a restarted operator say, is
one Event.
"""

import hashlib
from datetime import datetime

from loadline_api.conditions import timestamp
from loadline_api.names import OPERATOR_ACCOUNT
from loadline_api.reasons import Reason
from loadline_api.visible_texts import told
from loadline_operator.kube.kinds import (
    CONFIG_MAPS,
    EVENTS,
    INFERENCE_SERVICES,
    POWER_DOMAINS,
    Key,
    Kind,
    Manifest,
)

MOST_MESSAGE_BYTES = 1024
"""The API server refuses a longer message."""


def policy_invalid(document: Key, *, uid: str, version: str, fault: str, now: datetime) -> Manifest:
    """A policy document was refused; what it says and how to fix it is in `fault`."""
    text = f"{fault}; the last good policy stays in force"
    return _event(
        CONFIG_MAPS, document, uid=uid, version=version, reason=Reason.POLICY_INVALID, text=text, now=now
    )


def policy_fixed(document: Key, *, uid: str, version: str, hash: str, now: datetime) -> Manifest:
    """A policy document that was refused is good again."""
    text = f"the policy can be parsed again and is in force as {hash}"
    return _event(
        CONFIG_MAPS, document, uid=uid, version=version, reason=Reason.PARSED, text=text, now=now, warns=False
    )


def domain_refused(
    domain: Key, *, uid: str, generation: int, reason: str, text: str, now: datetime
) -> Manifest:
    """A power domain can't be kept as declared."""
    return _event(POWER_DOMAINS, domain, uid=uid, version=f"{generation}", reason=reason, text=text, now=now)


def status_stale(domain: Key, *, uid: str, time: str, text: str, now: datetime) -> Manifest:
    """Nobody keeps a power domain's status any more; `time` is that of its last word."""
    return _event(
        POWER_DOMAINS, domain, uid=uid, version=time, reason=Reason.NOT_REFRESHED, text=text, now=now
    )


def service_failing(
    service: Key, *, uid: str, version: str, reason: str, text: str, now: datetime
) -> Manifest:
    """A service that was ready, or on its way, has begun to fail; `version` tells this time from others."""
    return _event(INFERENCE_SERVICES, service, uid=uid, version=version, reason=reason, text=text, now=now)


def _event(
    kind: Kind,
    about: Key,
    *,
    uid: str,
    version: str,
    reason: str,
    text: str,
    now: datetime,
    warns: bool = True,
) -> Manifest:
    digest = hashlib.sha256("/".join((uid, version, str(reason))).encode()).hexdigest()[:16]
    time = timestamp(now)
    return {
        **EVENTS.manifest(Key(about.namespace or "default", f"{about.name[:200]}.{digest}")),
        "involvedObject": {
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            "name": about.name,
            "uid": uid,
            **({"namespace": about.namespace} if about.namespace else {}),
        },
        "type": "Warning" if warns else "Normal",
        "reason": str(reason),
        "message": told(text, most_bytes=MOST_MESSAGE_BYTES),
        "source": {"component": OPERATOR_ACCOUNT},
        "firstTimestamp": time,
        "lastTimestamp": time,
        "count": 1,
    }
