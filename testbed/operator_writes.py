"""
What the operator would write of a PowerDomain, for a bed on which it doesn't run.

So a test or a benchmark says itself who is a member and who may lead. It is written under the operator's
account, since admission lets nobody else.
"""

from collections.abc import Sequence
from typing import Any

from loadline_api import names
from testbed import api_callers
from testbed.cluster.bed import Bed


def lease(domain: str, candidates: Sequence[str]) -> dict[str, Any]:
    """The domain's Lease, which nobody holds yet."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": names.lease_name(domain),
            "labels": {names.DOMAIN_LABEL: domain},
            "annotations": {names.CANDIDATES_ANNOTATION: ",".join(candidates)},
        },
        "spec": {"leaseDurationSeconds": 15},
    }


def enlist(bed: Bed, domain: str, *, members: Sequence[str], candidates: Sequence[str]) -> None:
    """Write the Lease, and who is a member and a candidate into the status."""
    operator = api_callers.caller(bed, names.OPERATOR_ACCOUNT)
    operator.send("POST", names.LEASES.path(namespace=names.SYSTEM_NAMESPACE), body=lease(domain, candidates))
    operator.http.close()
    name(bed, domain, members=members, candidates=candidates)


def name(bed: Bed, domain: str, *, members: Sequence[str], candidates: Sequence[str]) -> None:
    """Write who is a member and a candidate into the status."""
    operator = api_callers.caller(bed, names.OPERATOR_ACCOUNT)
    body = {
        "apiVersion": names.API_VERSION,
        "kind": names.POWER_DOMAINS.kind,
        "status": {"members": list(members), "candidates": list(candidates)},
    }
    operator.apply_status(names.POWER_DOMAINS.path(domain), body, manager=names.OPERATOR_MANAGER)
    operator.http.close()
