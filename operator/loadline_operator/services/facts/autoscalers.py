"""
Who else sets replicas: autoscalers that aim at a service, and those that aim at what it owns.

`/scale` of the service is the one place to scale it, so that decode and prefill move
together. An autoscaler that sets the replicas of a Deployment of ours instead is not
fought: the manifest leaves `replicas` out, and the condition names it and the fix. A
HorizontalPodAutoscaler is known by what it aims at, any other by the API server's record
of who set a field by `/scale`. A person's kubectl is no autoscaler, and what an HPA set
that is gone by now is history.

An HPA that aims at the service and fails says so in its own status; this hands it on.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from loadline_api.names import INFERENCE_SERVICES, OPERATOR_MANAGER
from loadline_api.reasons import Reason
from loadline_operator.findings import Finding
from loadline_operator.kube.kinds import Key, Kind, Manifest

PERSON = "kubectl"
"""What the names of kubectl's field managers begin with."""

HPA_MANAGER = "kube-controller-manager"
"""The field manager as which HorizontalPodAutoscalers write."""

AT_REST = "ScalingDisabled"
"""An HPA's reason for not scaling what was scaled to zero by hand: no failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What an autoscaler aims at; versions of one group are one API."""

    group: str
    kind: str
    key: Key

    @classmethod
    def of(cls, kind: Kind, key: Key) -> "Target":
        """An object as a target."""
        return cls(group=kind.group, kind=kind.kind, key=key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Autoscaler:
    """A HorizontalPodAutoscaler: what it aims at, and what it says is wrong."""

    key: Key
    target: Target
    failing: str = ""


def autoscaler(raw: Manifest) -> Autoscaler:
    """The fact of a HorizontalPodAutoscaler."""
    key, reference = Key.of(raw), raw["spec"]["scaleTargetRef"]
    target = Target(
        group=reference.get("apiVersion", "").rpartition("/")[0],
        kind=reference["kind"],
        key=Key(key.namespace, reference["name"]),
    )
    return Autoscaler(
        key=key, target=target, failing=_failing((raw.get("status") or {}).get("conditions") or ())
    )


def scaled_by(metadata: Mapping[str, Any]) -> str:
    """Who set an object's replicas last by `/scale`, if that was neither a person nor we."""
    for entry in metadata.get("managedFields") or ():
        manager = str(entry.get("manager", ""))
        if manager == OPERATOR_MANAGER or manager.startswith(PERSON) or entry.get("subresource") != "scale":
            continue
        if "f:replicas" in ((entry.get("fieldsV1") or {}).get("f:spec") or {}):
            return manager
    return ""


def rival(kind: Kind, key: Key, *, manager: str, autoscalers: Iterable[Autoscaler]) -> str:
    """Who scales an object of ours now, as a person would name it; `manager` is who set replicas last."""
    aiming = [one for one in autoscalers if one.target == Target.of(kind, key)]
    if aiming:
        return f"HorizontalPodAutoscaler {aiming[0].key.name}"
    return "" if manager == HPA_MANAGER else manager


def scaling(service: Key, rivals: Mapping[str, str], autoscalers: Iterable[Autoscaler]) -> Finding:
    """Whether the replicas can be moved; `rivals` are others that scale, by what they scale."""
    for what, who in sorted(rivals.items()):
        text = (
            f"{who} scales {what}, and Loadline does not interfere: set its scaleTargetRef to"
            f" {INFERENCE_SERVICES.full_name}/{service.name}, which then scales all pools"
        )
        return Finding(so=False, reason=Reason.OTHER_SCALER, text=text)
    ours = Target(group=INFERENCE_SERVICES.group, kind=INFERENCE_SERVICES.kind, key=service)
    for one in autoscalers:
        if one.target == ours and one.failing:
            text = f"HorizontalPodAutoscaler {one.key.name}: {one.failing}"
            return Finding(so=False, reason=Reason.SCALER_FAILING, text=text)
    return Finding(so=True, reason=Reason.AS_DECLARED, text="the replica count can be set by /scale")


def _failing(conditions: Iterable[Mapping[str, str]]) -> str:
    for one in conditions:
        about = one["type"] in {"AbleToScale", "ScalingActive"} and one["status"] == "False"
        if about and one.get("reason") != AT_REST:
            return one.get("message") or one.get("reason", "")
    return ""
