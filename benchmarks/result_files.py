"""
How a benchmark begins, reports and ends: a destination, a table, a result file, and a status that can fail.

A result says what was measured and on what: name, commit, machine, inputs, seeds,
results, checks. A check without a figure isn't kept; its reason says what was missing.

`destination` is asked first: it refuses a checkout with changes (`commits`) before anything is
measured, and `finish` writes only where the checkout is still what it was then.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks import commits, machine

RESULTS = Path(__file__).parent / "results"
ASIDE = Path("build", "results")
"""Folder of the checkout for results whose checkout changed while they were measured."""

REFUSED = 2

LOAD = "load_average_1m"
"""The machine's load average when a report was made, beside the results."""

Result: TypeAlias = float | bool | str | list[Any] | dict[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where a result is written, and the commit that it is of.

    `root` is the checkout; None where there is none, and the commit was named by hand.
    """

    path: Path
    commit: str
    root: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A figure and its goal; `reason` is reported if it wasn't kept.

    A `timing` is what a busy machine makes worse: one that misses its goal is reported and fails no run.
    """

    name: str
    value: float | bool | None
    goal: str
    ok: bool
    reason: str
    timing: bool = False


def took(name: str, value: float | None, *, goal: float, reason: str) -> Check:
    """A check of a time, or of a cost in time."""
    return replace(at_most(name, value, goal=goal, reason=reason), timing=True)


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


def none(name: str, count: int | None, *, reason: str) -> Check:
    """A check of what mustn't happen at all."""
    return all_of(name, count, of=0, reason=reason)


def all_of(name: str, count: int | None, *, of: int, reason: str) -> Check:
    """A check of how many there are, which must be as many as there could be."""
    return Check(name=name, value=count, goal=f"= {of}", ok=count == of, reason=_why(count, reason))


def holds(name: str, *, value: bool, reason: str) -> Check:
    """A check of something that is so or isn't."""
    return Check(name=name, value=value, goal="= true", ok=value, reason=reason)


def destination(
    path: Path, *, writes: bool, commit: str | None = None, root: Path = commits.ROOT
) -> Destination | None:
    """Where a run that writes its results does so; None for one that is dirty, or less than the full run.

    Ends the process with status 2 where the checkout has changes that no commit holds. A `commit` that
    is named by hand counts only where no checkout can be asked.
    """
    if not writes:
        return None
    if commit and not (root / ".git").exists():
        return Destination(path=path, commit=commit, root=None)
    try:
        return Destination(path=path, commit=commits.of_checkout(root), root=root)
    except commits.Uncommitted as error:
        print(f"error: {error}\nhint: {error.hint}", file=sys.stderr)
        raise SystemExit(REFUSED) from error


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
    """The result file's content, measured `on` this machine unless told otherwise.

    `commit` is the one of figures that were measured earlier; `finish` fills in the destination's.
    """
    return {
        "name": name,
        "commit": commit,
        "machine": on or machine(),
        "inputs": dict(inputs),
        "seeds": list(seeds),
        "results": {
            **{key: rounded(value) for key, value in results.items()},
            LOAD: round(os.getloadavg()[0], 2),
        },
        "checks": [
            {
                "name": check.name,
                "value": rounded(check.value),
                "goal": check.goal,
                "ok": check.ok,
                "reason": "" if check.ok else check.reason,
                **({"timing": True} if check.timing else {}),
            }
            for check in checks
        ],
    }


def parser(name: str, doc: str | None, *, writes: bool = True) -> argparse.ArgumentParser:
    """The options of a benchmark, explained by its module's docstring: the first paragraph, then the rest."""
    summary, _, rest = (doc or "").strip().partition("\n\n")
    options = argparse.ArgumentParser(
        prog=f"python -m {name}",
        description=summary,
        epilog=rest,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if writes:
        options.add_argument(
            "--dirty", action="store_true", help="measure changes that no commit holds, and write no result"
        )
    return options


def finish(document: dict[str, Any], destination: Destination | None) -> int:
    """Print a report, and write it where there is a destination; the exit status.

    1 if a promise wasn't kept, 2 if the checkout changed while it was measured. Timings count neither way.
    """
    changed = destination is not None and not _written(document, destination)
    for name, value in document["results"].items():
        rows = value if isinstance(value, list) and value else [value]
        for row in rows:
            print(f"{name:36} {row}")
    load = document["results"].get(LOAD)
    for check in document["checks"]:
        said = check["reason"] or "kept"
        if not check["ok"] and check.get("timing"):
            said = f"a timing, at a load of {load} on {os.cpu_count()} cores: {said}"
        print(f"{check['name']:36} {check['value']!s:>10} {check['goal']:>14}  {said}")
    kept = all(check["ok"] or check.get("timing") for check in document["checks"])
    return REFUSED if changed else int(not kept)


def rounded(value: Result) -> Result:
    """Figures to four digits behind the point, in lists and tables too."""
    if isinstance(value, bool) or not isinstance(value, float | list | dict):
        return value
    if isinstance(value, list):
        return [rounded(one) for one in value]
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    return round(value, 4)


def _written(document: dict[str, Any], destination: Destination) -> bool:
    """Write the document; False where it went aside, since the checkout changed while it was measured."""
    document["commit"] = document["commit"] or destination.commit
    change = _change(destination)
    path = destination.path
    if change and destination.root is not None:
        path = destination.root / ASIDE / path.name
        print(f"error: {change}\nhint: measure again; these figures are in {path}", file=sys.stderr)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")
    return not change


def _change(destination: Destination) -> str:
    """What the checkout has that it hadn't when the measurement began; empty if nothing."""
    if destination.root is None:
        return ""
    try:
        now = commits.of_checkout(destination.root)
    except commits.Uncommitted as error:
        return f"while this was measured: {error}"
    before = destination.commit
    return "" if now == before else f"the checkout was at {before} when this began, and is at {now} now"


def _why(value: float | None, reason: str) -> str:
    return "there was no figure" if value is None else reason
