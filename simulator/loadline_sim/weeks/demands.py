"""
Who sends what to a row over weeks: two services, by a profile of hours and days and the unrest around it.

The profile is fitted to two recorded weeks of a service with many clients (ServeGen), and gives six as well
as two; each service follows it with a wander of its own, and has the lengths that were recorded of it
(Azure 2023). Requests are routed when they are drawn, each to the server of its service with the least
estimated work: so runs with and without caps serve the same requests on the same servers.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np

from loadline_policies.models.parameters import ServerModel
from loadline_sim.arrays import Ints
from loadline_sim.traffic import arrivals, least_work, profiles, recordings
from loadline_sim.traffic.arrivals import Arrivals
from loadline_sim.traffic.client_windows import WINDOW_S
from loadline_sim.traffic.least_work import Work
from loadline_sim.traffic.profiles import WEEK_S, Profile
from loadline_sim.traffic.traces import Trace

PIECE_REQUESTS: Final = 200_000
SPAN_S: Final = 21_600
"""Seconds of a span: so many requests are in memory at once."""

SERVICES: Final[Mapping[str, float]] = {"chat": 5.38, "code": 2.45}
"""Requests a second of each service at a factor of 1: the means of the recorded hour. The first has high
priority."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """`factor` times the recorded rates of both services, for so many seconds from a Monday on, by seed.

    They follow `profile`, or that of `recorded_profile`.
    """

    factor: float
    duration_s: int
    seed: int = 1
    span_s: int = SPAN_S
    profile: Profile | None = None

    def spans(self, services_of_servers: Sequence[str], model: ServerModel) -> Iterator[tuple[int, Arrivals]]:
        """The seconds of each span and its requests on their servers, in order; times from the span's
        start.
        """
        ends_s = [*range(self.span_s, self.duration_s, self.span_s), self.duration_s]
        parts = [
            _Service(self, place, services=services_of_servers, model=model) for place in range(len(SERVICES))
        ]
        start_s = 0
        for end_s in ends_s:
            yield end_s - start_s, _joined([one.span(start_s, end_s) for one in parts])
            start_s = end_s


@cache
def recorded_profile() -> Profile:
    """The hours and days of ServeGen's large clients, with the gaps of the recording filled."""
    windows = recordings.large_model_clients().with_filled_gaps()
    return profiles.fit(windows.counts, WINDOW_S)


class _Service:
    """One service's requests, span by span."""

    def __init__(self, demand: Demand, place: int, *, services: Sequence[str], model: ServerModel) -> None:
        name = tuple(SERVICES)[place]
        profile = demand.profile or recorded_profile()
        share = services.count(name) * len(SERVICES) / len(services)
        mean_hz = float(profile.rates(np.arange(0.0, WEEK_S, WINDOW_S)).mean())
        self._place, self._model = place, model
        self._servers: Ints = np.flatnonzero(np.array(services) == name)
        self._pieces = profiles.arrivals(
            profile,
            lengths=recordings.azure_2023()[name],
            duration_s=demand.duration_s,
            seed=demand.seed * len(SERVICES) + place,
            factor=demand.factor * share * SERVICES[name] / mean_hz,
            piece_requests=PIECE_REQUESTS,
        )
        self._left = _nothing()
        self._work = Work.none(self._servers.size)

    def span(self, start_s: int, end_s: int) -> tuple[int, Trace, Ints]:
        """Which service it is, and its requests of a span with their servers."""
        while not len(self._left) or self._left.arrival_s[-1] < end_s:
            piece = next(self._pieces, None)
            if piece is None:
                break
            self._left = arrivals.merged([self._left, piece])
        trace = self._left.between(0.0, end_s).later(-start_s)
        self._left = self._left.between(end_s, np.inf)
        prefill_s, decode_s = arrivals.prices(trace, self._model)
        share = 1.0 / self._model.max_batch
        chosen, work = least_work.routed(
            self._work, trace.arrival_s, prefill_s=prefill_s, decode_s=decode_s, share=share
        )
        self._work = work.earlier(end_s - start_s)
        return self._place, trace, self._servers[chosen]


def _nothing() -> Trace:
    return Trace(np.zeros(0), np.zeros(0, np.int64), np.zeros(0, np.int64))


def _joined(parts: Sequence[tuple[int, Trace, Ints]]) -> Arrivals:
    arrival_s = np.concatenate([trace.arrival_s for _, trace, _ in parts])
    order = np.argsort(arrival_s, kind="stable")
    return Arrivals(
        tuple(SERVICES),
        arrival_s[order],
        np.concatenate([np.full(len(trace), place) for place, trace, _ in parts])[order],
        np.concatenate([server for _, _, server in parts])[order],
        np.concatenate([trace.prompt_tokens for _, trace, _ in parts])[order],
        np.concatenate([trace.output_tokens for _, trace, _ in parts])[order],
    )
