"""
How the models' parameters come out of the measurements, and how far they are off.

Times and watts of BLOOM-176B on eight A100-80GB (tensor parallel 8) are published with
splitwise-sim. Prefill depends on the prompt tokens of a whole batch, so its knots are
the medians at each token count; decode is a line over batches up to the model's
largest, by least squares. What the measurements don't hold, the clock laws above all,
isn't fitted and says so in the parameter file.

`python -m loadline_sim.fits` prints the fit and its errors. A test keeps the parameter
file equal to the fit.
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files

import numpy as np

from loadline_policies.models import latencies, parameters, watts

MEASUREMENTS = "splitwise-bloom-176b-a100.csv"
LARGEST_BATCH = 16
"""The engine's own; beyond it decode stops being linear in the batch."""

DECODE_PROMPT_TOKENS = 512
"""Decode's draw is the mean over runs with prompts up to this, their prefill included.

Prefill is < 3 % of such a run at batch 1. Larger batches prefill longer, yet draw hardly more: the two
phases can't be told apart in a mean, so nothing is subtracted.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One measured run: a batch of equal prompts, prefilled together and decoded together.

    Powers are means over the GPUs ÷ TDP, None where none were taken. `tokens_out` per sequence.
    """

    prompt_tokens: int
    batch: int
    tokens_out: int
    prefill_s: float
    decode_s: float
    peak_share: float | None
    mean_share: float | None

    @property
    def batch_tokens(self) -> int:
        """Prompt tokens of the whole batch, which is what prefill's time goes by."""
        return self.prompt_tokens * self.batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """What is fitted; the fields are those of the parameter file's sections."""

    prefill_tokens: tuple[float, ...]
    prefill_seconds: tuple[float, ...]
    prefill_shares: tuple[float, ...]
    decode_base_s: float
    decode_slot_s: float
    decode_share: float
    decode_share_per_slot: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FitError:
    """How far the model is off the measurements of one quantity: mean and worst, as fractions."""

    quantity: str
    runs: int
    mape: float
    worst: float


def runs() -> tuple[Run, ...]:
    """The measurements that ship with the simulator; exact repetitions of a row count once."""
    return tuple(dict.fromkeys(measured(MEASUREMENTS)))


def measured(name: str) -> tuple[Run, ...]:
    """All rows of a file of measurements that ships with the simulator."""
    with files("loadline_sim.data").joinpath(name).open(encoding="utf-8") as file:
        return tuple([_run(row) for row in csv.DictReader(file)])


def _run(row: dict[str, str]) -> Run:
    peak, mean = float(row["peak_power"]), float(row["average_power"])
    return Run(
        prompt_tokens=int(row["prompt_size"]),
        batch=int(row["batch_size"]),
        tokens_out=int(row["token_size"]),
        prefill_s=float(row["prompt_time"]) / 1e3,
        decode_s=float(row["token_time"]) / 1e3,
        peak_share=peak or None,
        mean_share=mean or None,
    )


def fit(measured: Iterable[Run]) -> Fit:
    """Knots for prefill, lines for decode."""
    usable = [run for run in measured if run.batch <= LARGEST_BATCH]
    knots = sorted({run.batch_tokens for run in usable})
    seconds = [_median(run.prefill_s for run in usable if run.batch_tokens == tokens) for tokens in knots]
    shares = [
        _median(run.peak_share for run in usable if run.batch_tokens == tokens and run.peak_share is not None)
        for tokens in knots
    ]
    base_s, slot_s = _line([(run.batch, run.decode_s) for run in usable])
    share, share_per_slot = _line([(run.batch, run.mean_share) for run in _decoding(usable)])
    return Fit(
        prefill_tokens=tuple(float(tokens) for tokens in knots),
        prefill_seconds=tuple(round(value, 4) for value in seconds),
        prefill_shares=tuple(round(value, 3) for value in shares),
        decode_base_s=round(base_s, 5),
        decode_slot_s=round(slot_s, 6),
        decode_share=round(share, 4),
        decode_share_per_slot=round(share_per_slot, 5),
    )


def errors(model: parameters.ServerModel, measured: Iterable[Run]) -> tuple[FitError, ...]:
    """How far a model is off the measurements, for each of its quantities."""
    usable = [run for run in measured if run.batch <= LARGEST_BATCH]
    times, draw = model.latencies, model.watts
    full = times.full_mhz
    return (
        _error("prefill seconds", [
            (latencies.prefill_s(times, prompt_tokens=run.batch_tokens, clock_mhz=full), run.prefill_s)
            for run in usable
        ]),
        _error("decode seconds per token", [
            (latencies.decode_s(times, batch=run.batch, clock_mhz=full), run.decode_s) for run in usable
        ]),
        _error("prefill peak watts", [
            (watts.prefill_watts(draw, prompt_tokens=run.batch_tokens, clock_mhz=full),
             run.peak_share * draw.tdp_watts)
            for run in usable if run.peak_share is not None
        ]),
        _error("decode mean watts", [
            (watts.decode_watts(draw, batch=run.batch, clock_mhz=full), run.mean_share * draw.tdp_watts)
            for run in _decoding(usable) if run.mean_share is not None
        ]),
    )  # fmt: skip


def _decoding(measured: Iterable[Run]) -> list[Run]:
    """Runs whose mean draw is decode's."""
    return [
        run for run in measured if run.mean_share is not None and run.prompt_tokens <= DECODE_PROMPT_TOKENS
    ]


def _median(values: Iterable[float]) -> float:
    return float(np.median(np.fromiter(values, dtype=np.float64)))


def _line(points: list[tuple[int, float | None]]) -> tuple[float, float]:
    """Intercept and slope by least squares."""
    xs, ys = np.array(points, dtype=np.float64).T
    slope, intercept = np.polyfit(xs, ys, deg=1)
    return float(intercept), float(slope)


def _error(quantity: str, pairs: list[tuple[float, float]]) -> FitError:
    modelled, measured = np.array(pairs).T
    off = np.abs(modelled / measured - 1.0)
    return FitError(quantity=quantity, runs=len(pairs), mape=float(off.mean()), worst=float(off.max()))


def main() -> None:
    """Print the fit, and the errors of the model in force."""
    print(fit(runs()))
    for error in errors(parameters.load(), runs()):
        print(f"{error.quantity:26} MAPE {error.mape:6.2%}  worst {error.worst:6.2%}  of {error.runs} runs")


if __name__ == "__main__":
    main()
