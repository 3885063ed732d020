"""
The promises of the demo, each with its figure, its goal and whether it was kept.

A check that was missed stays missed and says why; one that this kind of run can't
measure (a virtual row uses no cores) says so and counts neither way. The same rows go
into the report, into `summary.json` and into the benchmark's results.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "≤": lambda value, goal: value <= goal,
    "<": lambda value, goal: value < goal,
    "≥": lambda value, goal: value >= goal,
    "=": lambda value, goal: value == goal,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One promise. `ok` is None where this run couldn't measure it; `reason` says why it is not True."""

    name: str
    value: float | None
    goal: str
    ok: bool | None
    reason: str = ""


def check(name: str, value: float | None, *, operator: str, goal: float, missing: str = "") -> Check:
    """`value` against `goal`; without a value it is not measured, for the reason `missing`."""
    shown = f"{operator} {goal:g}"
    if value is None or math.isnan(value):
        return Check(name=name, value=None, goal=shown, ok=None, reason=missing or "nothing to measure")
    ok = _OPERATORS[operator](value, goal)
    reason = "" if ok else f"{value:.4g} is not {operator} {goal:g}"
    return Check(name=name, value=value, goal=shown, ok=ok, reason=reason)


def kept(checks: tuple[Check, ...]) -> bool:
    """Whether no check was missed."""
    return all(one.ok is not False for one in checks)
