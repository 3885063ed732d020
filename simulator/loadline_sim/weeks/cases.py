"""
One case of a study: so many servers behind a budget for weeks, under one policy.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from loadline_policies.documents import parse_power
from loadline_policies.models import parameters
from loadline_policies.models.parameters import ServerModel
from loadline_policies.power.safety.breakers import Curve
from loadline_sim.arrays import Floats, Ints
from loadline_sim.plant import hardware
from loadline_sim.plant.tables import queue_of
from loadline_sim.progress import Progress
from loadline_sim.serving.gaps import counted, no_gaps, quantiles
from loadline_sim.weeks import queues, replays, runs
from loadline_sim.weeks.demands import SERVICES, Demand
from loadline_sim.weeks.loads import LoadCount
from loadline_sim.weeks.rows import SECOND_S, RowConfig, SteppedRow
from loadline_sim.weeks.runs import Span, Window

TEN_MINUTES_S: Final = 600
CURVE: Final = Curve(points=((1.05, float("inf")), (1.08, 60.0), (1.30, 40.0)), cooling_s=600.0)
"""The breaker's curve of the demo's row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`document` is a policy document's text. GPUs draw `watts_factor` times what the model says.

    Of the windows with caps those with the highest loads are replayed in ticks of the plant, up to
    `replay_share` of the time.
    """

    title: str
    document: str
    servers: int
    budget_watts: float
    demand: Demand
    watts_factor: float = 1.0
    replay_share: float = 1.0
    reaction_s: int = 1


@dataclass(slots=True)
class Latencies:
    """Of one priority: counts of times to the first token and to the last, in the bins of `serving.gaps`."""

    ttft: Ints = field(default_factory=no_gaps)
    e2e: Ints = field(default_factory=no_gaps)

    def p(self, percent: float) -> tuple[float, float]:
        """Seconds to the first and to the last token that so many percent don't exceed; NaN of none."""
        share = np.array([percent / 100])
        return float(quantiles(self.ttft, share)[0]), float(quantiles(self.e2e, share)[0])


@dataclass(slots=True)
class Replayed:
    """What replays of windows in the plant's ticks showed, beside the same windows by the second.

    `worst_second` is the largest difference of a second's load, `agreed` counts windows in which the policy
    decided on the same levels for the same time.
    """

    windows: int = 0
    seconds: float = 0.0
    agreed: int = 0
    brakes: int = 0
    trips: int = 0
    max_load: float = 0.0
    load_seconds: float = 0.0
    by_second: float = 0.0
    worst_second: float = 0.0

    @property
    def energy_error(self) -> float:
        """How far energy by the second is off that in ticks; NaN where nothing was replayed."""
        return self.by_second / self.load_seconds - 1.0 if self.load_seconds else float("nan")


@dataclass(slots=True)
class Outcome:
    """What became of a case.

    `capped_s` are the seconds in which caps were in force, `levels` the seconds at each level of the policy,
    of which `policy_levels` are all, the strictest last; empty where it has none.
    `means` and `highest` are the row's load of each ten minutes. `latencies` are by priority.
    """

    case: Case
    policy_hash: str
    policy_levels: tuple[str, ...]
    load: LoadCount
    replayed: Replayed = field(default_factory=Replayed)
    levels: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    windows: int = 0
    capped_s: int = 0
    means: list[float] = field(default_factory=list)
    highest: list[float] = field(default_factory=list)
    latencies: dict[str, Latencies] = field(default_factory=lambda: {"high": Latencies(), "low": Latencies()})


def run(case: Case, progress: Progress = lambda what, share: None) -> Outcome:
    """Simulate a case. UnsafeDomain where the budget is too small for its servers at their lowest limits."""
    model = drawing(parameters.load(), case.watts_factor)
    services = services_of(case.servers)
    config = RowConfig(
        is_low=np.array([service != next(iter(SERVICES)) for service in services]),
        budget_watts=case.budget_watts,
        model=model,
        curve=CURVE,
        reaction_s=case.reaction_s,
    )
    document = parse_power(case.document)
    outcome = Outcome(case, document.hash, document.policy.levels, LoadCount(CURVE, SECOND_S))
    orders, row, last_s, origin_s = runs.new_orders(document), None, 0, 0
    for seconds, arrivals in case.demand.spans(services, model):
        progress(case.title, origin_s / case.demand.duration_s)
        queue, _ = queue_of(arrivals, case.servers, model=model)
        servers = hardware.servers_of(case.servers, queue.starts, model=model)
        if row is not None:
            queue, servers = queues.after(row.servers, row.queue, queue, span_s=last_s)
            orders = orders.later(last_s)
        row = SteppedRow(config, queue, servers, tick_s=SECOND_S)
        span = runs.run_span(row, orders, seconds=seconds, origin_s=origin_s)
        outcome.levels = orders.levels
        _count(outcome, span, row)
        outcome.requests += len(arrivals)
        last_s, origin_s = seconds, origin_s + seconds
    progress(case.title, 1.0)
    return outcome


def services_of(servers: int) -> tuple[str, ...]:
    """Which service each server runs: turn and turn about."""
    names = tuple(SERVICES)
    return tuple(names[server % len(names)] for server in range(servers))


def drawing(model: ServerModel, factor: float) -> ServerModel:
    """The model with GPUs that draw so many times as much while they work, idle ones as before."""
    draw = model.watts
    draw = replace(
        draw,
        prefill_shares=tuple(factor * share for share in draw.prefill_shares),
        decode_share=factor * draw.decode_share,
        decode_share_per_slot=factor * draw.decode_share_per_slot,
    )
    return replace(model, watts=draw)


def _count(outcome: Outcome, span: Span, row: SteppedRow) -> None:
    outcome.load.count(span.loads)
    for first in range(0, span.loads.size, TEN_MINUTES_S):
        loads = span.loads[first : first + TEN_MINUTES_S]
        outcome.means.append(float(loads.mean()))
        outcome.highest.append(float(loads.max()))
    server, ttft_s, latency_s = queues.finished(row.servers, row.queue)
    for name, is_mine in (("low", row.config.is_low[server]), ("high", ~row.config.is_low[server])):
        outcome.latencies[name].ttft += counted(ttft_s[is_mine])
        outcome.latencies[name].e2e += counted(latency_s[is_mine])
    outcome.windows += len(span.windows)
    outcome.capped_s += sum(window.end_s - window.start_s for window in span.windows)
    _replay(outcome, _hottest(span.windows, outcome.case.replay_share * span.loads.size), row.config)


def _hottest(windows: Sequence[Window], seconds: float) -> list[Window]:
    """The windows with the highest loads that last for so many seconds together."""
    chosen = []
    for window in sorted(windows, key=lambda one: -float(one.loads.max(initial=0.0))):
        seconds -= window.end_s - window.start_s
        if seconds < 0:
            break
        chosen.append(window)
    return chosen


def _replay(outcome: Outcome, windows: Sequence[Window], config: RowConfig) -> None:
    found = outcome.replayed
    for window in windows:
        replay = replays.replay(config, window)
        load = LoadCount(CURVE, hardware.TICK_S)
        load.count(replay.loads)
        found.windows += 1
        found.seconds += load.seconds
        found.agreed += replay.orders.levels == window.levels
        found.brakes += load.brakes
        found.trips += load.trips
        found.max_load = max(found.max_load, load.max_load)
        found.load_seconds += load.load_seconds
        found.by_second += float(window.loads.sum())
        found.worst_second = max(found.worst_second, _worst(replay.by_second, window.loads))


def _worst(one: Floats, other: Floats) -> float:
    return float(np.abs(one - other).max(initial=0.0))
