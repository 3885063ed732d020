"""
Whether an object has all that a manifest says, as the API server would see it.

What a plan compares with. Pure: no request is sent.
"""

from collections.abc import Mapping
from typing import Any

from loadline_api.quantities import amount


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
    value = amount(wanted)
    return value is not None and value == amount(observed)
