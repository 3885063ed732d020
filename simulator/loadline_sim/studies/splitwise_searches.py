"""
The highest rate at which one fleet of Splitwise's keeps all nine objectives.

Requests come independently, their lengths are drawn from a service's trace, and the same numbers are drawn
for every fleet and rate: a higher rate has the same requests, closer together, and further ones at the end.
So Splitwise's own traces are made. The first two minutes are looked at, as there, unless asked otherwise.
"""

from collections.abc import Mapping
from functools import cache
from typing import Final

import numpy as np

from loadline_sim.capacity.questions import paced
from loadline_sim.serving import loops
from loadline_sim.serving.registry import ROUTERS, SCHEDULERS
from loadline_sim.serving.splitwise_fleets import fleet
from loadline_sim.studies import slowdowns
from loadline_sim.studies.bisections import Bisection, rate_of
from loadline_sim.studies.searches import Frozen, Piece
from loadline_sim.studies.splitwise_designs import Design, Service
from loadline_sim.traffic import recordings
from loadline_sim.traffic.traces import Trace

MINUTE_S: Final = 60.0


class Slowdowns(Frozen):
    """What one simulation says: of so many requests, the slowdown of each of the nine objectives."""

    requests: int
    slowdowns: tuple[float | None, ...]

    @property
    def is_kept(self) -> bool:
        """Whether all nine are kept; an outcome of no requests keeps none."""
        return self.requests > 0 and slowdowns.are_kept(self.slowdowns)


class Run(Piece[Slowdowns]):
    """One fleet at one rate; `paces` are what steps of A100 and H100 take of what is measured."""

    design: Design
    service: Service
    rate: float
    minutes: float
    seed: int
    paces: tuple[float, float] = (1.0, 1.0)

    def outcome(self) -> Slowdowns:
        """Serve the requests until each is done, or is later than any objective could forgive."""
        trace = requests(self.service, rate=self.rate, seconds=self.minutes * MINUTE_S, seed=self.seed)
        kinds, homes = self.design.kinds, self.design.homes
        by_kind = np.array([self.paces[kind.name.startswith("H100")] for kind in dict.fromkeys(kinds)])
        servers = paced(fleet(kinds, longest_prompt=int(trace.prompt_tokens.max())), by_kind)
        outcomes = loops.simulate(
            trace,
            fleet=servers,
            router=ROUTERS["token-queues"]() if homes is None else ROUTERS["mixed-pools"](homes),
            scheduler=SCHEDULERS["splitwise"],
            until_s=float((trace.arrival_s + slowdowns.MOST * slowdowns.idle_of(trace).e2e_s).max()),
        )
        return Slowdowns(requests=len(trace), slowdowns=slowdowns.slowdowns(trace, outcomes))


class RateSearch(Frozen):
    """The search for the highest rate, from `low` to `high` requests a second in places of a bisection."""

    design: Design
    service: Service
    minutes: float
    seed: int
    low: int
    high: int
    start: int
    paces: tuple[float, float] = (1.0, 1.0)

    def next_place(self, outcomes: Mapping[int, Slowdowns]) -> int | None:
        """The place to try next."""
        return self.bisection.next_place(held(outcomes))

    def piece(self, place: int) -> Run:
        """The fleet at the rate of a place."""
        return Run(
            design=self.design.model_copy(update={"name": ""}),  # fleets alike are simulated once
            service=self.service,
            rate=round(rate_of(place), 6),
            minutes=self.minutes,
            seed=self.seed,
            paces=self.paces,
        )

    @property
    def bisection(self) -> Bisection:
        """What to try, and what was found."""
        return Bisection(low=self.low, high=self.high, start=self.start)


def held(outcomes: Mapping[int, Slowdowns]) -> dict[int, bool]:
    """At which places all objectives are kept."""
    return {place: one.is_kept for place, one in outcomes.items()}


def requests(service: Service, *, rate: float, seconds: float, seed: int) -> Trace:
    """The requests of the first seconds, so many a second; with another rate the same ones, at other
    distances."""
    lengths = _lengths(service)
    for_gaps, for_lengths = map(np.random.default_rng, np.random.SeedSequence(seed).spawn(2))
    expected = rate * seconds
    count = int(expected + 6.0 * np.sqrt(expected) + 10.0)
    arrival_s = np.cumsum(for_gaps.standard_exponential(count)) / rate
    places = for_lengths.integers(0, len(lengths), count)
    drawn = Trace(arrival_s, lengths.prompt_tokens[places], lengths.output_tokens[places])
    return drawn.between(0.0, seconds) if arrival_s[0] < seconds else drawn.select(np.array([0]))


@cache
def _lengths(service: Service) -> Trace:
    """A service's recorded requests that have a prompt and an answer."""
    recorded = recordings.azure_2023()[service]
    return recorded.select((recorded.prompt_tokens > 0) & (recorded.output_tokens > 0))
