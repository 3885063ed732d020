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
from numpy.typing import NDArray

MEASUREMENTS = "h200-llama-3.1-8b-fp8.csv"
LEAST_DECODING = 0.9
"""The share of a batch that must have decoded, by throughput × time between tokens."""

Floats = NDArray[np.float64]


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
    known = tuple(measured)
    decode = [one for one in known if one.phase == "decode" and one.decoding_share > LEAST_DECODING]
    prefill = [one for one in known if one.phase == "prefill"]
    (base, slot, context), decode_errors = _least_squares(
        [(1.0, one.requests, one.requests * one.tokens_per_request) for one in decode], decode
    )
    (front, token, pair), prefill_errors = _least_squares(
        [(1.0, one.tokens_per_request, one.tokens_per_request**2 / 2) for one in prefill], prefill
    )
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
    seconds = np.array([one.seconds for one in measured])
    relative = np.array(columns) / seconds[:, None]
    found = np.linalg.lstsq(relative, np.ones(len(measured)), rcond=None)[0]
    first, second, third = (float(one) for one in found)
    return (first, second, third), np.abs(relative @ found - 1.0)


def main() -> None:
    """Print the fit and its errors."""
    print(fit(points()))


if __name__ == "__main__":
    main()
