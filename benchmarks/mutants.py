"""
Whether the tests notice when a line that a breaker depends on is wrong: such lines, changed one at a time.

Each mutant is one replacement in a copy of the packages; the unit tests of the protocol, the virtual
row and the agent's hardware run against it and must fail. A mutant that they let live is a promise
that nobody watches. `make mutants` prints a table and keeps the result for `make bench-safety`.

    python -m benchmarks.mutants [--jobs 2] [NAME …]
"""

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.result_files import Check, parser
from benchmarks.resumable import finished
from loadline_sim.resumable import Piece, code_hash, done

ROOT: Final = Path(__file__).parents[1]
PROGRESS: Final = ROOT / "build" / "mutants"
SOURCES: Final = ("policies", "crds", "simulator", "agents", "operator")
PACKAGES: Final = (*SOURCES, "testbed", "demos", "benchmarks", "tests")
TESTS: Final = (
    "tests/unit/policies/power",
    "tests/unit/simulator/virtual",
    "tests/component/agents/hardware",
)
CODE: Final = (
    "policies/loadline_policies/power",
    "simulator/loadline_sim/virtual",
    "agents/loadline_agent/hardware",
    "testbed/shaken_rows",
    *TESTS,
)
LEAST, PATIENCE_S = 40, 300.0


@dataclass(frozen=True, slots=True)
class Mutant:
    """A file, what is there once, and what stands there instead."""

    name: str
    file: str
    old: str
    new: str


def _read() -> tuple[Mutant, ...]:
    rows = tomllib.loads((Path(__file__).parent / "mutants.toml").read_text("utf-8"))["mutant"]
    return tuple(Mutant(**row) for row in rows)


MUTANTS: Final = _read()


def main() -> int:
    """Try all mutants, or those named; 1 if one lives."""
    options = parser("benchmarks.mutants", __doc__, writes=False)
    options.add_argument("names", nargs="*", metavar="NAME", help="only mutants whose name has this in it")
    options.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (%(default)s)")
    asked = options.parse_args()
    chosen = [one for one in MUTANTS if not asked.names or any(name in one.name for name in asked.names)]
    pieces = {one.name: (tried, (one,)) for one in chosen}
    results = finished(pieces, _file(), jobs=asked.jobs, said=_say)
    for name, result in sorted(results.items(), key=lambda item: bool(item[1]["killed"])):
        print(f"{'killed' if result['killed'] else 'LIVES':7} {name:55} {result['by']}")
    return int(not all(result["killed"] for result in results.values()))


def tried(mutant: Mutant) -> Piece:
    """What the tests say of one mutant: `by` is the first that fails."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch)
        for name in PACKAGES:
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "results"))
        shutil.copy(ROOT / "pyproject.toml", copy)
        path = copy / mutant.file
        text = path.read_text("utf-8")
        if text.count(mutant.old) != 1:
            raise ValueError(
                f"{mutant.name}: {mutant.old!r} is in {mutant.file} {text.count(mutant.old)} times"
            )
        path.write_text(text.replace(mutant.old, mutant.new), "utf-8")
        return _judged(copy)


def check() -> Check:
    """The check of `bench-safety`: no mutant of this very code has survived."""
    results = {
        name: result for name, result in done(_file()).items() if name in {one.name for one in MUTANTS}
    }
    living = sorted(name for name, result in results.items() if not result["killed"])
    whole = len(results) == len(MUTANTS) >= LEAST
    return Check(
        name="mutants_survived",
        value=len(living) if whole else None,
        goal=f"= 0 of {len(MUTANTS)}",
        ok=whole and not living,
        reason=f"alive: {', '.join(living)}" if whole else "run make mutants on this very code first",
    )


def _judged(copy: Path) -> Piece:
    path = [str(copy / name) for name in SOURCES]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(copy), *path]),
        "HYPOTHESIS_PROFILE": "ci",
    }
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-m", "not slow", *TESTS]
    try:
        ran = subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, text=True, timeout=PATIENCE_S
        )
    except subprocess.TimeoutExpired:
        return {"killed": True, "by": "it hangs"}
    said = [line for line in ran.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return {"killed": ran.returncode != 0, "by": said[0].partition(" - ")[0] if said else ""}


def _file() -> Path:
    return PROGRESS / f"{code_hash(ROOT, CODE)}.jsonl"


def _say(name: str, count: int, of: int) -> None:
    print(f"{count} of {of}: {name}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
