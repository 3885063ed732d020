"""
Whether a waiting request may start: whether the batch with it fits into the KV memory until it ends.

vLLM starts a request when its prompt fits into the blocks that are free now. The batch grows afterwards, and
what doesn't fit then is preempted and computed again. Here a request starts only if the predicted peak of the
batch with it is at most the pool less a reserve. The caller asks in the order in which the requests wait and
stops at the first that is refused, so none overtakes another. A request is never refused while nothing runs.

A request that alone is predicted to outgrow the pool fits with none, so prediction can't order it: it counts
with what it holds now, and vLLM decides about it by the blocks that are free.

Blocks that requests share, because their prompts begin alike, are counted once: the caller gives the tokens
that a member takes from shared blocks, and how many blocks are shared in all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from loadline_policies.kv.estimators import Estimator, Lengths
from loadline_policies.kv.peaks import BlockGroup, Ints, peak_blocks

ESTIMATES_PER_STEP: Final = 200
"""Several draws are compared only where the batch is small, as in Past-Future's published code."""

UNBOUNDED: Final = 2**40
"""A bound in tokens that no request reaches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A request as its memory sees it: tokens of its prompt and those it has produced, and the most it may.

    `shared_tokens` of them are in blocks that are counted with the pool's. The memory of at most
    `bound_tokens` is held at once, if tokens are dropped while the request runs.
    """

    request_id: str
    held_tokens: int
    produced_tokens: int
    most_tokens: int
    shared_tokens: int = 0
    bound_tokens: int = UNBOUNDED


@dataclass(frozen=True, slots=True, kw_only=True)
class Members:
    """Requests that hold memory, in columns of shape [requests], and how many blocks they share.

    An engine has hundreds at each step, and an object for each would cost more than the prediction.
    """

    ids: Sequence[str]
    held_tokens: Ints
    produced_tokens: Ints
    most_tokens: Ints
    shared_tokens: Ints
    bound_tokens: Ints | None = None
    shared_blocks: int = 0

    @classmethod
    def of(cls, members: Sequence[Member], *, shared_blocks: int = 0) -> "Members":
        """A few requests in columns."""
        columns = [
            (one.held_tokens, one.produced_tokens, one.most_tokens, one.shared_tokens, one.bound_tokens)
            for one in members
        ]
        held, produced, most, shared, bound = np.array(columns, dtype=np.int64).reshape(-1, 5).T
        return cls(
            ids=[one.request_id for one in members],
            held_tokens=held,
            produced_tokens=produced,
            most_tokens=most,
            shared_tokens=shared,
            bound_tokens=bound if (bound < UNBOUNDED).any() else None,
            shared_blocks=shared_blocks,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """The KV memory of an engine: its blocks, the groups of layers that share them, and a reserve."""

    blocks: int
    groups: tuple[BlockGroup, ...]
    reserve_percent: int

    @property
    def usable_blocks(self) -> int:
        return self.blocks * (100 - self.reserve_percent) // 100


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a request fits, and the peak that was predicted with it."""

    fits: bool
    peak_blocks: int


@dataclass(frozen=True, slots=True)
class _Batch:
    """The requests that hold memory in one step, and how many tokens each is predicted to produce yet.

    `own` are tokens in blocks that aren't shared, shape [requests]; `remaining` has shape [draws, requests].
    `bounds` are None if no request has one.
    """

    own: Ints
    remaining: Ints
    bounds: Ints | None = None
    shared_blocks: int = 0

    def joined(self, other: "_Batch") -> "_Batch":
        return _Batch(
            np.concatenate([self.own, other.own]),
            np.concatenate([self.remaining, other.remaining], axis=1),
            self._joined_bounds(other),
            self.shared_blocks + other.shared_blocks,
        )

    def _joined_bounds(self, other: "_Batch") -> Ints | None:
        if self.bounds is None and other.bounds is None:
            return None
        return np.concatenate(
            [
                np.full(len(one.own), UNBOUNDED, dtype=np.int64) if one.bounds is None else one.bounds
                for one in (self, other)
            ]
        )

    def peak_blocks(self, groups: Sequence[BlockGroup]) -> int:
        """The largest of the draws' peaks, over all groups of layers."""
        return self.shared_blocks + max(
            sum(peak_blocks(self.own, remaining, group, bounds=self.bounds) for group in groups)
            for remaining in self.remaining
        )


class Admission:
    """Admits requests by the estimates of an estimator; one step at a time."""

    def __init__(self, pool: Pool, estimator: Estimator, *, rng: np.random.Generator) -> None:
        self.pool, self.estimator = pool, estimator
        self._rng = rng
        self.begin(Members.of(()))

    def begin(self, members: Members) -> None:
        """A step begins in which `members` hold memory; their lengths are predicted once for it."""
        draws = max(1, min(self.estimator.draws, ESTIMATES_PER_STEP // max(1, len(members.ids)) + 1))
        self._batch = self._predicted(members, draws=draws)

    def ask(self, candidate: Member, *, new_shared_blocks: int = 0, must_start: bool = False) -> Verdict:
        """Whether the next waiting request fits, or `must_start`; if so, it is in the batch from now on."""
        alone = self._predicted(
            Members.of((candidate,), shared_blocks=new_shared_blocks), draws=len(self._batch.remaining)
        )
        with_it = self._batch.joined(alone)
        peak = with_it.peak_blocks(self.pool.groups)
        fits = must_start or not len(self._batch.own) or peak <= self.pool.usable_blocks
        if fits:
            self._batch = with_it
        return Verdict(fits, peak)

    def _predicted(self, members: Members, *, draws: int) -> _Batch:
        produced = members.produced_tokens
        uniforms = self._rng.random((draws, len(members.ids)))
        totals = self.estimator.totals(Lengths(members.ids, produced, members.most_tokens), uniforms)
        own = np.maximum(members.held_tokens - members.shared_tokens, 0)
        remaining = totals - produced
        bounds = self._within_pool(own, remaining, members.bound_tokens)
        return _Batch(own, remaining, bounds, members.shared_blocks)

    def _within_pool(self, own: Ints, remaining: Ints, bounds: Ints | None) -> Ints | None:
        """The bounds, with what they hold now for requests that would outgrow the pool by themselves."""
        most = (own + remaining).max(axis=0, initial=0)
        held = most if bounds is None else np.minimum(most, bounds)
        alone = np.zeros(len(own), dtype=np.int64) + sum(group.blocks(held) for group in self.pool.groups)
        outgrows = alone > self.pool.usable_blocks
        if not outgrows.any():
            return bounds
        return np.where(outgrows, own, UNBOUNDED if bounds is None else bounds)
