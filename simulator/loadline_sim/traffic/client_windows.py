"""
Weeks of requests from what is published of a service: each client's rate and law of gaps in each ten minutes.

ServeGen (Alibaba) gives no requests, but for each client and window the rate and the Gamma or Weibull law
that its gaps follow best. Here each client is a renewal process in operational time (`renewals`): gaps of
mean 1 with the window's shape, stretched by its rate. So the expected number of requests is what was
recorded; a rate that changes changes the gap that is under way; and bursts stay bursts.

The fitted scale isn't read. With the shape it gives a mean gap, which in four windows of ten is off the
recorded rate by more than 2 %, and in one of ten by more than half or double. ServeGen's own generator
discards it too: it draws as many gaps as the rate asks for and stretches them to fill the window, which makes
each window's count certain. Here counts vary as the law has them, and their mean is the recorded one.

Windows with fewer than ten requests were recorded as empty. A window in which no client sends is a gap of the
recording; it stays one, or is filled from another day. Lengths aren't in these files: they are drawn in
pairs from another trace, so they have nothing to do with the client.
"""

import csv
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from loadline_policies.errors import InvalidInput, InvalidTrace
from loadline_sim import packed_files
from loadline_sim.arrays import Floats, Ints
from loadline_sim.traffic import renewals
from loadline_sim.traffic.gap_laws import LEAST_GAMMA_SHAPE, LEAST_WEIBULL_SHAPE, MOST_SHAPE
from loadline_sim.traffic.renewals import PIECE_REQUESTS, RateWindows
from loadline_sim.traffic.traces import Trace

Mask = NDArray[np.bool_]

COLUMNS: Final = ("client", "window_start_s", "rate_rps", "pattern", "param1")
WINDOW_S: Final = 600.0
MOST_CELLS: Final = 3_000_000
"""Clients times windows: an odd number in a file must not ask for all memory."""

DAY_WINDOWS: Final = 144

LAWS: Final = {"Gamma": (False, LEAST_GAMMA_SHAPE), "Weibull": (True, LEAST_WEIBULL_SHAPE)}
"""Whether a pattern is Weibull's, and the smallest shape that it may have."""


@dataclass(frozen=True, slots=True)
class ClientWindows:
    """By client and window: requests per second, the shape of the law of their gaps, and whether it is
    Weibull's.

    Clients are in descending order of their rates. `gaps` are the windows, by number, in which no client of
    the whole recording sends: a service of this size is never silent for so long. Those that were filled
    from another day are `filled` instead.
    """

    rates: Floats
    shapes: Floats
    weibull: Mask
    gaps: tuple[int, ...] = ()
    filled: tuple[int, ...] = ()

    @property
    def span_s(self) -> float:
        """Seconds of all windows."""
        return int(self.rates.shape[1]) * WINDOW_S

    @property
    def counts(self) -> Ints:
        """Expected requests of each window, all clients together."""
        found: Ints = np.rint(self.rates.sum(axis=0) * WINDOW_S).astype(np.int64)
        return found

    def largest(self, clients: int) -> "ClientWindows":
        """Those clients alone that send the most."""
        if not 0 < clients <= self.rates.shape[0]:
            raise InvalidInput("clients", clients, fix=f"choose from 1 to {self.rates.shape[0]}")
        return replace(
            self, rates=self.rates[:clients], shapes=self.shapes[:clients], weibull=self.weibull[:clients]
        )

    def with_filled_gaps(self) -> "ClientWindows":
        """Each gap filled by the windows of the same time, of the nearest week or else day that has any."""
        sources = np.arange(self.rates.shape[1])
        for gap in self.gaps:
            sources[gap] = _donor(gap, self.gaps, windows=sources.size)
        filled = [gap for gap in self.gaps if sources[gap] != gap]
        return ClientWindows(
            self.rates[:, sources],
            self.shapes[:, sources],
            self.weibull[:, sources],
            gaps=tuple(gap for gap in self.gaps if sources[gap] == gap),
            filled=tuple(sorted([*self.filled, *filled])),
        )


def read(path: Path) -> ClientWindows:
    """A file of ServeGen's client windows; InvalidTrace names the first bad row."""
    fix = f"give a CSV file with the columns {', '.join(COLUMNS)}"
    with packed_files.refused(path, fix=fix), packed_files.opened(path) as file:
        rows = csv.DictReader(file)
        missing = [column for column in COLUMNS if column not in (rows.fieldnames or ())]
        if missing:
            fix = f"name the columns {', '.join(COLUMNS)}"
            raise InvalidTrace(f"{path.name} row 1", rows.fieldnames, fix=fix)
        return _windows([_row(row, f"{path.name} row {at}") for at, row in enumerate(rows, 2)], path.name)


