"""
Whether statuses are true and attaching takes nothing away, by other people's manifests, mistakes and texts.

The tables are those of the tests, played as they are, on a real API server with Kubernetes' own
controllers and the real operator; only longer: every text is written through every condition, and for
ten minutes no sentence may change while some fifty mistakes stand. A case of somebody else's bug is held
when all tests that `truth_cases.toml` names for it pass.

    python -m benchmarks.truth [--flaps-s 600]

Takes some twenty minutes. Writes benchmarks/results/truth.json, unless flaps were looked for less long.
"""

import os
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

from benchmarks.result_files import (
    RESULTS,
    Check,
    at_least,
    at_most,
    destination,
    finish,
    holds,
    none,
    parser,
    report,
)

ROOT: Final = Path(__file__).parents[1]
RESULT: Final = RESULTS / "truth.json"
JUNIT: Final = ROOT / "build" / "truth"
FLAPS_S: Final = 600.0
MOST_S: Final = 3600.0

CASES: Final[dict[str, list[str]]] = tomllib.loads(
    (ROOT / "benchmarks" / "truth_cases.toml").read_text("utf-8")
)["cases"]
"""The tests of each case."""

MANIFESTS: Final = (
    "tests/cluster/operator/test_bad_services.py",
    "tests/cluster/operator/test_service_faults.py",
    "tests/cluster/operator/test_odd_objects.py",
)
"""Bad and odd manifests, each with the words or the reason that it is to get."""

COUNTS: Final = ("tests/cluster/operator/test_counts_unasked.py",)
TEXTS: Final = ("tests/cluster/operator/test_odd_texts.py",)
LEAST_MANIFESTS, LEAST_STEPS, LEAST_TEXTS = 150, 60, 500


@dataclass(slots=True)
class Played:
    """What came of some tests: by name whether each passed, and the figures that they recorded."""

    passed: dict[str, bool] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)

    @property
    def failed(self) -> list[str]:
        """The tests that didn't pass, a skipped one among them: nothing was seen by it."""
        return [name for name, passed in self.passed.items() if not passed]


def main() -> int:
    """Play, print, write; 1 if a check wasn't kept."""
    options = parser("benchmarks.truth", __doc__)
    options.add_argument("--flaps-s", type=float, default=FLAPS_S, metavar="S", help="default: %(default)g")
    asked = options.parse_args()
    kept = destination(RESULT, writes=asked.flaps_s >= FLAPS_S and not asked.dirty)
    manifests = _play("manifests", MANIFESTS, LOADLINE_FLAPS_S=str(asked.flaps_s))
    counts = _play("counts", COUNTS)
    texts = _play("texts", TEXTS, LOADLINE_EVERY_CONDITION="1")
    named = sorted({test for tests in CASES.values() for test in tests})
    cases = held(CASES, _play("cases", named))
    document = _report(cases, manifests=manifests, counts=counts, texts=texts, flaps_s=asked.flaps_s)
    return finish(document, kept)


def _play(name: str, tests: Sequence[str], **environment: str) -> Played:
    """Have pytest run these tests, and read what it wrote of them."""
    print(f"== {name}: {len(tests)} files or tests", file=sys.stderr, flush=True)
    JUNIT.mkdir(parents=True, exist_ok=True)
    file = JUNIT / f"{name}.xml"
    file.unlink(missing_ok=True)
    written = ("-o", "junit_family=xunit1", f"--junitxml={file}")  # the newer form holds no recorded figures
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *written, *tests]
    subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, stdout=sys.stderr, timeout=MOST_S, check=False
    )
    played = Played()
    for case in ElementTree.parse(file).iter("testcase"):
        path = case.attrib["classname"].replace(".", "/")
        passed = all(case.find(outcome) is None for outcome in ("failure", "error", "skipped"))
        played.passed[f"{path}.py::{case.attrib['name']}"] = passed
        for one in case.iter("property"):
            played.figures[one.attrib["name"]] = float(one.attrib["value"])
    return played


def held(cases: Mapping[str, Sequence[str]], played: Played) -> dict[str, bool]:
    """Each case, and whether all of its tests passed; a name that no test has is a case that isn't held."""
    outcome = {}
    for case, tests in cases.items():
        found = [[passed for name, passed in played.passed.items() if _names(test, name)] for test in tests]
        outcome[case] = bool(found) and all(one and all(one) for one in found)
    return outcome


def _names(test: str, name: str) -> bool:
    """Whether a node id is the one that was named, a row of its table, or in the file that was."""
    return name == test or name.startswith((f"{test}[", f"{test}::"))


def _report(
    cases: dict[str, bool], *, manifests: Played, counts: Played, texts: Played, flaps_s: float
) -> dict[str, Any]:
    missed = [name for name, so in cases.items() if not so]
    checks: tuple[Check, ...] = (
        holds("cases_held", value=bool(cases) and not missed, reason=f"not held: {', '.join(missed)}"),
        at_least("cases", len(cases), goal=1, reason="no case was named"),
        at_most(
            "counts_changed_unasked",
            counts.figures.get("changed"),
            goal=0,
            reason="counts moved, though nobody asked",
        ),
        at_least(
            "count_steps", counts.figures.get("steps"), goal=LEAST_STEPS, reason="too few steps were taken"
        ),
        none("status_writes_refused", len(texts.failed), reason=f"refused: {', '.join(texts.failed)}"),
        at_least("texts", texts.figures.get("texts"), goal=LEAST_TEXTS, reason="too few texts were written"),
        at_most(
            "flaps_10min",
            manifests.figures.get("flaps"),
            goal=0,
            reason="sentences changed, though nothing had",
        ),
        none("wrong_reasons", len(manifests.failed), reason=f"wrong: {', '.join(manifests.failed)}"),
        at_least(
            "manifests", len(manifests.passed), goal=LEAST_MANIFESTS, reason="too few manifests were tried"
        ),
    )
    return report(
        "truth",
        inputs={"flaps_s": flaps_s, "cases": len(cases), "manifests": len(manifests.passed)},
        seeds=[],
        results={
            "cases": dict(sorted(cases.items())),
            "figures": {**counts.figures, **texts.figures, **manifests.figures},
        },
        checks=checks,
    )


if __name__ == "__main__":
    sys.exit(main())
