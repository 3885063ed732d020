"""Label selectors of workloads, as text: agents read them from statuses, and match equal labels only."""

from collections.abc import Mapping
from typing import Any


def written(selector: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """A label selector as text, and those of its parts that are more than an equality."""
    parts = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    written = [_expression(one) for one in selector.get("matchExpressions") or ()]
    return ",".join([*parts, *written]), tuple(one for one in written if "=" not in one)


def _expression(one: Mapping[str, Any]) -> str:
    key, values = one["key"], one.get("values") or []
    if one["operator"] == "In" and len(values) == 1:
        return f"{key}={values[0]}"
    if one["operator"] in ("In", "NotIn"):
        return f"{key} {one['operator'].lower()} ({','.join(values)})"
    return str(key) if one["operator"] == "Exists" else f"!{key}"
