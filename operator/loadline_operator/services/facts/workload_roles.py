"""
The one role of a workload that a service's count is about, where the workload has several.

`workloadRef.role` names it; left out, it is the role called decode, since a service's replicas are
those of its decode pool. Counts and `/scale` are the role's then, all else stays the workload's.
"""

from dataclasses import replace

from loadline_operator.services.facts.disaggregated_sets import ROLE_LABEL, ROLE_SCALERS, SET_LABEL, Role
from loadline_operator.services.facts.foreign_workloads import LWS_LEADERS, ForeignWorkload

DECODE = "decode"


def chosen(there: ForeignWorkload, role: str | None) -> Role | None:
    """The role that a service is about; None where the workload has none of that name."""
    name = role if role is not None else DECODE
    return next((one for one in there.roles if one.name == name), None)


def of_role(there: ForeignWorkload, role: Role, scaler: ForeignWorkload | None) -> ForeignWorkload:
    """The workload with the counts of one role, and the scaler by which they are moved.

    Its uid is the scaler's: another role's count is taken over anew, as another workload's is.
    """
    name = f"{SET_LABEL}={there.key.name},{ROLE_LABEL}={role.name},{LWS_LEADERS}"
    common = replace(
        there,
        role=role.name,
        there=role.there,
        ready=role.ready,
        updated=role.updated,
        counted=name,
        plugin=role.plugin,
    )
    if role.external and scaler is not None:
        return replace(
            common, uid=scaler.uid, asked=scaler.asked, scaler=scaler.key, scaled_by=scaler.scaled_by
        )
    fixed = (
        f"its controller has not created the {ROLE_SCALERS.kind} of role {role.name} yet"
        if role.external
        else f"role {role.name} of {there} takes its replicas from the set's own spec:"
        " set its scaling.mode to External"
    )
    return replace(common, uid=f"{there.uid}/{role.name}", asked=role.asked, fixed=fixed)
