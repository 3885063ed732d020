"""
What bursts cost: how many more servers requests need as they come than if each came independently.

One fleet is played several kinds of requests, faster and faster, until too many miss their objectives; and
then the same requests as a Poisson process. If it carries five a second of the latter and four of the former,
a fleet for the former needs a quarter more servers. The range is that of engines whose steps are faster or
slower by the error of their model, the same for both.

A request may take as long as the objectives say, or twice as long as it takes alone on the idle fleet,
whichever is more: no number of servers could do better for a prompt that is long by itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from loadline_policies.errors import InvalidInput
from loadline_sim.capacity.questions import Design
from loadline_sim.progress import Progress
from loadline_sim.studies import burst_searches, searches, traffics
from loadline_sim.studies.bisections import rate_of
from loadline_sim.studies.burst_searches import BISECTION, Fleet, Latencies, Once, SpeedSearch
from loadline_sim.studies.traffics import Burstiness, Traffic
from loadline_sim.traffic.traces import Trace

ALONE_FACTOR: Final = 2.0
"""How many times as long as alone a request may take at least; chosen."""

MOST_WINDOWS: Final = 360

LEAST_REQUESTS: Final = 100
"""Below, a percentile says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The fleet, and the most seconds to the first token and per further one for so many of the requests."""

    fleet: Fleet
    ttft_s: float
    tpot_s: float
    share: float
    seed: int

    def __post_init__(self) -> None:
        for name, most_s in (("ttft-ms", self.ttft_s), ("tpot-ms", self.tpot_s)):
            if not 0.0 < most_s < np.inf:
                raise InvalidInput(name, most_s * 1e3, fix="give a time above zero")
        if not 0.0 < self.share <= 1.0:
            raise InvalidInput("share", self.share, fix="give a share above 0, up to 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """Requests with the name that the user gave, and what was done to them."""

    name: str
    trace: Trace
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """Requests as they come, or independently: rates that the fleet carries, with steps as measured, faster
    and slower; None where not even the slowest was kept.

    `compared` is the outcome at the rate at which it just carries the independent ones, `per_s` the requests
    a second of each window of so many seconds, at the trace's own speed.
    """

    burstiness: Burstiness
    window_s: float
    per_s: tuple[float, ...]
    rates: tuple[float | None, float | None, float | None]
    compared: Latencies | None

    @property
    def rate(self) -> float | None:
        """With steps as measured."""
        return self.rates[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one kind of requests needs. `rate` is its own, in requests a second; `long_share` of the requests
    may take more than the objectives say, since they are long by themselves."""

    name: str
    notes: tuple[str, ...]
    requests: int
    rate: float
    long_share: float
    coming: Played
    independent: Played

    @property
    def servers(self) -> tuple[float | None, float | None, float | None]:
        """Servers over those for independent requests: as measured, and the range's lowest and highest."""
        pairs = zip(self.independent.rates, self.coming.rates, strict=True)
        found = [None if one is None or other is None else one / other for one, other in pairs]
        known = [one for one in found if one is not None]
        whole = len(known) == len(found)
        return found[0], (min(known) if whole else None), (max(known) if whole else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """All that was found."""

    settings: Settings
    design: Design
    costs: tuple[Cost, ...]
    simulated: int


def run(
    settings: Settings,
    named: Sequence[Named],
    file: Path,
    *,
    jobs: int,
    resume: bool = True,
    progress: Progress,
) -> Study:
    """Run what `file` hasn't of the study; requests are written beside it for other processes."""
    design, folder = settings.fleet.design, file.parent
    names, long = [], []
    for place, one in enumerate(named):
        progress("serving each request alone", place / len(named))
        _check(one)
        traffic, share = _bounded(one.trace, design, settings)
        names.append(traffics.kept(traffic, folder))
        long.append(share)
    progress("serving each request alone", 1.0)
    wanted = [
        _search(settings, name, independent=independent, pace=pace, folder=folder)
        for name in names
        for independent in (False, True)
        for pace in _paces(design)
    ]
    found = searches.finished(wanted, Latencies, file, jobs=jobs, resume=resume, progress=progress)
    places = {
        search: BISECTION.found(search.held(outcomes)) for search, outcomes in zip(wanted, found, strict=True)
    }
    compared = _compared(settings, names, places, file, jobs=jobs)
    return Study(
        settings=settings,
        design=design,
        costs=tuple(
            _cost(settings, one, (name, share), places, compared)
            for one, name, share in zip(named, names, long, strict=True)
        ),
        simulated=sum(len(one) for one in found),
    )


def _window_s(trace: Trace) -> float:
    """Ten seconds, or longer windows where they would be too many to show."""
    return max(traffics.WINDOW_S, float(trace.arrival_s[-1]) / MOST_WINDOWS)


def _per_s(trace: Trace) -> tuple[float, ...]:
    """Requests a second of each whole window."""
    window_s, end_s = _window_s(trace), float(trace.arrival_s[-1])
    edges_s = window_s * np.arange(int(end_s / window_s) + 1)
    return tuple((np.histogram(trace.arrival_s, edges_s)[0] / window_s).tolist()) if edges_s.size > 1 else ()


def _check(one: Named) -> None:
    if len(one.trace) < LEAST_REQUESTS:
        fix = f"{one.name} has so few; give {LEAST_REQUESTS} or more, or more hours"
        raise InvalidInput("requests", len(one.trace), fix=fix)
    if not one.trace.arrival_s[-1] > 0.0:
        raise InvalidInput("trace", one.name, fix="all of its requests come at once; give times")


def _bounded(trace: Trace, design: Design, settings: Settings) -> tuple[Traffic, float]:
    """Requests with what each may take, and the share of those that may take more for being long."""
    nothing = np.zeros(len(trace))
    ttft_s, tpot_s = burst_searches.alone(Traffic(trace, nothing, nothing), design)
    most_ttft_s = np.maximum(settings.ttft_s, ALONE_FACTOR * ttft_s)
    most_tpot_s = np.maximum(settings.tpot_s, ALONE_FACTOR * np.nan_to_num(tpot_s, nan=0.0))
    share = float(np.mean((most_ttft_s > settings.ttft_s) | (most_tpot_s > settings.tpot_s)))
    return Traffic(trace, most_ttft_s, most_tpot_s), share


def _paces(design: Design) -> tuple[float, float, float]:
    error = design.engine.step_error
    return 1.0, round(1.0 - error, 6), round(1.0 + error, 6)


def _search(settings: Settings, name: str, *, independent: bool, pace: float, folder: Path) -> SpeedSearch:
    return SpeedSearch(
        fleet=settings.fleet,
        requests=name,
        independent=independent,
        pace=pace,
        share=settings.share,
        seed=settings.seed,
        folder=str(folder),
    )


def _compared(  # noqa: PLR0917
    settings: Settings,
    names: Sequence[str],
    places: Mapping[SpeedSearch, int | None],
    file: Path,
    *,
    jobs: int,
) -> dict[tuple[str, bool], Latencies]:
    """Both at the speed at which the independent requests are just carried."""
    wanted = {}
    for name in names:
        for independent in (True, False):
            search = _search(settings, name, independent=independent, pace=1.0, folder=file.parent)
            place = places[search.model_copy(update={"independent": True})]
            if place is not None:
                wanted[name, independent] = Once(search=search, place=place)
    found = searches.finished(list(wanted.values()), Latencies, file, jobs=min(jobs, max(1, len(wanted))))
    return {key: next(iter(one.values())) for key, one in zip(wanted, found, strict=True)}


def _cost(  # noqa: PLR0917
    settings: Settings,
    one: Named,
    kept: tuple[str, float],
    places: Mapping[SpeedSearch, int | None],
    compared: Mapping[tuple[str, bool], Latencies],
) -> Cost:
    name, long_share = kept
    own = len(one.trace) / float(one.trace.arrival_s[-1])
    nothing = np.zeros(len(one.trace))
    traffic = Traffic(one.trace, nothing, nothing)
    played = []
    for independent in (False, True):
        found = [
            place
            for search, place in places.items()
            if (search.requests, search.independent) == (name, independent)
        ]
        rates = [None if place is None else own * rate_of(place) for place in found]
        trace = traffic.independent(settings.seed).trace if independent else one.trace
        played.append(
            Played(
                burstiness=traffics.burstiness(trace),
                window_s=_window_s(trace),
                per_s=_per_s(trace),
                rates=(rates[0], rates[1], rates[2]),
                compared=compared.get((name, independent)),
            )
        )
    return Cost(
        name=one.name,
        notes=one.notes,
        requests=len(one.trace),
        rate=own,
        long_share=long_share,
        coming=played[0],
        independent=played[1],
    )
