"""
What Splitwise's designs carry: the iso-power and the iso-cost tables, simulated again with their range.

Each design is searched for the highest rate at which all nine objectives hold, with its steps as they were
measured, and with the steps of each kind of GPU faster and slower by the mean error of their model. Ratios
of two designs take both from the same world: where A100 are slower, the baseline's are too. What an idle
A100 takes, by which objectives are defined, stays as it was measured.

Each design is also run on the other service's requests, to see what is lost when the workload changes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Final

import numpy as np

from loadline_policies.errors import InvalidInput
from loadline_sim.progress import Progress
from loadline_sim.serving.splitwise_fleets import Dgx, fleet, step_error
from loadline_sim.studies import searches, slowdowns, splitwise_designs
from loadline_sim.studies.bisections import place_of, rate_of
from loadline_sim.studies.slowdowns import Objective
from loadline_sim.studies.splitwise_designs import BUDGETS, SERVICES, Budget, Design, Service
from loadline_sim.studies.splitwise_searches import RateSearch, Slowdowns, held, requests

World = tuple[int, int]
"""Whether the steps of A100 and of H100 are as measured (0), faster (-1) or slower (1) by their error."""

AS_MEASURED: Final[World] = (0, 0)
CORNERS: Final[tuple[World, ...]] = ((-1, -1), (-1, 1), (1, -1), (1, 1))
GPUS: Final = ("A100", "H100")

FIRST_GUESS: Final = {True: 0.6, False: 0.25}
"""Of the rate at which its prompts alone would keep a design busy, by whether prompts are apart; chosen from
runs, and only saves some simulations."""

MOST_MINUTES: Final = 60.0
MOST_RATE: Final = 2000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is asked: which tables and services, requests of how many minutes, between which rates."""

    budgets: tuple[Budget, ...] = BUDGETS
    services: tuple[Service, ...] = SERVICES
    minutes: float = 2.0
    lowest: float = 1.0
    highest: float = 500.0
    seed: int = 1

    def __post_init__(self) -> None:
        if not 0.0 < self.minutes <= MOST_MINUTES:
            raise InvalidInput("minutes", self.minutes, fix=f"give a number above 0, up to {MOST_MINUTES:g}")
        if not 0.01 <= self.lowest < self.highest <= MOST_RATE:
            fix = f"give two rates from 0.01 to {MOST_RATE:g}, the lower one first"
            raise InvalidInput("rates", f"{self.lowest:g}:{self.highest:g}", fix=fix)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One rate, its slowdowns, and the worst of them over its objective; None where that is unknown."""

    rate: float
    slowdowns: tuple[float | None, ...]
    pressure: float | None
    binding: Objective


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """A design on one service: the highest rate that keeps all objectives, by world; None: not even the
    lowest.

    `at_most` says in which worlds not even the highest rate was too much. `tried` are the rates as measured.
    """

    design: Design
    budget: Budget
    service: Service
    designed_for: Service
    rates: Mapping[World, float | None]
    at_most: frozenset[World] = field(default_factory=frozenset)
    tried: tuple[Tried, ...] = ()

    @property
    def rate(self) -> float | None:
        """With steps as they were measured."""
        return self.rates[AS_MEASURED]

    @property
    def is_at_most(self) -> bool:
        """Whether the search ended at its highest rate."""
        return AS_MEASURED in self.at_most

    @property
    def span(self) -> tuple[float | None, float | None]:
        """The lowest and the highest rate of all worlds; None where one is unknown."""
        found = list(self.rates.values())
        known = [one for one in found if one is not None]
        return (min(known) if len(known) == len(found) else None), max(known, default=None)

    @property
    def binding(self) -> Objective | None:
        """The objective that the next higher rate misses most; None where no rate was too high."""
        beyond = [one for one in self.tried if self.rate is None or one.rate > self.rate * 1.001]
        return min(beyond, key=lambda one: one.rate).binding if beyond and not self.is_at_most else None

    @property
    def best(self) -> Tried | None:
        """The outcome at the highest rate."""
        return next(
            (one for one in self.tried if self.rate is not None and abs(one.rate / self.rate - 1) < 1e-3),
            None,
        )


@dataclass(frozen=True, slots=True)
class Ratio:
    """A ratio as measured, and the lowest and highest of all worlds; None where one of the rates is
    unknown."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """All that was found."""

    settings: Settings
    errors: Mapping[str, float]
    carried: tuple[Carried, ...]
    simulated: int

    def of(
        self, name: str, budget: Budget, service: Service, *, designed_for: Service | None = None
    ) -> Carried:
        """A design by its name; `designed_for` the same service, unless said."""
        meant = designed_for or service
        return next(
            one
            for one in self.carried
            if (one.design.name, one.budget, one.service, one.designed_for) == (name, budget, service, meant)
        )

    def table(self, budget: Budget, service: Service) -> tuple[Carried, ...]:
        """The designs of one table, on the service that they are designed for."""
        return tuple(
            one
            for one in self.carried
            if (one.budget, one.service, one.designed_for) == (budget, service, service)
        )


def run(settings: Settings, file: Path, *, jobs: int, resume: bool = True, progress: Progress) -> Study:
    """Run what `file` hasn't of the study."""
    asked = list(_asked(settings))
    errors = {gpu: step_error(Dgx[gpu]) for gpu in GPUS}
    wanted = {
        (number, world): _search(settings, design, service, _paces(world, errors))
        for number, (_, design, service, designed_for) in enumerate(asked)
        for world in _worlds(design, alone=service != designed_for)
    }
    unique = list(dict.fromkeys(wanted.values()))
    found = searches.finished(unique, Slowdowns, file, jobs=jobs, resume=resume, progress=progress)
    by_search = dict(zip(unique, found, strict=True))
    return Study(
        settings=settings,
        errors=errors,
        carried=tuple(
            _carried(
                one, {world: search for (at, world), search in wanted.items() if at == number}, by_search
            )
            for number, one in enumerate(asked)
        ),
        simulated=sum(len(one) for one in found),
    )


