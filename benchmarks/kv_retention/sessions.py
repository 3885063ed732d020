"""
Agentic sessions, drawn by seed from what was counted of recorded ones.

A session is a chain: each prompt is the one before and some tokens more, namely the answer and what tools
returned. So it was in nine of ten recorded requests, whose prompts had the whole prompt before them as their
prefix. `README.md` beside has the origin of the recordings, of which only quantiles are kept here, each drawn
from apart: a long prompt isn't followed by longer additions than a short one. A session ends early where its
next prompt wouldn't fit into the context, and has no turn where its first wouldn't.

    python -m benchmarks.kv_retention.sessions sessions.jsonl.gz      counts anew, and writes the quantiles
"""

import gzip
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import expm1
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np

FILE: Final = Path(__file__).with_name("agentic-sessions.json")
PERCENTS: Final = (0, *range(5, 100, 5), 99, 100)
RECORDED_BLOCK_TOKENS: Final = 64

Quantiles: TypeAlias = Mapping[str, Sequence[float]]
Runs: TypeAlias = Sequence[Sequence[int]]
"""Blocks of a recorded prompt, as runs of successive ids: the first one, and how many."""

Row: TypeAlias = tuple[float, int, int, Runs]
"""A recorded request: seconds since its session's start, tokens of prompt and output, the prompt's blocks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One request of a session. Its prompt's first `prompt_tokens` are those of all later turns too."""

    session: int
    at_s: float
    prompt_tokens: int
    output_tokens: int


def read() -> Quantiles:
    """The quantiles at PERCENTS, by what they are of."""
    found: Quantiles = json.loads(FILE.read_text("utf-8"))
    return found


def drawn(
    quantiles: Quantiles, *, sessions: int, context_tokens: int, within_s: float, seed: int
) -> list[Turn]:
    """The turns of so many sessions in order of time. They begin within the first `within_s` seconds."""
    draws = _Draws(quantiles, np.random.default_rng(seed))
    turns = [
        turn
        for session in range(sessions)
        for turn in _session(draws, session, within_s=within_s, context_tokens=context_tokens)
    ]
    return sorted(turns, key=lambda turn: turn.at_s)


class _Draws:
    """Values by their quantiles; between two of them logarithms are interpolated, since tails are long."""

    def __init__(self, quantiles: Quantiles, rng: np.random.Generator) -> None:
        self.rng = rng
        self._logarithms = {name: np.log1p(values) for name, values in quantiles.items()}

    def one(self, name: str) -> float:
        return expm1(float(np.interp(100 * self.rng.random(), PERCENTS, self._logarithms[name])))

    def tokens(self, name: str) -> int:
        return max(1, round(self.one(name)))


def _session(draws: _Draws, session: int, *, within_s: float, context_tokens: int) -> Iterator[Turn]:
    at_s, prompt = float(draws.rng.uniform(0.0, within_s)), draws.tokens("first_prompt_tokens")
    for _ in range(draws.tokens("turns")):
        output = draws.tokens("output_tokens")
        if prompt + output > context_tokens:
            return
        yield Turn(session=session, at_s=at_s, prompt_tokens=prompt, output_tokens=output)
        prompt += draws.tokens("added_tokens")
        at_s += draws.one("gap_s")


def counted(sessions: Iterable[Sequence[Row]]) -> Quantiles:
    """The quantiles of recorded sessions."""
    of: dict[str, list[float]] = {
        name: [] for name in ("turns", "first_prompt_tokens", "added_tokens", "output_tokens", "gap_s")
    }
    for rows in sessions:
        of["turns"].append(len(rows))
        of["first_prompt_tokens"].append(rows[0][1])
        of["output_tokens"] += [row[2] for row in rows]
        of["gap_s"] += [
            later[0] - earlier[0] for earlier, later in pairwise(sorted(rows, key=lambda row: row[0]))
        ]
        for place, (_, prompt, _, blocks) in enumerate(rows[1:], 1):
            known = max(common_blocks(blocks, row[3]) for row in rows[:place])
            of["added_tokens"].append(max(0, prompt - RECORDED_BLOCK_TOKENS * known))
    return {name: np.percentile(values, PERCENTS).round(1).tolist() for name, values in of.items()}


def common_blocks(one: Runs, other: Runs) -> int:
    """How many of their first blocks two prompts have in common."""
    common = 0
    for (first, length), (other_first, other_length) in zip(one, other, strict=False):
        if first != other_first:
            break
        common += min(length, other_length)
        if length != other_length:
            break
    return common


def _recorded(path: Path) -> list[list[Row]]:
    found: dict[int, list[Row]] = {}
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            session, *row = json.loads(line)
            found.setdefault(session, []).append(tuple(row))
    return list(found.values())


def main() -> None:
    """Count the sessions of a file, and write what was counted."""
    text = json.dumps(counted(_recorded(Path(sys.argv[1]))), indent=1)
    FILE.write_text(text.replace("\n  ", " ").replace("\n ]", " ]") + "\n", "utf-8")
    print(f"{FILE}: {FILE.stat().st_size} bytes")


if __name__ == "__main__":
    main()
