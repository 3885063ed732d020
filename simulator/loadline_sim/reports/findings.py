"""
All figures and sentences of a report, computed once from a recording.

`found_in` turns a recording into `Findings`, from which the HTML page, the summary and the
benchmark's results are written, so that they can't differ. `figures` has the arithmetic; this
module chooses the part of the run that each figure is about:

- *observed*: the first act, in which Loadline sets nothing;
- *enforced*: from the second act to the release, stress and faults included (trips are
  counted to the end, because a release must be safe too);
- *uncapped*: the same arrivals with the same seed, replayed without caps, over the whole run;
- latencies are compared outside the acts that stop a component or overload the row.
"""

from dataclasses import dataclass, replace

import numpy as np

from loadline_sim.arrays import Floats
from loadline_sim.plant.recordings import Act, Recording, Requests
from loadline_sim.reports import figures
from loadline_sim.reports.checks import Check
from loadline_sim.reports.figures import Excursion, Slowdown, Span, Strain
from loadline_sim.reports.plots import Line
from loadline_sim.reports.promises import LATENCY_ACTS, checks_of, took_s
from loadline_sim.reports.runs import RowFacts, Run

STRESS, ENFORCE, POLICY, RELEASE = "stress", "enforce", "policy", "release"


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """The time series of the plots; `thresholds` are in watts."""

    t_s: Floats
    row_watts: Floats
    uncapped_t_s: Floats
    uncapped_watts: Floats
    high_mhz: Floats
    low_mhz: Floats
    heat: Floats
    uncapped_heat: Floats
    thresholds: tuple[Line, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The requests of one priority outside the acts with faults or stress, beside their uncapped replay.

    `enforced` are those of them that arrived while Loadline enforced.
    """

    priority: str
    services: str
    slowdown: Slowdown
    enforced: Slowdown
    first_token: Slowdown
    latency_s: Floats
    uncapped_s: Floats

    def ratios_at(self, quantiles: Floats) -> Floats:
        """Capped ÷ uncapped latency at each of the quantiles."""
        return figures.quantile_ratios(self.latency_s, uncapped_s=self.uncapped_s, quantiles=quantiles)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActFinding:
    """One act: the load on the breaker, the lowest mean clocks (MHz), and the latencies.

    `high` and `low` are the requests of each priority that arrived in the act, with or without faults.
    """

    number: int
    title: str
    start_s: float
    end_s: float
    detail: str
    strain: Strain
    uncapped: Strain
    high_mhz: float
    low_mhz: float
    high: Slowdown
    low: Slowdown


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """A run's report in numbers. Excursions are of the enforced row's true watts above its budget.

    `counted_acts` are those in which requests of `groups` arrived, for an act may have none.
    """

    run: Run
    series: Series
    observed: Strain
    enforced: Strain
    uncapped: Strain
    excursions: tuple[Excursion, ...]
    groups: tuple[Group, ...]
    counted_acts: tuple[int, ...]
    acts: tuple[ActFinding, ...]
    checks: tuple[Check, ...]

    @property
    def row(self) -> RowFacts:
        return self.run.row

    @property
    def reaction_p99_s(self) -> float:
        """99th percentile of the reactions, in seconds; NaN without any."""
        return figures.percentiles(self.reactions_s, (99,))[0]

    @property
    def reactions_s(self) -> Floats:
        """The duration of each reaction, in seconds."""
        return took_s(self.run)


def found_in(recording: Recording, run: Run) -> Findings:
    """The findings of a recording, which must have acts and a baseline."""
    baseline = recording.baseline
    if baseline is None or len(recording.acts) < 2:
        raise ValueError("recording has no baseline or no acts: add both before reporting it")
    acts = tuple(
        _act(number, act, recording=recording, baseline=baseline)
        for number, act in enumerate(recording.acts, 1)
    )
    end_s = float(recording.t_s[-1])
    from_s = recording.acts[1].start_s
    until_s = next((act.start_s for act in recording.acts if act.name == RELEASE), end_s)
    trips = _strain(recording, (from_s, end_s)).trips
    enforced = replace(_strain(recording, (from_s, until_s)), trips=trips)
    excursions = tuple(
        one
        for one in figures.excursions(recording.t_s, recording.row_watts, level=recording.budget_watts)
        if from_s < one.end_s and one.start_s < until_s
    )
    groups = _groups(recording, baseline.requests)
    by_name = {made.name: act.uncapped for act, made in zip(acts, recording.acts, strict=True)}
    return Findings(
        run=run,
        series=_series(recording, baseline),
        observed=acts[0].strain,
        enforced=enforced,
        uncapped=_strain(baseline, (float(baseline.t_s[0]), end_s)),
        excursions=excursions,
        groups=groups,
        counted_acts=tuple(
            act.number
            for act, made in zip(acts, recording.acts, strict=True)
            if made.name in LATENCY_ACTS and act.high.requests + act.low.requests
        ),
        acts=acts,
        checks=checks_of(
            run,
            observed=acts[0].strain,
            stress=by_name.get(STRESS),
            enforced=enforced,
            excursions=excursions,
            slowdowns={group.priority: group.slowdown for group in groups},
        ),
    )


def _strain(recording: Recording, span: Span) -> Strain:
    """The load on a recorded row's breaker in a span, starting from the heat that it had then."""
    before = max(int(np.searchsorted(recording.t_s, span[0])) - 1, 0)
    return figures.strain(
        recording.t_s,
        recording.row_watts,
        budget_watts=recording.budget_watts,
        curve=recording.meta.curve,
        span=span,
        heat=float(recording.heat[before]) if before else 0.0,
    )


def _act(number: int, act: Act, *, recording: Recording, baseline: Recording) -> ActFinding:
    span = (act.start_s, act.end_s)
    within = figures.inside(recording.t_s, (span,))
    return ActFinding(
        number=number,
        title=act.title,
        start_s=act.start_s,
        end_s=act.end_s,
        detail=act.detail,
        strain=_strain(recording, span),
        uncapped=_strain(baseline, span),
        high_mhz=_least(recording.high_clock_mhz[within]),
        low_mhz=_least(recording.low_clock_mhz[within]),
        high=_arrived(recording.requests, baseline.requests, span=span, priority="high"),
        low=_arrived(recording.requests, baseline.requests, span=span, priority="low"),
    )


def _arrived(requests: Requests, baseline: Requests, *, span: Span, priority: str) -> Slowdown:
    """The requests of a priority that arrived from a span's start to before its end."""
    chosen = (requests.arrival_s >= span[0]) & (requests.arrival_s < span[1])
    chosen &= np.array(requests.priority) == priority
    return figures.slowdown(requests.latency_s[chosen], baseline.latency_s[chosen])


def _least(values: Floats) -> float:
    return float(values.min()) if values.size else float("nan")


def _series(recording: Recording, baseline: Recording) -> Series:
    return Series(
        t_s=recording.t_s,
        row_watts=recording.row_watts,
        uncapped_t_s=baseline.t_s,
        uncapped_watts=baseline.row_watts,
        high_mhz=recording.high_clock_mhz,
        low_mhz=recording.low_clock_mhz,
        heat=recording.heat,
        uncapped_heat=baseline.heat,
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


def _groups(recording: Recording, baseline: Requests) -> tuple[Group, ...]:
    """High priority first. A request counts if in both runs it was not in flight in an act with a fault."""
    requests = recording.requests
    spans = [(act.start_s, act.end_s) for act in recording.acts if act.name not in LATENCY_ACTS]
    calm = [(act.start_s, act.end_s) for act in recording.acts if act.name in (ENFORCE, POLICY)]
    counts = figures.untouched(requests.arrival_s, requests.latency_s, spans=spans)
    counts &= figures.untouched(baseline.arrival_s, baseline.latency_s, spans=spans)
    in_calm = figures.inside(requests.arrival_s, calm)
    priorities = np.array(requests.priority)
    groups = []
    for priority in ("high", "low"):
        chosen = counts & (priorities == priority)
        services = sorted(set(np.array(requests.service)[priorities == priority].tolist()))
        groups.append(
            Group(
                priority=priority,
                services=", ".join(services),
                slowdown=figures.slowdown(requests.latency_s[chosen], baseline.latency_s[chosen]),
                enforced=figures.slowdown(
                    requests.latency_s[chosen & in_calm], baseline.latency_s[chosen & in_calm]
                ),
                first_token=figures.slowdown(requests.ttft_s[chosen], baseline.ttft_s[chosen]),
                latency_s=requests.latency_s[chosen],
                uncapped_s=baseline.latency_s[chosen],
            )
        )
    return tuple(groups)
