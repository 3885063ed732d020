"""
Estimators of how many tokens running and waiting requests will produce, by the names that a document uses.

An estimator is told of each request that arrives and ends, and answers for a whole batch at once, since it is
asked at each step of an engine. It may answer differently when it is asked again: `draws` says how many
answers are worth comparing. None of them knows the future; the one that does is for tests and benchmarks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from loadline_policies.kv.length_buckets import EDGES, BucketClassifier, bucket_of, features_of
from loadline_policies.kv.lengths import Floats, LengthHistory
from loadline_policies.kv.peaks import Ints
from loadline_policies.kv.predicted_memory import Config, EstimatorName

DRAWS: Final = 5
"""Answers of the history to compare where the batch is small, as in Past-Future's published code."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """Tokens that requests have produced, and the most that each may; both arrays have shape [requests]."""

    ids: Sequence[str]
    produced: Ints
    most: Ints


class Estimator(Protocol):
    """How long requests will become."""

    draws: int
    """How many answers to compare; 1 where an answer doesn't depend on chance."""

    @property
    def is_warm(self) -> bool:
        """Whether it has seen enough to be believed; until then it is cautious."""
        ...

    @property
    def mispredicted(self) -> int:
        """Requests that outgrew what was predicted for them."""
        ...

    def arrived(self, request_id: str, prompt: Sequence[int]) -> None: ...

    def totals(self, batch: Lengths, uniforms: Floats) -> Ints:
        """Tokens that each request will have produced at its end, between `produced` and `most`.

        `uniforms`, independent draws from [0, 1), and what is returned have shape [draws, requests].
        """
        ...

    def finished(self, request_id: str, output_tokens: int | None) -> None:
        """A request ended; None if it didn't come to its end, so that its length says nothing."""
        ...


class ByHistory:
    """Draws from the lengths of the last requests; what a prompt says isn't looked at."""

    mispredicted = 0

    def __init__(self, history: LengthHistory, *, draws: int) -> None:
        self._history, self.draws = history, draws

    @property
    def is_warm(self) -> bool:
        return self._history.is_warm

    def arrived(self, request_id: str, prompt: Sequence[int]) -> None: ...

    def totals(self, batch: Lengths, uniforms: Floats) -> Ints:
        return self._history.totals(batch.produced, batch.most, uniforms)

    def finished(self, request_id: str, output_tokens: int | None) -> None:
        if output_tokens is not None:
            self._history.add(output_tokens)


class ByBuckets:
    """The upper bound of the bucket that a classifier guesses; the next one if the request outgrows it.

    Until `least` requests have ended, `initial_tokens` is the guess for all.
    """

    draws = 1

    def __init__(self, *, least: int, initial_tokens: int) -> None:
        self._classifier = BucketClassifier()
        self.retune(least=least, initial_tokens=initial_tokens)
        self._known = 0
        self._features: dict[str, Ints] = {}
        self._guesses: dict[str, int] = {}
        self._outgrown = 0

    def retune(self, *, least: int, initial_tokens: int) -> None:
        """Go by other settings from now on, and keep what the classifier has learnt."""
        self._least, self._initial = least, bucket_of(initial_tokens)

    @property
    def is_warm(self) -> bool:
        return self._known >= self._least

    @property
    def mispredicted(self) -> int:
        return self._outgrown

    def arrived(self, request_id: str, prompt: Sequence[int]) -> None:
        features = self._features[request_id] = features_of(prompt)
        self._guesses[request_id] = self._classifier.guess(features) if self.is_warm else self._initial

    def totals(self, batch: Lengths, uniforms: Floats) -> Ints:
        guesses, initial = self._guesses, self._initial
        edges = np.array([EDGES[guesses.get(one, initial)] for one in batch.ids], dtype=np.int64)
        for place in np.flatnonzero((batch.produced >= edges) & (batch.produced < batch.most)).tolist():
            edges[place] = self._next_edge(batch.ids[place], int(batch.produced[place]))
        return _alike(np.maximum(np.minimum(edges, batch.most), batch.produced), uniforms)

    def finished(self, request_id: str, output_tokens: int | None) -> None:
        features = self._features.pop(request_id, None)
        self._guesses.pop(request_id, None)
        if features is not None and output_tokens is not None:
            self._classifier.learn(features, output_tokens)
            self._known += 1

    def _next_edge(self, request_id: str, produced: int) -> int:
        """The upper bound of the bucket above what a request has produced; the whole of it counts as one."""
        if request_id in self._guesses:
            self._outgrown += 1
            self._guesses[request_id] = bucket_of(produced + 1)
        return max(EDGES[bucket_of(produced + 1)], 2 * produced if produced >= EDGES[-1] else 0)


class ByWorstCase:
    """Each request produces as many tokens as it may; nothing has to be preempted then, and little fits."""

    draws, is_warm, mispredicted = 1, True, 0

    def arrived(self, request_id: str, prompt: Sequence[int]) -> None: ...

    def totals(self, batch: Lengths, uniforms: Floats) -> Ints:
        return _alike(np.maximum(batch.most, batch.produced), uniforms)

    def finished(self, request_id: str, output_tokens: int | None) -> None: ...


class ByOracle(ByWorstCase):
    """The true lengths, as a test or a benchmark knows them."""

    def __init__(self, true_lengths: Mapping[str, int]) -> None:
        self._true = true_lengths

    def totals(self, batch: Lengths, uniforms: Floats) -> Ints:
        true = np.array([self._true[one] for one in batch.ids], dtype=np.int64)
        return _alike(np.maximum(true, batch.produced), uniforms)


def _alike(totals: Ints, uniforms: Floats) -> Ints:
    """An answer that doesn't depend on chance, for each draw."""
    return np.broadcast_to(totals, uniforms.shape)


def _least(settings: Config) -> int:
    """The requests after which an estimator is warm; no more than are remembered."""
    return min(settings.least_requests, settings.window_requests)


class LearningEstimators:
    """The estimators that a document may name. All learn from each request, so that a document may change.

    Its settings are those of a document. What was learnt is kept when they change.
    """

    def __init__(self, settings: Config) -> None:
        self._history = LengthHistory(
            window=settings.window_requests,
            least=settings.least_requests,
            initial_tokens=settings.initial_tokens,
        )
        self._buckets = ByBuckets(least=_least(settings), initial_tokens=settings.initial_tokens)
        self._all: Mapping[EstimatorName, Estimator] = {
            EstimatorName.HISTORY: ByHistory(self._history, draws=DRAWS),
            EstimatorName.BUCKETS: self._buckets,
            EstimatorName.WORST_CASE: ByWorstCase(),
        }

    def __getitem__(self, name: EstimatorName) -> Estimator:
        return self._all[name]

    @property
    def known(self) -> int:
        """How many lengths are remembered."""
        return self._history.known

    @property
    def mispredicted(self) -> int:
        """Requests that outgrew what any of them predicted when it was asked."""
        return sum(estimator.mispredicted for estimator in self._all.values())

    def retune(self, settings: Config) -> None:
        """Go by other settings from now on."""
        self._history.retune(
            window=settings.window_requests,
            least=settings.least_requests,
            initial_tokens=settings.initial_tokens,
        )
        self._buckets.retune(least=_least(settings), initial_tokens=settings.initial_tokens)

    def arrived(self, request_id: str, prompt: Sequence[int]) -> None:
        for estimator in self._all.values():
            estimator.arrived(request_id, prompt)

    def finished(self, request_id: str, output_tokens: int | None) -> None:
        for estimator in self._all.values():
            estimator.finished(request_id, output_tokens)