def arrivals(
    windows: ClientWindows,
    *,
    lengths: Trace,
    seed: int,
    factor: float = 1.0,
    until_s: float = math.inf,
    piece_requests: int = PIECE_REQUESTS,
) -> Iterator[Trace]:
    """The clients' requests in order of arrival and in pieces, at `factor` times the recorded rates.

    Prompts and answers are drawn in pairs from `lengths`. Beyond the last window they begin again with the
    first.
    """
    if not 0.0 < factor < math.inf:
        raise InvalidInput("factor", factor, fix="give a number above 0")
    rates = RateWindows(
        window_s=WINDOW_S, rates=windows.rates * factor, shapes=windows.shapes, weibull=windows.weibull
    )
    return renewals.arrivals(
        rates,
        lengths=lengths,
        seed=np.random.SeedSequence(seed),
        until_s=until_s,
        piece_requests=piece_requests,
    )


def _row(row: Mapping[str, Any], where: str) -> tuple[int, int, float, float, bool]:
    """Client, window, rate, shape and law of a row."""
    numbers = [
        _number(row[column], f"{where} {column}") for column in ("client", "window_start_s", "rate_rps")
    ]
    client, start_s, rate = numbers
    if not client.is_integer() or start_s % WINDOW_S:
        fix = f"give a whole client, and a start that is a multiple of {WINDOW_S:g}"
        raise InvalidTrace(where, [client, start_s], fix=fix)
    if rate == 0.0:
        return int(client), int(start_s / WINDOW_S), 0.0, 1.0, False
    if row["pattern"] not in LAWS:
        raise InvalidTrace(f"{where} pattern", row["pattern"], fix="a rate above 0 needs Gamma or Weibull")
    weibull, least = LAWS[row["pattern"]]
    shape = _number(row["param1"], f"{where} param1")
    if shape < least:
        raise InvalidTrace(f"{where} param1", row["param1"], fix=f"give a shape of {least} or more")
    return int(client), int(start_s / WINDOW_S), rate, min(shape, MOST_SHAPE), weibull


def _donor(gap: int, gaps: tuple[int, ...], *, windows: int) -> int:
    """The window that fills a gap, or the gap itself if none can."""
    days = range(1, windows // DAY_WINDOWS + 1)
    for offset in [*(7 * DAY_WINDOWS * week for week in days), *(DAY_WINDOWS * day for day in days)]:
        for window in (gap - offset, gap + offset):
            if 0 <= window < windows and window not in gaps:
                return window
    return gap


def _number(text: str | None, where: str) -> float:
    try:
        number = float(text or "")
    except ValueError:
        number = math.nan
    if not 0.0 <= number < 1e9:
        raise InvalidTrace(where, text, fix="give a number that is not negative, and below 1e9")
    return number


def _windows(rows: list[tuple[int, int, float, float, bool]], name: str) -> ClientWindows:
    if not rows:
        raise InvalidTrace(name, 0, fix="give at least one client's window")
    client, window, rate, shape, weibull = (np.array(column) for column in zip(*rows, strict=True))
    clients, place = np.unique(client, return_inverse=True)
    first = int(window.min())
    many = (clients.size, int(window.max()) - first + 1)
    if many[0] * many[1] > MOST_CELLS:
        raise InvalidTrace(
            name, f"{many[0]} clients, {many[1]} windows", fix=f"at most {MOST_CELLS} together"
        )
    seen = np.zeros(many, np.int64)
    np.add.at(seen, (place, window - first), 1)
    if (seen != 1).any():
        one, at = (int(index[0]) for index in np.nonzero(seen != 1))
        where = f"{name} client {clients[one]} window_start_s"
        fix = "give the window once, with rate 0 where the client sends nothing"
        raise InvalidTrace(where, f"{(first + at) * WINDOW_S:g}, {seen[one, at]} times", fix=fix)
    rates, shapes, laws = np.zeros(many), np.ones(many), np.zeros(many, bool)
    rates[place, window - first], shapes[place, window - first] = rate, shape
    laws[place, window - first] = weibull
    order = np.argsort(-rates.sum(axis=1), kind="stable")
    gaps = tuple(np.flatnonzero(rates.sum(axis=0) == 0.0).tolist())
    return ClientWindows(rates[order], shapes[order], laws[order], gaps)
