"""
How the times of an engine's steps come out of measurements, and how far they are off.

NVIDIA's Dynamo profiled vLLM with Llama-3.1-8B in FP8 on one H200: the time to the first token of prompts of
many lengths, and the time between tokens at many batches and contexts. Decode is a plane over requests and
their tokens; prefill a parabola over a prompt's tokens. Both are fitted by least squares of relative errors.
What is left of a prefill at length 0 is the way through the HTTP front end, and no part of a step.

Points of decode whose throughput shows that a tenth or more of the batch waited aren't used.

`python -m loadline_sim.step_fits` prints the fit and its errors. A test keeps the parameter file equal to it.
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files

import numpy as np

from loadline_sim.arrays import Floats

MEASUREMENTS = "h200-llama-3.1-8b-fp8.csv"
LEAST_DECODING = 0.9
"""The share of a batch that must have decoded, by throughput × time between tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One measured mean: equal requests, prefilled one at a time or decoded together."""

    phase: str
    requests: int
    tokens_per_request: int
    seconds: float
    tokens_per_s: float

    @property
    def decoding_share(self) -> float:
        """The requests that decoded at a time, of those that were sent."""
        return self.tokens_per_s * self.seconds / self.requests


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFit:
    """What is fitted, in the units of the parameter file, and the errors of both phases as fractions."""

    base_us: float
    decode_us: float
    context_us: float
    prefill_us: float
    pair_ps: float
    front_end_us: float
    decode_mape: float
    decode_worst: float
    prefill_mape: float
    prefill_worst: float


def points() -> tuple[Point, ...]:
    """The measurements that ship with the simulator."""
    with files("loadline_sim.data").joinpath(MEASUREMENTS).open(encoding="utf-8") as file:
        return tuple(
            Point(
                phase=row["phase"],
                requests=int(row["requests"]),
                tokens_per_request=int(row["tokens_per_request"]),
                seconds=float(row["milliseconds"]) / 1e3,
                tokens_per_s=float(row["tokens_per_s"]),
            )
            for row in csv.DictReader(file)
        )


def fit(measured: Iterable[Point]) -> StepFit:
    """The plane of decode and the parabola of prefill."""
    decode, prefill = _phases(measured)
    (base, slot, context), decode_errors = _least_squares(_decode_columns(decode), decode)
    (front, token, pair), prefill_errors = _least_squares(_prefill_columns(prefill), prefill)
    return StepFit(
        base_us=round(1e6 * base, 1),
        decode_us=round(1e6 * slot, 3),
        context_us=round(1e6 * context, 6),
        prefill_us=round(1e6 * token, 4),
        pair_ps=round(1e12 * pair, 1),
        front_end_us=round(1e6 * front, 1),
        decode_mape=float(decode_errors.mean()),
        decode_worst=float(decode_errors.max()),
        prefill_mape=float(prefill_errors.mean()),
        prefill_worst=float(prefill_errors.max()),
    )


def _least_squares(
    columns: list[tuple[float, float, float]], measured: list[Point]
) -> tuple[tuple[float, float, float], Floats]:
    """Coefficients of the columns for the least relative errors, and these errors."""
    relative = _relative(columns, measured)
    first, second, third = (float(one) for one in _solved(relative))
    return (first, second, third), np.abs(relative @ np.array([first, second, third]) - 1.0)


def held_out_error(measured: Iterable[Point]) -> float:
    """The mean relative error of both phases, each point told by a fit to all others of its phase."""
    decode, prefill = _phases(measured)
    errors: list[float] = []
    for columns, points_of in ((_decode_columns(decode), decode), (_prefill_columns(prefill), prefill)):
        relative = _relative(columns, points_of)
        for place in range(len(points_of)):
            found = _solved(np.delete(relative, place, axis=0))
            errors.append(abs(float(relative[place] @ found) - 1.0))
    return float(np.mean(errors))


def _phases(measured: Iterable[Point]) -> tuple[list[Point], list[Point]]:
    """The points of decode at which the batch decoded, and those of prefill."""
    known = tuple(measured)
    decode = [one for one in known if one.phase == "decode" and one.decoding_share > LEAST_DECODING]
    return decode, [one for one in known if one.phase == "prefill"]


def _decode_columns(points_of: list[Point]) -> list[tuple[float, float, float]]:
    return [(1.0, one.requests, one.requests * one.tokens_per_request) for one in points_of]


def _prefill_columns(points_of: list[Point]) -> list[tuple[float, float, float]]:
    return [(1.0, one.tokens_per_request, one.tokens_per_request**2 / 2) for one in points_of]


def _relative(columns: list[tuple[float, float, float]], points_of: list[Point]) -> Floats:
    seconds = np.array([one.seconds for one in points_of])
    found: Floats = np.array(columns) / seconds[:, None]
    return found


def _solved(relative: Floats) -> Floats:
    return np.linalg.lstsq(relative, np.ones(len(relative)), rcond=None)[0].astype(np.float64)


def main() -> None:
    """Print the fit and its errors."""
    print(fit(points()))
    print(f"held out: {held_out_error(points()):.2%}")


if __name__ == "__main__":
    main()
