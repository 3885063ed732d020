"""
Weeks of requests from what is published of a service: each client's rate and law of gaps in each ten minutes.

ServeGen (Alibaba) gives no requests, but for each client and window the rate and the Gamma or Weibull law
that its gaps follow best. Here each client is a renewal process in operational time: gaps of mean 1 with
the window's shape, stretched by its rate. So the expected number of requests is what was recorded, also
where the fitted scale says otherwise; a rate that changes changes the gap that is under way; and bursts
stay bursts.

Lengths aren't in these files: they are drawn in pairs from another trace.
"""

import csv
import gzip
import lzma
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

from loadline_policies.errors import InvalidInput, InvalidTrace
from loadline_sim.arrays import Floats, Ints
from loadline_sim.traffic.traces import Trace

COLUMNS: Final = ("client", "window_start_s", "rate_rps", "pattern", "param1")
WINDOW_S: Final = 600.0
MOST_CELLS: Final = 3_000_000
"""Clients times windows: an odd number in a file must not ask for all memory."""

LEAST_SHAPE: Final = 0.05
"""Below it nearly all gaps are zero and the rest last for days: one in a hundred of the fits, taken as
this."""

UNPACK: Final[Mapping[str, Callable[..., IO[str]]]] = {".gz": gzip.open, ".xz": lzma.open}


@dataclass(frozen=True, slots=True)
class ClientWindows:
    """By client and window: requests per second, the shape of the law of their gaps, and whether it is
    Weibull's.

    Clients are in descending order of their rates. A window in which no client sends is a gap of the
    recording.
    """

    rates: Floats
    shapes: Floats
    weibull: np.ndarray[tuple[int, int], np.dtype[np.bool_]]

    @property
    def span_s(self) -> float:
        """Seconds of all windows."""
        return int(self.rates.shape[1]) * WINDOW_S

    @property
    def gaps(self) -> int:
        """Windows in which nobody sends: a service of this size is never silent for so long."""
        return int((self.rates.sum(axis=0) == 0).sum())

    def largest(self, clients: int) -> "ClientWindows":
        """Those clients alone that send the most."""
        return ClientWindows(self.rates[:clients], self.shapes[:clients], self.weibull[:clients])


def read(path: Path) -> ClientWindows:
    """A file of ServeGen's client windows; InvalidTrace names the first bad row."""
    opened = UNPACK.get(path.suffix, open)(path, "rt", encoding="utf-8")
    with opened as file:
        rows = csv.DictReader(file)
        missing = [column for column in COLUMNS if column not in (rows.fieldnames or ())]
        if missing:
            fix = f"name the columns {', '.join(COLUMNS)}"
            raise InvalidTrace(f"{path.name} row 1", rows.fieldnames, fix=fix)
        return _windows([_row(row, f"{path.name} row {at}") for at, row in enumerate(rows, 2)], path.name)


def arrivals(
    windows: ClientWindows, *, lengths: Trace, seed: int, factor: float = 1.0, until_s: float = math.inf
) -> Iterator[Trace]:
    """The requests of each window in turn, at `factor` times the recorded rates; a piece a window.

    Prompts and answers are drawn in pairs from `lengths`. Beyond the last window they begin again with the
    first.
    """
    if not 0.0 < factor < math.inf:
        raise InvalidInput("factor", factor, fix="give a number above 0")
    dice = np.random.default_rng(seed)
    count = windows.rates.shape[1] if until_s == math.inf else math.ceil(until_s / WINDOW_S)
    left = np.array([_first_gap(dice, *law) for law in _laws(windows, 0)])
    for number in range(count):
        window = number % windows.rates.shape[1]
        times: list[Floats] = []
        for client, (shape, is_weibull) in enumerate(_laws(windows, window)):
            rate = float(windows.rates[client, window]) * factor
            units, left[client] = _renewals(
                dice, float(left[client]), units=rate * WINDOW_S, shape=shape, is_weibull=is_weibull
            )
            if units.size:
                times.append(units / rate)
        arrival_s = np.sort(np.concatenate([np.zeros(0), *times])) + number * WINDOW_S
        yield _with_lengths(arrival_s[arrival_s < until_s], lengths, dice)


def _laws(windows: ClientWindows, window: int) -> Iterator[tuple[float, bool]]:
    return zip(windows.shapes[:, window].tolist(), windows.weibull[:, window].tolist(), strict=True)


def _gaps(dice: np.random.Generator, shape: float, count: int, *, is_weibull: bool) -> Floats:
    """Gaps of mean 1."""
    if is_weibull:
        return dice.weibull(shape, count) / math.gamma(1.0 + 1.0 / shape)
    return dice.gamma(shape, 1.0 / shape, count)


def _first_gap(dice: np.random.Generator, shape: float, is_weibull: bool) -> float:
    """The rest of the gap that is under way when one looks: longer gaps are met more often.

    A gap that is met has its length's law weighted by the length: for Gamma's one more in the shape, for
    Weibull's the power 1/shape of a Gamma of shape 1 + 1/shape.
    """
    if is_weibull:
        met = dice.gamma(1.0 + 1.0 / shape) ** (1.0 / shape) / math.gamma(1.0 + 1.0 / shape)
    else:
        met = dice.gamma(shape + 1.0, 1.0 / shape)
    return float(met * dice.random())


def _renewals(
    dice: np.random.Generator, left: float, *, units: float, shape: float, is_weibull: bool
) -> tuple[Floats, float]:
    """Arrivals within so many units of operational time, and what is left of the gap at its end."""
    if left >= units:
        return np.zeros(0), left - units
    found, last = [np.array([left])], left
    while last < units:
        count = int((units - last) * 1.1) + 16
        steps = last + np.cumsum(_gaps(dice, shape, count, is_weibull=is_weibull))
        found.append(steps)
        last = float(steps[-1])
    every = np.concatenate(found)
    inside = int(np.searchsorted(every, units))
    return every[:inside], float(every[inside]) - units


def _with_lengths(arrival_s: Floats, lengths: Trace, dice: np.random.Generator) -> Trace:
    drawn: Ints = dice.integers(0, len(lengths), arrival_s.size)
    return Trace(arrival_s, lengths.prompt_tokens[drawn], lengths.output_tokens[drawn])


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
    if row["pattern"] not in {"Gamma", "Weibull"}:
        raise InvalidTrace(f"{where} pattern", row["pattern"], fix="a rate above 0 needs Gamma or Weibull")
    shape = _number(row["param1"], f"{where} param1")
    if shape == 0.0:
        raise InvalidTrace(f"{where} param1", shape, fix="give a shape above 0")
    return int(client), int(start_s / WINDOW_S), rate, max(shape, LEAST_SHAPE), row["pattern"] == "Weibull"


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
    place = np.unique(client, return_inverse=True)[1]
    many = (int(place.max()) + 1, int(window.max()) + 1)
    if many[0] * many[1] > MOST_CELLS:
        raise InvalidTrace(
            name, f"{many[0]} clients, {many[1]} windows", fix=f"at most {MOST_CELLS} together"
        )
    rates, shapes, laws = np.zeros(many), np.ones(many), np.zeros(many, bool)
    rates[place, window], shapes[place, window], laws[place, window] = rate, shape, weibull
    order = np.argsort(-rates.sum(axis=1), kind="stable")
    return ClientWindows(rates[order], shapes[order], laws[order])
