"""
The demo's checks, each with its value, its goal and whether it passed.

A failed check gives its reason. A check that this kind of run can't measure (a virtual row
uses no cores) says so, and counts neither as passed nor as failed. The report,
`summary.json` and the benchmark's results contain the same checks.

Promises must hold on any machine: no trip, no limit left behind. Timings depend on what else the
machine does, so a timing that misses its goal is reported with the machine's load, and doesn't fail
the run.
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
    """One value and its goal.

    `ok` is None if this run couldn't measure it; `reason` says why `ok` is not True. `timing` marks a
    value that a busy machine makes worse; all others are promises.
    """

    name: str
    value: float | None
    goal: str
    ok: bool | None
    reason: str = ""
    timing: bool = False


def check(
    name: str,
    value: float | None,
    *,
    operator: str,
    goal: float,
    missing: str = "",
    timing: bool = False,
) -> Check:
    """Compare `value` with `goal`; without a value the check is not measured, for the reason `missing`."""
    shown = f"{operator} {goal:g}"
    if value is None or math.isnan(value):
        reason = missing or "the run has no data for it"
        return Check(name=name, value=None, goal=shown, ok=None, reason=reason, timing=timing)
    ok = _OPERATORS[operator](value, goal)
    reason = "" if ok else f"{value:.4g} is not {operator} {goal:g}"
    return Check(name=name, value=value, goal=shown, ok=ok, reason=reason, timing=timing)


def kept(checks: tuple[Check, ...]) -> bool:
    """Whether no promise was broken."""
    return not broken(checks)


def broken(checks: tuple[Check, ...]) -> tuple[Check, ...]:
    """The promises that were broken."""
    return tuple(one for one in checks if one.ok is False and not one.timing)


def late(checks: tuple[Check, ...]) -> tuple[Check, ...]:
    """The timings that missed their goals."""
    return tuple(one for one in checks if one.ok is False and one.timing)
