"""
The servers of splitwise-sim: DGX servers with eight GPUs each that serve BLOOM-176B.

Their steps are as long as that simulator says: the medians of its measurements by the tokens of a batch, and
lines between them. An H100 whose power is capped at a half is its assumption: prompts take 1.3 times
as long, answers no longer.

Source: Mutinifni/splitwise-sim 8f99e7d, MIT, `data/perf_model.csv` and `configs`; `data/README.md`.
"""

from collections import defaultdict
from collections.abc import Sequence
from enum import Enum
from typing import Final

import numpy as np

from loadline_sim.arrays import Floats
from loadline_sim.fits import measured
from loadline_sim.serving.servers import Fleet, no_extras, servers_of

GPUS: Final = 8
GPU_BYTES: Final = 85_899_345_920
WEIGHT_BYTES: Final = 329_000_000_000
TOKEN_BYTES: Final = 2 * 14_336 * 70 * 2
"""Keys and values of BLOOM-176B's 70 layers of 14,336, two bytes each."""

BYTES_PER_S: Final = 200.0 * 1024**3
LEAST_TOKENS: Final = 2048
"""Of a batch that may have several prompts."""


class Dgx(Enum):
    """A kind of server: the file of its measurements, and how much longer a prompt takes than they say."""

    A100 = "splitwise-bloom-176b-a100.csv", 1.0
    H100 = "splitwise-bloom-176b-h100.csv", 1.0
    H100_CAPPED = "splitwise-bloom-176b-h100.csv", 1.3


def fleet(kinds: Sequence[Dgx], *, longest_prompt: int) -> Fleet:
    """Servers of these kinds, in this order, for prompts of at most so many tokens."""
    known = list(dict.fromkeys(kinds))
    size = max(longest_prompt, LEAST_TOKENS) + 1
    tables = [_steps(kind, size) for kind in known]
    servers = servers_of(
        np.array([known.index(kind) for kind in kinds]),
        memory_bytes=GPUS * GPU_BYTES,
        weight_bytes=WEIGHT_BYTES,
    )
    prompt_s, token_s = (np.stack(table) for table in zip(*tables, strict=True))
    return Fleet(servers, prompt_s, token_s, no_extras(len(known)), TOKEN_BYTES, BYTES_PER_S)


def step_error(kind: Dgx) -> float:
    """The mean relative error of a kind's steps at the tokens that were measured, each told from the others.

    The outermost ones aren't told, since a line through two others that lie beyond isn't how steps are
    priced.
    """
    errors: list[float] = []
    for measurements in _measurements(kind):
        for tokens in sorted(measurements)[1:-1]:
            others = {each: runs for each, runs in measurements.items() if each != tokens}
            told = _lines(others, tokens + 1)[tokens]
            errors += [abs(told / seconds - 1.0) for seconds in measurements[tokens]]
    return float(np.mean(errors))


def _steps(kind: Dgx, size: int) -> tuple[Floats, Floats]:
    """Seconds of a step by the tokens of its batch, from none to `size` - 1: with prompts, and without."""
    prompt_s, token_s = _measurements(kind)
    return _lines(prompt_s, size), _lines(token_s, size)


def _measurements(kind: Dgx) -> tuple[dict[int, list[float]], dict[int, list[float]]]:
    """Measured seconds by the tokens of a batch: of its prompts, and of each further token."""
    name, slowdown = kind.value
    prompt_s: defaultdict[int, list[float]] = defaultdict(list)
    token_s: defaultdict[int, list[float]] = defaultdict(list)
    for run in measured(name):
        prompt_s[run.batch_tokens].append(run.prefill_s * slowdown)
        token_s[run.batch_tokens].append(run.decode_s)
    return prompt_s, token_s


def _lines(seconds: dict[int, list[float]], size: int) -> Floats:
    """Lines between the medians, the outermost ones beyond them."""
    tokens = np.array(sorted(seconds))
    medians = np.array([np.median(seconds[one]) for one in sorted(seconds)])
    at = np.arange(size)
    right = np.clip(np.searchsorted(tokens, at), 1, tokens.size - 1)
    left = right - 1
    slope = (medians[right] - medians[left]) / (tokens[right] - tokens[left])
    found: Floats = slope * (at - tokens[left]) + medians[left]
    return found
