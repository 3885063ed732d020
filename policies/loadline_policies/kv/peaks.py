"""
How many blocks of KV memory a batch of requests will need at its worst moment.

Memory grows while requests produce tokens and falls when one ends, so it is largest just before an end. When
requests are sorted by the tokens that they still have to produce, the longest first, the i-th of them ends
after `remaining[i]` more tokens, and those before it are still there, each having grown by as much. The peak
is the largest sum over these moments (Past-Future scheduler, arXiv 2507.10150, equations 2 to 4), here in
whole blocks instead of tokens.

A request whose memory is bounded counts with the most that it will hold, from now until it ends.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

PAIRS_PER_ENTRY: Final = 3
"""What a pair of requests costs, in entries of a table of requests by tokens of a block. Measured, about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockGroup:
    """Layers that share a block table: the tokens of a block, and the most blocks that one request holds.

    `most_blocks` is None where a request's blocks grow with its tokens. Layers with a sliding window hold no
    more than the window.
    """

    block_tokens: int
    most_blocks: int | None = None

    def blocks(self, tokens: Ints) -> Ints:
        """The blocks that requests with so many tokens hold."""
        found = -(-tokens // self.block_tokens)
        return found if self.most_blocks is None else np.minimum(found, self.most_blocks)


def peak_blocks(held: Ints, remaining: Ints, group: BlockGroup, *, bounds: Ints | None = None) -> int:
    """The most blocks of a group that requests with `held` tokens need until each has grown by `remaining`.

    `bounds` are the most tokens that each holds, None for no bound. All have shape [requests]. Exact in a
    group without `most_blocks` and without `bounds`; else an upper bound. Costs requests × block_tokens.
    """
    if not len(held):
        return 0
    size = group.block_tokens
    longest_first = np.argsort(-remaining, kind="stable")
    held, remaining = held[longest_first], remaining[longest_first]
    grows = np.ones(len(held), dtype=bool)
    if bounds is not None:
        bounds = bounds[longest_first]
        grows = held + remaining <= bounds
        held = np.where(grows, held, bounds)
    held_blocks, held_rest = np.divmod(held, size)
    grown_blocks, grown_rest = np.divmod(remaining, size)
    steady = np.cumsum(np.where(grows, 0, held_rest > 0))
    begun = _begun(np.where(grows, held_rest, -1), grown_rest, size)
    blocks = np.cumsum(held_blocks) + steady + np.cumsum(grows) * grown_blocks + begun
    if group.most_blocks is not None:
        blocks = np.minimum(blocks, np.arange(1, len(held) + 1) * group.most_blocks)
    return int(blocks.max())


def _begun(held: Ints, grown: Ints, size: int) -> Ints:
    """For each i, the sum over j ≤ i of ceil((held[j] + grown[i]) / size), where all are below `size`.

    A request with -1 held tokens isn't counted. Such a term is 0, 1 or 2. How many of the first i have at
    least t tokens is read from a table, so that no pair of requests is looked at. Blocks of hundreds of
    tokens, as models with states have them, would make a large table: there pairs are cheaper.
    """
    if PAIRS_PER_ENTRY * len(held) < size:
        sums = held[None, :] + grown[:, None]
        terms = ((sums >= 1).astype(np.int64) + (sums > size)) * (held >= 0)
        pairs: Ints = np.tril(terms).sum(axis=1)
        return pairs
    places = np.arange(len(held))
    at_least = np.zeros((size + 2, len(held)), dtype=np.int32)
    np.cumsum(held >= np.arange(size + 1)[:, None], axis=1, out=at_least[: size + 1])
    begun: Ints = at_least[np.maximum(1 - grown, 0), places] + at_least[size + 1 - grown, places]
    return begun
