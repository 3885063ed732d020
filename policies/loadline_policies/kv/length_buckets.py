"""
A guess from a request's prompt in which bucket of lengths its output will be, learnt while serving.

S³ (arXiv 2306.06000) sorts requests into buckets of output lengths by a classifier on the prompt, plans with
the bucket's upper bound, and has a supervisor move a request that outgrows its bucket to the next. Its
classifier is a fine-tuned DistilBERT. This one is a naive Bayes classifier on hashed tokens of the prompt's
beginning and end and on its length: it learns from each request that ends, in microseconds, and needs no
training data. Prompts that don't differ by their words are guessed by how frequent each bucket is.

Buckets double: 32, 64, 128 … tokens.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from loadline_policies.kv.peaks import Ints

EDGES: Final = tuple(32 << power for power in range(12))
"""The largest length of each bucket; the last one takes longer ones too."""

HASHES: Final = 1024
"""Columns that tokens are hashed to. Chosen: the table has 100 KiB."""

TOKENS_AT_END: Final = 16
"""Tokens that are looked at, at each end of a prompt. Chosen: its beginning has the instruction, and its end
the question."""


class BucketClassifier:
    """Counts of lengths by bucket, and of hashed tokens in prompts of each."""

    def __init__(self) -> None:
        self._buckets = np.ones(len(EDGES))
        self._features = np.ones((len(EDGES), HASHES))

    def guess(self, features: Ints) -> int:
        """The most likely bucket of a prompt with these `features`."""
        likelihoods = self._features[:, features] / self._features.sum(axis=1, keepdims=True)
        return int(np.argmax(np.log(self._buckets) + np.log(likelihoods).sum(axis=1)))

    def learn(self, features: Ints, output_tokens: int) -> None:
        """Count a request that has ended."""
        bucket = bucket_of(output_tokens)
        self._buckets[bucket] += 1
        np.add.at(self._features[bucket], features, 1)


def features_of(prompt: Sequence[int]) -> Ints:
    """Columns of a prompt's token ids: of those at both ends, and of its length in powers of two.

    A multiplicative hash (Knuth), so that neighbouring ids go to different columns.
    """
    ends = np.array(
        [*prompt[:TOKENS_AT_END], *prompt[max(TOKENS_AT_END, len(prompt) - TOKENS_AT_END) :]], dtype=np.int64
    )
    spread: NDArray[np.int64] = (ends * 2_654_435_761) % 2**32
    return np.append(spread % (HASHES - 64) + 64, min(len(prompt).bit_length(), 63))


def bucket_of(output_tokens: int) -> int:
    """The bucket that a length is in."""
    return min(int(np.searchsorted(EDGES, output_tokens)), len(EDGES) - 1)
