"""
Everything a report says, found once in a recording.

`found_in` turns a recording into `Findings`: plain numbers and sentences, one place for
each, from which page, summary and benchmark results are all written. The arithmetic is
in `figures`; here is only which stretch of the run each figure is about:

- *observed*: the first act, in which nothing is touched;
- *enforced*: from the second act to the end, stress and faults included;
- *uncapped*: the same arrivals and seed replayed without caps, over all of the run;
- latencies are compared outside the acts that injure something or overload the row.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from loadline_sim.reports import figures
from loadline_sim.reports.checks import Check, check
from loadline_sim.reports.figures import Excursion, Floats, Slowdown, Span, Strain
from loadline_sim.reports.plots import Line
from loadline_sim.reports.sources import Act, Fact, Recording, RowFacts, Run

REACTION_GOAL_S = 1.0
"""The demo's promise: from the sensors' crossing to the last limit read back."""

OBSERVE, STRESS = "observe", "stress"
INJURED = (4, 7)
"""The first and the last act whose requests don't count in the latencies."""

_RATIO_GOALS = (("high", "hp", 1.01, 1.05), ("low", "lp", 1.05, 1.5))
_MEASURED_GOALS = (
    ("limits_left_after_release", "=", 0.0),
    ("policy_edit_s", "≤", 2.0),
    ("cores_busy", "≤", 1.6),
    ("minutes", "<", 12.0),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """What is drawn over time; `thresholds` are in watts."""

    t_s: Floats
    row_watts: Floats
    uncapped_watts: Floats
    high_mhz: Floats
    low_mhz: Floats
    heat: Floats
    uncapped_heat: Floats
    thresholds: tuple[Line, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The requests of one priority outside the injured acts, beside their uncapped replay."""

    priority: str
    services: str
    slowdown: Slowdown
    first_token: Slowdown
    latency_s: Floats
    uncapped_s: Floats

    def ratios_at(self, quantiles: Floats) -> Floats:
        """Capped ÷ uncapped latency at each of the quantiles."""
        return figures.quantile_ratios(self.latency_s, self.uncapped_s, quantiles)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActFinding:
    """What happened in an act, and what it cost; clocks are the lowest means."""

    number: int
    title: str
    start_s: float
    end_s: float
    detail: str
    strain: Strain
    uncapped: Strain
    high_mhz: float
    low_mhz: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """A run's report in numbers. Excursions are of the enforced row's true watts above its budget."""

    run: Run
    series: Series
    observed: Strain
    enforced: Strain
    uncapped: Strain
    excursions: tuple[Excursion, ...]
    groups: tuple[Group, ...]
    acts: tuple[ActFinding, ...]
    checks: tuple[Check, ...]

    @property
    def row(self) -> RowFacts:
        """The row that was recorded."""
        return self.run.row

    @property
    def reaction_p99_s(self) -> float:
        """99th percentile of the reactions, in seconds; NaN without any."""
        return figures.percentiles(np.array(self.run.reactions_s), (99,))[0]


def found_in(recording: Recording, run: Run) -> Findings:
    """All that is to be said of a recording."""
    acts = tuple(_act(number, act, recording, run.row) for number, act in enumerate(recording.acts, 1))
    whole = (float(recording.t_s[0]), float(recording.t_s[-1]))
    enforced_span = (recording.acts[1].start_s, whole[1])
    observed = acts[0].strain
    enforced = _strain(recording, recording.row_watts, enforced_span, run.row)
    excursions = tuple(
        one
        for one in figures.excursions(recording.t_s, recording.row_watts, recording.budget_watts)
        if one.end_s > enforced_span[0]
    )
    groups = _groups(recording)
    stress = next((act.uncapped for act, made in zip(acts, recording.acts, strict=True) if made.name == STRESS), None)
    return Findings(
        run=run,
        series=_series(recording),
        observed=observed,
        enforced=enforced,
        uncapped=_strain(recording, recording.baseline.row_watts, whole, run.row),
        excursions=excursions,
        groups=groups,
        acts=acts,
        checks=_checks(run, observed, stress, enforced, excursions, groups),
    )


def _strain(recording: Recording, watts: Floats, span: Span, row: RowFacts, heat: float = 0.0) -> Strain:
    return figures.strain(
        recording.t_s, watts, budget_watts=recording.budget_watts, curve=row.curve, span=span, heat=heat
    )


def _act(number: int, act: Act, recording: Recording, row: RowFacts) -> ActFinding:
    span = (act.start_s, act.end_s)
    within = figures.inside(recording.t_s, (span,))
    return ActFinding(
        number=number,
        title=act.title,
        start_s=act.start_s,
        end_s=act.end_s,
        detail=act.detail,
        strain=_strain(recording, recording.row_watts, span, row, _at(recording, recording.heat, act.start_s)),
        uncapped=_strain(
            recording,
            recording.baseline.row_watts,
            span,
            row,
            _at(recording, recording.baseline.heat, act.start_s),
        ),
        high_mhz=_least(recording.high_clock_mhz[within]),
        low_mhz=_least(recording.low_clock_mhz[within]),
    )


def _at(recording: Recording, values: Floats, at_s: float) -> float:
    """The value of a series just before a time."""
    return float(values[max(int(np.searchsorted(recording.t_s, at_s)) - 1, 0)])


def _least(values: Floats) -> float:
    return float(values.min()) if values.size else float("nan")


def _series(recording: Recording) -> Series:
    return Series(
        t_s=recording.t_s,
        row_watts=recording.row_watts,
        uncapped_watts=recording.baseline.row_watts,
        high_mhz=recording.high_clock_mhz,
        low_mhz=recording.low_clock_mhz,
        heat=recording.heat,
        uncapped_heat=recording.baseline.heat,
        thresholds=_threshold_lines(recording),
    )


def _threshold_lines(recording: Recording) -> tuple[Line, ...]:
    end_s = float(recording.t_s[-1])
    starts = [start_s for start_s, _, _ in recording.thresholds]
    spans = list(zip(starts, [*starts[1:], end_s], strict=True))
    return tuple(
        Line(span=span, level=share * recording.budget_watts)
        for span, (_, *shares) in zip(spans, recording.thresholds, strict=True)
        for share in shares
    )


def _groups(recording: Recording) -> tuple[Group, ...]:
    """High priority first. A request counts if it was untouched by the injured acts in both runs."""
    requests, baseline = recording.requests, recording.baseline.requests
    first, last = INJURED
    spans = [(act.start_s, act.end_s) for act in recording.acts[first - 1 : last]]
    counts = figures.untouched(requests.arrival_s, requests.latency_s, spans)
    counts &= figures.untouched(baseline.arrival_s, baseline.latency_s, spans)
    counts &= requests.arrival_s >= recording.acts[1].start_s
    priorities = np.array(requests.priority)
    groups = []
    for priority in ("high", "low"):
        chosen = counts & (priorities == priority)
        services = sorted({name for name, one in zip(requests.service, priorities == priority, strict=True) if one})
        groups.append(
            Group(
                priority=priority,
                services=", ".join(services),
                slowdown=figures.slowdown(requests.latency_s[chosen], baseline.latency_s[chosen]),
                first_token=figures.slowdown(requests.ttft_s[chosen], baseline.ttft_s[chosen]),
                latency_s=requests.latency_s[chosen],
                uncapped_s=baseline.latency_s[chosen],
            )
        )
    return tuple(groups)


def _checks(
    run: Run,
    observed: Strain,
    stress: Strain | None,
    enforced: Strain,
    excursions: Sequence[Excursion],
    groups: Sequence[Group],
) -> tuple[Check, ...]:
    """The demo's checks, in the order of its issue."""
    reactions = np.array(run.reactions_s)
    longest_s = max((one.duration_s for one in excursions), default=0.0)
    allowed_s = float(reactions.max()) if reactions.size else REACTION_GOAL_S
    checks = [
        check("observe_brakes", observed.brakes, "≥", 1),
        check("observe_stress_trips", None if stress is None else stress.trips, "≥", 1),
        check("enforce_trips", enforced.trips, "=", 0),
        check("enforce_seconds_above_budget", longest_s, "≤", round(allowed_s, 3)),
        check("reaction_p99_s", figures.percentiles(reactions, (99,))[0], "<", REACTION_GOAL_S),
    ]
    by_priority = {group.priority: group.slowdown for group in groups}
    for priority, short, p50_goal, p99_goal in _RATIO_GOALS:
        slowdown = by_priority[priority]
        checks.append(check(f"{short}_p50_ratio", slowdown.p50_ratio, "≤", p50_goal))
        checks.append(check(f"{short}_p99_ratio", slowdown.p99_ratio, "≤", p99_goal))
    measured = dict(run.measured)
    missing = "wall-clock figure: the live demo measures it" if run.kind == "virtual" else "not measured in this run"
    checks += [
        check(name, measured.get(name), operator, goal, missing=missing)
        for name, operator, goal in _MEASURED_GOALS
    ]
    return tuple(checks)


def facts(*pairs: tuple[str, str]) -> tuple[Fact, ...]:
    """Facts from pairs of name and text."""
    return tuple(Fact(name, text) for name, text in pairs)
