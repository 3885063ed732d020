"""
What the layers of experts of one engine have counted in the last minutes.

A plugin reports sums since its settings changed, so sums begin anew with each generation. A policy needs what
happened lately. So each report adds the difference to the one before, and what is older than the window is
forgotten. The first report of an engine adds nothing: what it has counted may be of last week.

What a bound has done is counted for the settings that all ranks hold now, and forgotten with them.

Pure: the caller gives the time.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from loadline_api.expert_counts import BoundCounts, ExpertCounts
from loadline_policies.experts.service_loads import GuardReadings
from loadline_policies.experts.shadow_tables import Counts, summed

WINDOW_S: Final = 300.0
"""How far back the window reaches: as far as that of the latencies. Chosen."""

LEAST_BATCHES: Final = 4
"""Bounded batches below which the shares of what was dropped are chance, and unknown. Chosen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Slice:
    """What was counted between two reports; `bound` is None unless both were of the same settings."""

    at_s: float
    counts: Counts
    batches: int
    bound: BoundCounts | None


class CountWindow:
    """The reports of one engine, in the order of time; `last` is the newest.

    `counts` are the sums over the window, None while there are none. They are added up with each report,
    since they are read more often than that.
    """

    def __init__(self) -> None:
        self.last: ExpertCounts | None = None
        self.counts: Counts | None = None
        self._generation: int | None = None
        self._slices: deque[_Slice] = deque()

    def add(self, counts: ExpertCounts, *, generation: int | None, now: float) -> None:
        """Take a report; `generation` is that of the settings on all ranks, None while ranks may differ."""
        before, same = self.last, generation == self._generation
        self.last, self._generation = counts, generation
        if not same:
            self._slices = deque([_without_bound(one) for one in self._slices])
        if before is not None and generation is not None:
            added = _added(before if same else None, counts, now=now)
            if added is not None:
                self._slices.append(added)
        while self._slices and now - self._slices[0].at_s > WINDOW_S:
            self._slices.popleft()
        self.counts = summed(one.counts for one in self._slices)

    @property
    def batches(self) -> int:
        """Large batches in the window."""
        return sum(one.batches for one in self._slices)

    @property
    def guard(self) -> GuardReadings:
        """What the bound that all ranks hold now has done in the window, without the canaries' drift."""
        bounds = [one.bound for one in self._slices if one.bound is not None]
        layers = len(self.last.layers) if self.last is not None else 0
        batches = sum(one.bounded_batches for one in bounds)
        offered, tokens = sum(one.offered for one in bounds), sum(one.tokens or 0 for one in bounds)
        if not layers or batches < LEAST_BATCHES * layers or not offered or not tokens:
            return GuardReadings()
        return GuardReadings(
            dropped_fraction=sum(one.dropped for one in bounds) / offered,
            without_expert_fraction=sum(one.without_expert for one in bounds) / tokens,
        )


def _without_bound(one: _Slice) -> _Slice:
    return _Slice(at_s=one.at_s, counts=one.counts, batches=one.batches, bound=None)


def _added(before: ExpertCounts | None, now_counts: ExpertCounts, *, now: float) -> _Slice | None:
    """What a report adds to the one before; all of it if counting began anew. None without a layer."""
    total = now_counts.total
    if total is None:
        return None
    earlier = before.total if before is not None else None
    counts = difference(total, earlier) if earlier is not None else None
    if before is None or counts is None:
        return _Slice(at_s=now, counts=total, batches=_large(now_counts), bound=now_counts.bound)
    batches = max(0, _large(now_counts) - _large(before))
    return _Slice(
        at_s=now, counts=counts, batches=batches, bound=_bound_difference(now_counts.bound, before.bound)
    )


def _large(counts: ExpertCounts) -> int:
    """Large batches: each passes all layers, so the layer that counted most of them has seen all."""
    return max((layer.batches[1] for layer in counts.layers.values()), default=0)


def difference(now: Counts, before: Counts) -> Counts | None:
    """What was counted between two sums; None if one of them has fallen, or pairs have come without a load.

    Sums that fall began anew; loads are what imbalances are divided by.
    """
    dropped = tuple(new - old for new, old in zip(now.dropped, before.dropped, strict=True))
    capped = tuple(new - old for new, old in zip(now.capped_rank_most, before.capped_rank_most, strict=True))
    found = Counts(
        pairs=now.pairs - before.pairs,
        expert_mean=now.expert_mean - before.expert_mean,
        expert_most=now.expert_most - before.expert_most,
        rank_mean=now.rank_mean - before.rank_mean,
        rank_most=now.rank_most - before.rank_most,
        dropped=dropped,
        capped_rank_most=capped,
    )
    if found.pairs and min(found.expert_mean, found.rank_mean, found.rank_most) <= 0.0:
        return None
    amounts = (found.expert_mean, found.expert_most, found.rank_mean, found.rank_most, *capped)
    return found if min(found.pairs, *dropped) >= 0 and min(amounts) >= 0.0 else None


def _bound_difference(now: BoundCounts, before: BoundCounts) -> BoundCounts:
    """What the bound did between two reports; all of `now` if its counts began anew, and have fallen."""
    later, earlier = now.model_dump(), before.model_dump()
    found = {name: (value or 0) - (earlier[name] or 0) for name, value in later.items()}
    try:
        return BoundCounts.model_validate(found)
    except ValidationError:
        return now
