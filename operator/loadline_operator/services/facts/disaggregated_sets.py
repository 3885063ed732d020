"""
DisaggregatedSets: LeaderWorkerSets for prefill, decode and other roles, rolled out together.

A set has a count for each role, and takes it from its own spec or, where the role's scaling is
External, from a DisaggregatedSetRoleScaler that its controller makes for the role: that one has the
`/scale`. A service has one count, so it is about one role; the whole set is what serves, so its
health is the set's own word, and all its pods are the service's.

Labels, statuses and names are those of LeaderWorkerSet 0.9 and, for role scalers, of its main branch in
August 2026. What a role's facts make of the workload is in `workload_roles`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from loadline_operator.kube.kinds import Key, Kind, Manifest
from loadline_operator.services.facts.autoscalers import scaled_by
from loadline_operator.services.plugin_presence import configured_in

GROUP, VERSION = "disaggregatedset.x-k8s.io", "v1"
ROLE_SCALERS = Kind(
    group=GROUP,
    version=VERSION,
    plural="disaggregatedsetrolescalers",
    kind="DisaggregatedSetRoleScaler",
)
SET_LABEL, ROLE_LABEL = f"{GROUP}/name", f"{GROUP}/role"
EXTERNAL = "External"
AVAILABLE = "Available"
"""The condition by which a set tells whether all roles serve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """One role of a set. `asked` is None where its scaler says it, the other counts where nobody has told."""

    name: str
    external: bool
    asked: int | None = None
    there: int | None = None
    ready: int | None = None
    updated: int | None = None
    plugin: bool | None = None


def scaler_of(workload: Key, role: str) -> Key:
    """The scaler that the set's controller makes for a role."""
    return Key(workload.namespace, f"{workload.name}-{role}")


def read_set(raw: Manifest) -> dict[str, Any]:
    """What a DisaggregatedSet tells."""
    spec, status = raw["spec"], raw.get("status") or {}
    told = {one["name"]: one for one in status.get("roleStatuses") or ()}
    slices = spec.get("slices", 1)
    return {
        "selector": f"{SET_LABEL}={raw['metadata']['name']}",
        "roles": tuple(
            _role(one, told.get(one["name"]) or {}, slices=slices) for one in spec.get("roles") or ()
        ),
    }


def read_scaler(raw: Manifest) -> dict[str, Any]:
    """What the scaler of a role tells: what is asked for, what is there, and who set it."""
    return {
        "asked": raw["spec"]["replicas"],
        "there": (raw.get("status") or {}).get("replicas"),
        "scaled_by": scaled_by(raw["metadata"]),
    }


def _role(role: Mapping[str, Any], told: Mapping[str, Any], *, slices: int) -> Role:
    spec = role.get("spec") or {}
    external = (role.get("scaling") or {}).get("mode") == EXTERNAL
    template = spec.get("leaderWorkerTemplate") or {}
    return Role(
        name=role["name"],
        external=external,
        asked=None if external else spec.get("replicas", 1) * slices,
        there=told.get("replicas"),
        ready=told.get("readyReplicas"),
        updated=told.get("updatedReplicas"),
        plugin=configured_in(template.get("leaderTemplate") or template.get("workerTemplate") or {}),
    )
