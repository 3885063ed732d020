"""
How fast requests may be played to one fleet before too many of them miss their objectives.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
from pydantic import Field

from loadline_sim.arrays import Floats
from loadline_sim.capacity.engines import engine_of
from loadline_sim.capacity.objectives import tpot_s
from loadline_sim.capacity.questions import Design, served
from loadline_sim.studies import traffics
from loadline_sim.studies.bisections import Bisection, place_of, rate_of
from loadline_sim.studies.searches import Frozen, Piece
from loadline_sim.studies.traffics import Traffic
from loadline_sim.traffic.traces import Trace

SLOWEST, FASTEST = 0.01, 100.0
PERCENT: Final = (50, 99)


class Fleet(Frozen):
    """Servers by the name of their engine, as `loadline simulate` has them."""

    engine: str
    servers: int
    prefill_servers: int = 0
    most_sequences: int = 256
    most_tokens: int = 2048

    @property
    def design(self) -> Design:
        """InvalidInput if there is no such engine, or no such fleet."""
        return Design(
            engine=engine_of(self.engine),
            servers=self.servers,
            prefill_servers=self.prefill_servers,
            most_sequences=self.most_sequences,
            most_tokens=self.most_tokens,
            keeps_prefixes=False,
        )


class Latencies(Frozen):
    """What one simulation says: the share of requests that keep their objectives, and p50 and p99 in seconds.

    None is a quantile of requests that weren't done.
    """

    kept_share: float
    ttft_s: tuple[float | None, ...]
    tpot_s: tuple[float | None, ...]
    e2e_s: tuple[float | None, ...]


class Playing(Piece[Latencies]):
    """Requests at one speed; `requests` names a file in `folder`, which isn't part of what they are."""

    fleet: Fleet
    requests: str
    independent: bool
    speed: float
    pace: float
    seed: int
    folder: str = Field(exclude=True)

    def outcome(self) -> Latencies:
        """Serve them until each is done, or is later than its objectives allow."""
        traffic = traffics.read(self.folder, self.requests)
        traffic = traffic.independent(self.seed) if self.independent else traffic
        trace = traffic.at(self.speed)
        further = np.maximum(trace.output_tokens - 1, 0)
        until_s = float((trace.arrival_s + traffic.most_ttft_s + further * traffic.most_tpot_s).max())
        outcomes = served(trace, self.fleet.design, pace=self.pace, until_s=until_s)
        further_s = tpot_s(outcomes, trace.output_tokens)
        good = np.isfinite(outcomes.response_s) & (outcomes.ttft_s <= traffic.most_ttft_s)
        good &= ~(further_s > traffic.most_tpot_s)
        lost = np.where(np.isnan(outcomes.response_s), np.inf, further_s)
        return Latencies(
            kept_share=float(good.mean()),
            ttft_s=_quantiles(np.where(np.isnan(outcomes.ttft_s), np.inf, outcomes.ttft_s)),
            tpot_s=_quantiles(lost[~np.isnan(lost)]),
            e2e_s=_quantiles(np.where(np.isnan(outcomes.response_s), np.inf, outcomes.response_s)),
        )


class SpeedSearch(Frozen):
    """The search for the highest speed at which `share` of the requests keep their objectives."""

    fleet: Fleet
    requests: str
    independent: bool
    pace: float
    share: float
    seed: int
    folder: str

    def next_place(self, outcomes: Mapping[int, Latencies]) -> int | None:
        """The place to try next."""
        return BISECTION.next_place(self.held(outcomes))

    def held(self, outcomes: Mapping[int, Latencies]) -> dict[int, bool]:
        """At which places enough requests keep their objectives."""
        return {place: one.kept_share >= self.share for place, one in outcomes.items()}

    def piece(self, place: int) -> Playing:
        """The requests at the speed of a place."""
        return Playing(
            fleet=self.fleet,
            requests=self.requests,
            independent=self.independent,
            speed=round(rate_of(place), 9),
            pace=self.pace,
            seed=self.seed,
            folder=self.folder,
        )


class Once(Frozen):
    """The same requests at one speed."""

    search: SpeedSearch
    place: int

    def next_place(self, outcomes: Mapping[int, Latencies]) -> int | None:
        """That one."""
        return None if self.place in outcomes else self.place

    def piece(self, place: int) -> Playing:
        """As in the search."""
        return self.search.piece(place)


BISECTION: Final = Bisection(low=place_of(SLOWEST), high=place_of(FASTEST), start=place_of(1.0))


def _quantiles(values: Floats) -> tuple[float | None, ...]:
    if not values.size:
        return (None,) * len(PERCENT)
    found = np.quantile(values, np.array(PERCENT) / 100.0, method="higher")
    return tuple(float(one) if np.isfinite(one) else None for one in found)


def alone(traffic: Traffic, design: Design) -> tuple[Floats, Floats]:
    """Seconds of each request to its first token and per further one, if it has the fleet for itself."""
    trace = traffic.at(1.0)
    arrival_s = APART_S * np.arange(len(trace), dtype=np.float64)
    apart = Trace(arrival_s, trace.prompt_tokens, trace.output_tokens)
    outcomes = served(apart, design)
    return outcomes.ttft_s, tpot_s(outcomes, trace.output_tokens)


APART_S: Final = 1e5
"""Longer than any request takes alone."""
