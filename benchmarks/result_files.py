"""
How a benchmark reports and ends: a table, a result file, and a status that can fail.

A result says what was measured and on what: name, commit, machine, inputs, seeds,
results, checks. A check without a figure isn't kept; its reason says what was missing.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks import machine
from loadline_sim.reports import runs

RESULTS = Path(__file__).parent / "results"

Result: TypeAlias = float | bool | str | list[Any] | dict[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A figure and its goal; `reason` is said if it wasn't kept."""

    name: str
    value: float | bool | None
    goal: str
    ok: bool
    reason: str


def at_most(name: str, value: float | None, *, goal: float, reason: str) -> Check:
    """A check of a figure that should be small."""
    ok = value is not None and value <= goal
    return Check(name=name, value=value, goal=f"<= {goal:g}", ok=ok, reason=_why(value, reason))


def at_least(name: str, value: float | None, *, goal: float, reason: str) -> Check:
    """A check of a figure that should be large enough."""
    ok = value is not None and value >= goal
    return Check(name=name, value=value, goal=f">= {goal:g}", ok=ok, reason=_why(value, reason))


def above(name: str, value: float | None, *, goal: float, reason: str) -> Check:
    """A check of a figure that shows by being there at all."""
    ok = value is not None and value > goal
    return Check(name=name, value=value, goal=f"> {goal:g}", ok=ok, reason=_why(value, reason))


def near(name: str, value: float | None, *, goal: float, within: float, reason: str) -> Check:
    """A check of a figure that should be what something else says it is."""
    ok = value is not None and abs(value - goal) <= within
    return Check(name=name, value=value, goal=f"{goal:g} ± {within:g}", ok=ok, reason=_why(value, reason))


def none(name: str, count: int, *, reason: str) -> Check:
    """A check of what mustn't happen at all."""
    return Check(name=name, value=count, goal="= 0", ok=count == 0, reason=reason)


def holds(name: str, *, value: bool, reason: str) -> Check:
    """A check of something that is so or isn't."""
    return Check(name=name, value=value, goal="= true", ok=value, reason=reason)


def report(
    name: str,
    *,
    inputs: Mapping[str, Any],
    seeds: Sequence[int],
    results: Mapping[str, Result],
    checks: Sequence[Check],
    commit: str = "",
    on: str = "",
) -> dict[str, Any]:
    """The result file's content, of this commit `on` this machine unless told otherwise."""
    return {
        "name": name,
        "commit": commit or runs.commit(),
        "machine": on or machine(),
        "inputs": dict(inputs),
        "seeds": list(seeds),
        "results": {key: rounded(value) for key, value in results.items()},
        "checks": [
            {
                "name": check.name,
                "value": rounded(check.value),
                "goal": check.goal,
                "ok": check.ok,
                "reason": "" if check.ok else check.reason,
            }
            for check in checks
        ],
    }


def parser(name: str, doc: str | None) -> argparse.ArgumentParser:
    """The options of a benchmark, explained by its module's docstring: the first paragraph, then the rest."""
    summary, _, rest = (doc or "").strip().partition("\n\n")
    return argparse.ArgumentParser(
        prog=f"python -m {name}",
        description=summary,
        epilog=rest,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def finish(document: dict[str, Any], path: Path | None) -> int:
    """Print a report, and write it where a path is told; 1 if a check wasn't kept."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")
    for name, value in document["results"].items():
        rows = value if isinstance(value, list) and value else [value]
        for row in rows:
            print(f"{name:36} {row}")
    for check in document["checks"]:
        print(f"{check['name']:36} {check['value']!s:>10} {check['goal']:>14}  {check['reason'] or 'kept'}")
    return int(not all(check["ok"] for check in document["checks"]))


def rounded(value: Result) -> Result:
    """Figures to four digits behind the point, in lists and tables too."""
    if isinstance(value, bool) or not isinstance(value, float | list | dict):
        return value
    if isinstance(value, list):
        return [rounded(one) for one in value]
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    return round(value, 4)


def _why(value: float | None, reason: str) -> str:
    return "there was no figure" if value is None else reason