def ratio(of: Carried, base: Carried, *, per: float = 1.0) -> Ratio:
    """How many times the rate of `base` a design carries, divided by `per`."""
    ends = [_ratio(_in(of, world), _in(base, world), per) for world in CORNERS]
    known = [one for one in ends if one is not None]
    whole = len(known) == len(ends)
    value = _ratio(of.rate, base.rate, per)
    both = [*known, *([] if value is None else [value])]
    return Ratio(value, min(both) if whole else None, max(both) if whole else None)


def _in(one: Carried, world: World) -> float | None:
    """The rate in a world; GPUs that a design hasn't are as measured in its own worlds."""
    mine = tuple(each if gpu in one.design.gpus else 0 for gpu, each in zip(GPUS, world, strict=True))
    return one.rates.get((mine[0], mine[1]), one.rate)


def _ratio(of: float | None, base: float | None, per: float) -> float | None:
    return None if of is None or base is None else of / base / per


def _asked(settings: Settings) -> Iterator[tuple[Budget, Design, Service, Service]]:
    """Every design with its budget, on its service and, prompts apart, on the other one."""
    for budget, service in product(settings.budgets, settings.services):
        for design in splitwise_designs.designs(budget, service):
            yield budget, design, service, service
        for other in SERVICES:
            if other == service:
                continue
            for design in splitwise_designs.designs(budget, other):
                if design.token is not None:
                    yield budget, design, service, other


def _worlds(design: Design, *, alone: bool) -> list[World]:
    """As measured; unless that is enough, also each corner of what its GPUs may be."""
    ends = [(-1, 1) if gpu in design.gpus else (0,) for gpu in GPUS]
    return [AS_MEASURED, *([] if alone else product(*ends))]  # type: ignore[list-item]


def _paces(world: World, errors: Mapping[str, float]) -> tuple[float, float]:
    a100, h100 = (1.0 + each * errors[gpu] for gpu, each in zip(GPUS, world, strict=True))
    return round(a100, 6), round(h100, 6)


def _search(settings: Settings, design: Design, service: Service, paces: tuple[float, float]) -> RateSearch:  # noqa: PLR0917
    return RateSearch(
        design=design,
        service=service,
        minutes=settings.minutes,
        seed=settings.seed,
        low=place_of(settings.lowest),
        high=place_of(settings.highest),
        start=place_of(_first_guess(design, service)),
        paces=paces,
    )


def _first_guess(design: Design, service: Service) -> float:
    count, kind = design.prompt
    some = requests(service, rate=10.0, seconds=60.0, seed=0)
    prompt_s = fleet([Dgx[kind]], longest_prompt=int(some.prompt_tokens.max())).prompt_s[0]
    return FIRST_GUESS[design.token is not None] * count / float(np.mean(prompt_s[some.prompt_tokens]))


def _carried(
    asked: tuple[Budget, Design, Service, Service],
    by_world: Mapping[World, RateSearch],
    found: Mapping[RateSearch, Mapping[int, Slowdowns]],
) -> Carried:
    budget, design, service, designed_for = asked
    places = {world: search.bisection.found(held(found[search])) for world, search in by_world.items()}
    return Carried(
        design=design,
        budget=budget,
        service=service,
        designed_for=designed_for,
        rates={world: None if place is None else rate_of(place) for world, place in places.items()},
        at_most=frozenset(world for world, place in places.items() if place == by_world[world].high),
        tried=_tried(found[by_world[AS_MEASURED]]),
    )


def _tried(outcomes: Mapping[int, Slowdowns]) -> tuple[Tried, ...]:
    made = []
    for place, one in sorted(outcomes.items()):
        worst, binding = slowdowns.pressure(one.slowdowns)
        made.append(Tried(rate=rate_of(place), slowdowns=one.slowdowns, pressure=worst, binding=binding))
    return tuple(made)


def names(carried: Sequence[Carried]) -> tuple[str, ...]:
    """The names of designs, each once."""
    return tuple(dict.fromkeys(one.design.name for one in carried))
