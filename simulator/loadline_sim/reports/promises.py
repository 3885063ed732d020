"""
What the demo promises and how fast it should be, and the goal of each.

The names are those of the benchmark's results, so they don't change when the code does.
What a figure is about is decided in `findings`, how a goal is judged in `checks`; here
the two meet, and each excursion meets the reaction that it is measured against.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from loadline_sim.plant.reactions import Reaction
from loadline_sim.reports import figures
from loadline_sim.reports.checks import Check, check
from loadline_sim.reports.figures import Excursion, Floats, Slowdown, Strain
from loadline_sim.reports.runs import Run

REACTION_GOAL_S = 1.0
"""The demo's promise: from the sensors' crossing to the last limit read back."""

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
    """All of the demo's checks; `slowdowns` are by priority, `stress` is the uncapped row's."""
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
    missing = "only the live demo can measure it" if run.kind == "virtual" else "not measured in this run"
    checks += [
        check(name, run.measured.get(name), operator=operator, goal=goal, missing=missing, timing=timing)
        for name, operator, goal, timing in _MEASURED_GOALS
    ]
    return tuple(checks)


def _worst(excursions: Sequence[Excursion], reactions: Sequence[Reaction]) -> tuple[float, float]:
    """The excursion that outlasted its reaction the most, or came nearest to it: its seconds, the allowed."""
    pairs = [(one.duration_s, _allowed_s(one, reactions)) for one in excursions]
    seconds, allowed_s = max(pairs, key=lambda pair: pair[0] - pair[1], default=(0.0, REACTION_GOAL_S))
    return seconds, allowed_s


def _allowed_s(excursion: Excursion, reactions: Sequence[Reaction]) -> float:
    """The longest reaction under way during an excursion; the goal where none was recorded."""
    under_way = [
        one.took_s
        for one in reactions
        if one.at_s <= excursion.end_s and one.at_s + one.took_s >= excursion.start_s
    ]
    return max(under_way, default=REACTION_GOAL_S)


def took_s(run: Run) -> Floats:
    return np.array([one.took_s for one in run.reactions])


LATENCY_ACTS = frozenset({"observe", "enforce", "policy", "release"})
"""Acts whose requests count for the latency ratios: all but the broken ones and the stress."""
