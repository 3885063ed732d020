"""
Whether an object has all that a manifest says, as the API server would see it.

What a plan compares with. Pure: no request is sent, and of the Kubernetes client only its
reading of quantities is used, so that `1000m` is `1`.
"""

from collections.abc import Mapping
from typing import Any

from kubernetes.utils.quantity import parse_quantity


def holds(wanted: Any, observed: Any) -> bool:
    """Whether `observed` has everything that `wanted` says; what else it has is somebody else's.

    Lists must be as long, since an apply owns a list's entries; amounts compare as the API
    server does (`1000m` is `1`), and what is empty equals what is absent.
    """
    if isinstance(wanted, Mapping):
        there = observed if isinstance(observed, Mapping) else {}
        return all(holds(value, there.get(key)) for key, value in wanted.items())
    if isinstance(wanted, list):
        entries = observed if isinstance(observed, list) else []
        return len(wanted) == len(entries) and all(map(holds, wanted, entries))
    return wanted == observed or (not wanted and not observed) or _same_amount(wanted, observed)


def _same_amount(wanted: object, observed: object) -> bool:
    if not (isinstance(wanted, str | int) and isinstance(observed, str | int)):
        return False
    try:
        same = parse_quantity(wanted) == parse_quantity(observed)  # type: ignore[no-untyped-call]
    except ValueError:
        return False
    return bool(same)
