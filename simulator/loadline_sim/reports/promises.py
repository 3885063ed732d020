"""
The demo's checks, promises and timings, with their goals.

Benchmark results contain the checks' names, so the names don't change when the code does.
`findings` chooses the part of the run of each figure, and `checks` compares a value with a
goal; this module lists which figure has which goal, and finds for each excursion the
reaction time that it may last.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from loadline_sim.arrays import Floats
from loadline_sim.plant.reactions import Reaction
from loadline_sim.reports import figures
from loadline_sim.reports.checks import Check, check
from loadline_sim.reports.figures import Excursion, Slowdown, Strain
from loadline_sim.reports.runs import Run

REACTION_GOAL_S = 1.0
"""The demo's goal, from the moment the sensors cross a threshold until the last limit is read back."""

_RATIO_GOALS = (("high", "hp", 1.01, 1.05), ("low", "lp", 1.05, 1.5))
_MEASURED_GOALS = (
    ("limits_left_after_release", "=", 0.0, False),
    ("policy_edit_s", "≤", 2.0, True),
    ("cores_busy", "≤", 1.6, True),
    ("minutes", "<", 12.0, True),
)
"""What a run measures beside its recording: name, operator, goal, and whether it is a timing."""


def checks_of(
    run: Run,
    *,
    observed: Strain,
    stress: Strain | None,
    enforced: Strain,
    excursions: Sequence[Excursion],
    slowdowns: Mapping[str, Slowdown],
) -> tuple[Check, ...]:
    """All of the demo's checks; `slowdowns` are by priority, `stress` is of the uncapped row."""
    worst_s, allowed_s = _worst(excursions, run.reactions)
    checks = [
        check("observe_brakes", observed.brakes, operator="≥", goal=1),
        check("observe_stress_trips", None if stress is None else stress.trips, operator="≥", goal=1),
        check("enforce_trips", enforced.trips, operator="=", goal=0),
        check("enforce_seconds_above_budget", worst_s, operator="≤", goal=allowed_s),
        check(
            "reaction_p99_s",
            figures.percentiles(took_s(run), (99,))[0],
            operator="<",
            goal=REACTION_GOAL_S,
            timing=True,
        ),
    ]
    for priority, short, p50_goal, p99_goal in _RATIO_GOALS:
        slowdown = slowdowns[priority]
        ratios = {"p50": (slowdown.p50_ratio, p50_goal), "p99": (slowdown.p99_ratio, p99_goal)}
        checks += [
            check(f"{short}_{name}_ratio", ratio, operator="≤", goal=goal, timing=True)
            for name, (ratio, goal) in ratios.items()
        ]
    missing = "only the live demo measures it" if run.kind == "virtual" else "this run did not measure it"
    checks += [
        check(name, run.measured.get(name), operator=operator, goal=goal, missing=missing, timing=timing)
        for name, operator, goal, timing in _MEASURED_GOALS
    ]
    return tuple(checks)


def _worst(excursions: Sequence[Excursion], reactions: Sequence[Reaction]) -> tuple[float, float]:
    """The excursion that exceeds its allowed time most, or comes nearest to it: its time and the allowed."""
    pairs = [(one.duration_s, _allowed_s(one, reactions)) for one in excursions]
    seconds, allowed_s = max(pairs, key=lambda pair: pair[0] - pair[1], default=(0.0, REACTION_GOAL_S))
    return seconds, allowed_s


def _allowed_s(excursion: Excursion, reactions: Sequence[Reaction]) -> float:
    """How long an excursion may last: the longest reaction under way during it, else the goal."""
    under_way = [
        one.took_s
        for one in reactions
        if one.at_s <= excursion.end_s and one.at_s + one.took_s >= excursion.start_s
    ]
    return max(under_way, default=REACTION_GOAL_S)


def took_s(run: Run) -> Floats:
    """The duration of each reaction of a run, in seconds."""
    return np.array([one.took_s for one in run.reactions])


LATENCY_ACTS = frozenset({"observe", "enforce", "policy", "release"})
"""Acts whose requests count for the latency ratios: all but those with a fault and the stress."""
