"""
Requests that a fleet is tried with: as they come, and as they would if each came independently of all others.

The independent ones are the same requests in random order, at times drawn evenly over the same span: a
Poisson process, given how many there are. So whatever a fleet takes more for the first ones is due to when
they come, and to who comes together, not to how many or how long they are.

To find what a fleet carries, requests are played faster or slower: all times are divided by one number. Gaps
keep their shape, and a burst that lasts ten seconds lasts five at twice the speed.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np

from loadline_sim.arrays import Floats
from loadline_sim.traffic.traces import Trace

WINDOW_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Traffic:
    """Requests, and the most seconds that each may take to its first token and per further one."""

    trace: Trace
    most_ttft_s: Floats
    most_tpot_s: Floats

    def at(self, speed: float) -> Trace:
        """The requests, so many times as fast."""
        return Trace(self.trace.arrival_s / speed, self.trace.prompt_tokens, self.trace.output_tokens)

    def independent(self, seed: int) -> "Traffic":
        """The same requests as a Poisson process over the same span."""
        dice, count = np.random.default_rng(seed), len(self.trace)
        order = dice.permutation(count)
        arrival_s = np.sort(dice.uniform(0.0, float(self.trace.arrival_s[-1]), count))
        trace = Trace(arrival_s, self.trace.prompt_tokens[order], self.trace.output_tokens[order])
        return Traffic(trace, self.most_ttft_s[order], self.most_tpot_s[order])


@dataclass(frozen=True, slots=True, kw_only=True)
class Burstiness:
    """How requests bunch: the squared coefficient of variation of their gaps, which is 1 if they come
    independently, and the fullest window of ten seconds over the mean one.

    NaN where there are too few requests, or where the span is shorter than two windows.
    """

    gaps: float
    peak: float


def burstiness(trace: Trace) -> Burstiness:
    """Of a trace at its own speed; what is left of the last window isn't counted."""
    gaps, times_s = np.diff(trace.arrival_s), trace.arrival_s - trace.arrival_s[0]
    windows = int(times_s[-1] / WINDOW_S)
    if gaps.size < 2 or windows < 2:
        return Burstiness(gaps=np.nan, peak=np.nan)
    counts = np.bincount((times_s / WINDOW_S).astype(np.int64), minlength=windows + 1)[:windows]
    return Burstiness(gaps=float(gaps.var() / gaps.mean() ** 2), peak=float(counts.max() / counts.mean()))


def kept(traffic: Traffic, folder: Path) -> str:
    """Write requests where other processes find them; returns their name, a hash of what they are."""
    trace = traffic.trace
    arrays = {
        "arrival_s": trace.arrival_s,
        "prompt_tokens": trace.prompt_tokens,
        "output_tokens": trace.output_tokens,
        "most_ttft_s": traffic.most_ttft_s,
        "most_tpot_s": traffic.most_tpot_s,
    }
    name = hashlib.sha256(b"".join(one.tobytes() for one in arrays.values())).hexdigest()[:24]
    folder.mkdir(parents=True, exist_ok=True)
    file = _file(folder, name)
    if not file.exists():
        half = file.with_suffix(".half.npz")
        np.savez(half, **arrays)  # type: ignore[arg-type]
        half.replace(file)
    return name


@cache
def read(folder: str, name: str) -> Traffic:
    """What `kept` has written."""
    with np.load(_file(Path(folder), name), allow_pickle=False) as file:
        trace = Trace(file["arrival_s"], file["prompt_tokens"], file["output_tokens"])
        return Traffic(trace, file["most_ttft_s"], file["most_tpot_s"])


def _file(folder: Path, name: str) -> Path:
    return folder / f"requests-{name}.npz"
