"""
Whether a row keeps its promises in a world more hostile than the real one: schedules by the thousand.

Rows of the product's own protocol are shaken in virtual time (`testbed.shaken_rows`): at random, by
an adversary that chooses its moment, and beyond what can be held. A judge goes by true watts and true
heat. Then old faults are planted in the product again, one at a time, and the same search must find
each: a bench that can't proves nothing. What was found is shrunk and written beside the progress.

    python -m benchmarks.safety [--random 20000] [--adaptive 500] [--beyond 1000] [--jobs 2]

It goes on where another run of the same code ended (build/safety), so that --minutes cuts a long
run into several. Writes benchmarks/results/safety.json, unless it was told less than the full run;
what wasn't reached fails its check. `make mutants` first, or its check has no figure.
"""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import mutants
from benchmarks.result_files import RESULTS, Check, destination, finish, none, parser, report
from benchmarks.resumable import finished
from loadline_sim.resumable import Piece, code_hash
from testbed.shaken_rows.adversaries import KNOWN, Attack, against, climb
from testbed.shaken_rows.generators import drawn, overwhelmed
from testbed.shaken_rows.planted_faults import FAULTS
from testbed.shaken_rows.schedules import Outcome, Schedule, played, shrunk

ROOT = Path(__file__).parents[1]
RESULT, PROGRESS = RESULTS / "safety.json", ROOT / "build" / "safety"
CODE = ("policies/loadline_policies/power", "simulator/loadline_sim/virtual", "testbed/shaken_rows")
RANDOM, ADAPTIVE, BEYOND = 20_000, 500, 1_000
CHUNK, CLIMB = 50, 10
PLANTED_SEEDS, PLANTED_RANDOM, PLANTED_CLIMBS = 8, 1_000, 10
"""How long a planted fault is searched for before it counts as missed."""

PROMISES = {"trips": "S2", "s1_violations": "S1", "raised_at_a_deadline": "no raise at a deadline"}
UNSAID, MEMBERS = "said when unholdable", "its own members alone"
COUNTED = frozenset({*PROMISES.values(), UNSAID, MEMBERS})
"""Promises that have a check of their own."""

Search = Callable[[], Iterator[Outcome]]

KEPT = "the schedules are in build/safety"


