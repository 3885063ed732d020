"""
Which prompts begin alike: the blocks of each prompt by their ids, as runs of ids that follow each other.

An engine with prefix caching computes a block once and finds it again by its id. Prompts of agents have
thousands of blocks, most of them those of the prompt before; as runs they take a hundredth of the memory.
"""

from dataclasses import dataclass

import numpy as np

from loadline_sim.arrays import Ints
from loadline_sim.compiled import compiled_making_arrays


@dataclass(frozen=True, slots=True)
class Prefixes:
    """Request `i` has the runs `starts[i]` to `starts[i + 1]`; run `k` has `lengths[k]` ids from
    `firsts[k]` on.

    Ids are small whole numbers, and a block has `block_tokens` tokens.
    """

    block_tokens: int
    starts: Ints
    firsts: Ints
    lengths: Ints

    def __len__(self) -> int:
        return int(self.starts.size - 1)

    @property
    def blocks(self) -> Ints:
        """The number of blocks of each request."""
        sums = np.concatenate([[0], np.cumsum(self.lengths)])
        found: Ints = np.diff(sums[self.starts])
        return found

    @property
    def ids(self) -> int:
        """One more than the highest id."""
        return int((self.firsts + self.lengths).max(initial=0))

    def select(self, places: Ints) -> "Prefixes":
        """The prefixes of some requests, in the order of their places."""
        counts = np.diff(self.starts)[places]
        runs = spans(self.starts[places], counts)
        starts = np.concatenate([[0], np.cumsum(counts)])
        return Prefixes(self.block_tokens, starts, self.firsts[runs], self.lengths[runs])


def of_ids(ids: Ints, counts: Ints, *, block_tokens: int) -> Prefixes:
    """Prefixes out of all requests' ids, one after another, and how many each of them has."""
    small = np.unique(ids, return_inverse=True)[1].astype(np.int64)
    ends = np.cumsum(counts)
    begins = np.ones(small.size, bool)
    begins[1:] = np.diff(small) != 1
    begins[(ends - counts)[counts > 0]] = True
    heads = np.flatnonzero(begins)
    lengths = np.diff(np.append(heads, small.size))
    starts = np.searchsorted(heads, np.concatenate([[0], ends]))
    return Prefixes(block_tokens, starts.astype(np.int64), small[heads], lengths)


def spans(starts: Ints, counts: Ints) -> Ints:
    """All numbers from each start on, so many of each."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if ends.size else 0
    found: Ints = np.repeat(starts - (ends - counts), counts) + np.arange(total)
    return found


def cached_blocks(prefixes: Prefixes) -> Ints:
    """Of each request, the leading blocks that one before it has had: what a cache without limits would
    hit."""
    seen = np.zeros(prefixes.ids, np.bool_)
    return _leading(prefixes.starts, prefixes.firsts, prefixes.lengths, seen)


@compiled_making_arrays
def _leading(starts: Ints, firsts: Ints, lengths: Ints, seen: np.ndarray) -> Ints:  # noqa: PLR0917
    found = np.zeros(starts.size - 1, np.int64)
    for request in range(starts.size - 1):
        hits, leads = 0, True
        for run in range(starts[request], starts[request + 1]):
            for one in range(firsts[run], firsts[run] + lengths[run]):
                leads = leads and seen[one]
                hits += leads
                seen[one] = True
        found[request] = hits
    return found