def main() -> int:
    """Search, print, write; 1 if a goal was missed."""
    asked = _arguments().parse_args()
    whole = asked.random >= RANDOM and asked.adaptive >= ADAPTIVE and asked.beyond >= BEYOND
    kept = destination(RESULT, writes=whole and not asked.dirty)
    pieces = {
        **{f"planted {name}": (planted_fault, (name,)) for name in FAULTS},
        **{f"adaptive {seed}": (adaptive_schedules, (seed,)) for seed in range(asked.adaptive // CLIMB)},
        **_chunks("beyond", asked.beyond, beyond_schedules),
        **_chunks("random", asked.random, random_schedules),
    }
    file = PROGRESS / f"{code_hash(ROOT, CODE)}.jsonl"
    most_s = 60.0 * asked.minutes if asked.minutes else None
    done = finished(pieces, file, jobs=asked.jobs, said=_Said(), most_s=most_s)
    for name, piece in done.items():
        _keep(name, piece)
    return finish(_report(done), kept)


def random_schedules(first: int, last: int) -> Piece:
    return _sum(played(drawn(seed)) for seed in range(first, last))


def beyond_schedules(first: int, last: int) -> Piece:
    """Rows that no plan can hold."""
    return _sum(played(overwhelmed(seed)) for seed in range(first, last))


def adaptive_schedules(seed: int) -> Piece:
    """One search of the adversary's."""
    return _sum(climb(seed, CLIMB))


def planted_fault(name: str) -> Piece:
    """How many schedules it takes to find a planted fault; none if they don't."""
    tried = 0
    known: Iterable[Search] = (partial(_attack, one, seed) for seed in range(PLANTED_SEEDS) for one in KNOWN)
    at_random: Iterable[Search] = (partial(_one, seed) for seed in range(PLANTED_RANDOM))
    climbing: Iterable[Search] = (partial(climb, seed, CLIMB) for seed in range(PLANTED_CLIMBS))
    for search in (*known, *at_random, *climbing):
        outcomes: list[Outcome] = []
        try:
            with FAULTS[name].planted():
                outcomes.extend(search())
        except Exception:  # a planted fault may break anything
            return {"found": True, "schedules": tried + len(outcomes) + 1, "by": "an exception"}
        for outcome in outcomes:
            tried += 1
            if promises := _broken_by_it(outcome):
                return {"found": True, "schedules": tried, "by": ", ".join(promises)}
    return {"found": False, "schedules": tried, "by": ""}


def _broken_by_it(outcome: Outcome) -> list[str]:
    """The promises that a schedule broke under a planted fault and keeps without it."""
    if not outcome.breaches:
        return []
    without = {breach.promise for breach in played(outcome.schedule).breaches}
    return sorted({breach.promise for breach in outcome.breaches} - without)


def _one(seed: int) -> Iterator[Outcome]:
    yield played(drawn(seed))


def _attack(attack: Attack, seed: int) -> Iterator[Outcome]:
    yield against(attack.rules, seed=seed, delay_s=attack.delay_s)


def _sum(outcomes: Iterable[Outcome]) -> Piece:
    broken: list[dict[str, Any]] = []
    counts: Counter[str] = Counter()
    hottest, virtual_s = 0.0, 0.0
    for outcome in outcomes:
        counts["schedules"] += 1
        counts["beyond"] += outcome.beyond_s is not None
        counts["unholdable"] += outcome.unholdable_s > 5.0
        hottest, virtual_s = max(hottest, outcome.most_heat), virtual_s + outcome.virtual_s
        for breach in outcome.breaches:
            schedule = outcome.schedule.text()
            broken.append({"promise": breach.promise, "text": breach.text, "schedule": schedule})
    return {**counts, "hottest": hottest, "virtual_s": virtual_s, "broken": broken}


def _report(done: dict[str, Piece]) -> dict[str, Any]:
    kinds = {kind: _of(kind, done) for kind in ("random", "adaptive", "beyond")}
    counts = {kind: sum(one.get("schedules", 0) for one in pieces) for kind, pieces in kinds.items()}
    searched = [one for pieces in kinds.values() for one in pieces]
    broken = Counter(breach["promise"] for one in searched for breach in one["broken"])
    unholdable = sum(one.get("unholdable", 0) for one in kinds["beyond"])
    planted = {name.removeprefix("planted "): one for name, one in done.items() if name.startswith("planted")}
    missed = sorted(name for name, one in planted.items() if not one["found"])
    others = {promise: count for promise, count in broken.items() if promise not in COUNTED}
    return report(
        "safety",
        inputs={"code": code_hash(ROOT, CODE), "reaction": "k nodes outside the plan, or held at the lowest"},
        seeds=[0, counts["random"]],
        results={
            "virtual_hours": sum(one["virtual_s"] for one in searched) / 3600,
            "left_their_fault_budget": sum(one.get("beyond", 0) for one in searched),
            "hottest_at_random": max((one["hottest"] for one in kinds["random"]), default=None),
            "hottest_by_the_adversary": max((one["hottest"] for one in kinds["adaptive"]), default=None),
            "unholdable_schedules": unholdable,
            "planted": {name: _found(one) for name, one in planted.items()},
        },
        checks=[
            _at_least("random_schedules", counts["random"], RANDOM),
            _at_least("adaptive_schedules", counts["adaptive"], ADAPTIVE),
            *(none(name, broken[promise], reason=KEPT) for name, promise in PROMISES.items()),
            _at_least("beyond_schedules", unholdable, BEYOND),
            none("unholdable_unsaid", broken[UNSAID], reason=KEPT),
            none("foreign_members", broken[MEMBERS], reason=KEPT),
            none(
                "other_promises_broken", sum(others.values()), reason=f"{', '.join(sorted(others))}: {KEPT}"
            ),
            _at_least("bench_finds", len(planted) - len(missed), len(FAULTS), reason=_missed(missed)),
            mutants.check(),
        ],
    )


def _of(kind: str, done: dict[str, Piece]) -> list[Piece]:
    return [piece for name, piece in done.items() if name.startswith(f"{kind} ")]


def _missed(names: list[str]) -> str:
    return f"missed: {', '.join(names)}"


def _found(piece: Piece) -> str:
    return f"{piece['schedules']} schedules: {piece['by'] or 'missed'}"


def _at_least(name: str, value: int, goal: int, *, reason: str = "the run was cut short") -> Check:
    return Check(name=name, value=value, goal=f">= {goal}", ok=value >= goal, reason=reason)


def _chunks(kind: str, count: int, function: Callable[..., Piece]) -> dict[str, Any]:
    starts = range(0, count, CHUNK)
    return {f"{kind} {first}": (function, (first, min(first + CHUNK, count))) for first in starts}


def _keep(name: str, piece: Piece) -> None:
    """Write what broke a promise, shrunk, once."""
    for number, breach in enumerate(piece.get("broken", ())):
        file = PROGRESS / f"{name} {number} {breach['promise']}.json"
        if not file.exists():
            schedule = shrunk(Schedule.read(breach["schedule"]), breach["promise"])
            file.write_text(schedule.text() + "\n", "utf-8")


def _arguments() -> argparse.ArgumentParser:
    options = parser("benchmarks.safety", __doc__)
    for option, default, what in (
        ("--random", RANDOM, "schedules at random"),
        ("--adaptive", ADAPTIVE, "schedules by the adversary"),
        ("--beyond", BEYOND + BEYOND // 2, "rows beyond what can be held"),
        ("--jobs", os.cpu_count() or 1, "processes side by side"),
        ("--minutes", 0, "begin nothing more after so many, and report what is done; 0 for no end"),
    ):
        options.add_argument(option, type=int, default=default, help=f"{what} (%(default)s)")
    return options


class _Said:
    """Tells how far it is, every few seconds, and how long the rest may take."""

    def __init__(self) -> None:
        self._begun_s = self._said_s = time.monotonic()
        self._first: int | None = None

    def __call__(self, name: str, count: int, of: int) -> None:
        now = time.monotonic()
        self._first = count - 1 if self._first is None else self._first
        if now - self._said_s > 10.0 or count == of:
            self._said_s = now
            left_s = (now - self._begun_s) / max(1, count - self._first) * (of - count)
            print(f"{count} of {of} pieces, about {left_s / 60:.0f} min left ({name})", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
