"""
Replays accesses through a cache of experts: hits, loads, and the time that the GPU waits for them.

A cache has slots in one or several pools; an expert may only lie in its own pool. An expert that is
needed and not there is loaded, and takes the slot of the one that the rule evicts:

- LRU: used the longest ago;
- LFU: used the fewest times since the start, also while it wasn't in a slot; of equals by LRU;
- BELADY: used again the latest. It knows the future up to `known_until`, beyond which it is LRU;
- PLEC: not predicted for the layer that is computed now, and not needed by it; of equals by LRU.

With `prefetching`, experts predicted for the next layer are loaded while the current one computes.
The model of time: one link, one transfer at a time, which isn't interrupted. A layer waits for each
missing expert in turn, then computes for `layer_s`; a prefetch may start only while it computes. What
is still on its way when it is needed counts as *late*, and the layer waits for the rest of it. A
prefetch evicts no expert that is predicted for the same layer.

All compiled functions are in this module, for the reason that `compiled` gives.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from loadline_sim.arrays import Ints
from loadline_sim.compiled import compiled, compiled_making_arrays
from loadline_sim.experts.decode_steps import Accesses
from loadline_sim.experts.routings import Mask

LRU, LFU, BELADY, PLEC = range(4)
"""The rules of eviction."""

NONE = -1
"""No expert: a free slot, no victim, or the end of a list of predictions."""


class _Demand(NamedTuple):
    key: Ints
    group_starts: Ints
    next_use: Ints
    known_until: Ints
    predicted: Ints


class _Cache(NamedTuple):
    rule: int
    pool_of: Ints
    slots: Ints
    prefetching: bool


class _Past(NamedTuple):
    """By expert: index of the last and of the next access, uses so far, and the last group marked for it."""

    last: Ints
    coming: Ints
    uses: Ints
    marked: Ints
    resident: Mask
    members: Ints
    filled: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Pools:
    """How slots are shared out: `pool_of` has each expert's pool, `slots` the number in each pool."""

    pool_of: Ints
    slots: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What a cache did. `accesses` = `hits` + `late` + `misses`; `loads` = `misses` + `prefetched`."""

    accesses: int
    hits: int
    late: int
    misses: int
    prefetched: int
    stall_s: float

    @property
    def loads(self) -> int:
        return self.misses + self.prefetched

    @property
    def hit_ratio(self) -> float:
        """The share of accesses that found their expert in memory, completely loaded."""
        return self.hits / self.accesses


def shared(slots: int, *, layers: int, experts: int) -> Pools:
    """One pool for all experts."""
    return Pools(pool_of=np.zeros(layers * experts, dtype=np.int64), slots=np.array([slots], dtype=np.int64))


def by_layer(slots: Ints, *, experts: int) -> Pools:
    """A pool for each layer, with so many slots."""
    return Pools(pool_of=np.repeat(np.arange(slots.size, dtype=np.int64), experts), slots=slots)


def replay(
    accesses: Accesses,
    pools: Pools,
    *,
    rule: int,
    known_until: Ints | None = None,
    predicted: Ints | None = None,
    prefetching: bool = False,
    transfer_s: float = 1.0,
    layer_s: float = 0.0,
) -> Replay:
    """Replay all accesses, beginning with an empty cache.

    `known_until` has for each group the index of the first access that isn't known yet; by default all
    are known. `predicted` has for each group the slot keys predicted for it, the likeliest first, ended
    by NONE. A load takes `transfer_s`.
    """
    groups = accesses.group_starts.size - 1
    if known_until is None:
        known_until = np.full(groups, accesses.key.size + 1, dtype=np.int64)
    if predicted is None:
        predicted = np.empty((groups, 0), dtype=np.int64)
    hits, late, misses, prefetched, stall_s = _replayed(
        _Demand(accesses.key, accesses.group_starts, accesses.next_use, known_until, predicted),
        _Cache(rule, pools.pool_of, pools.slots, prefetching),
        transfer_s,
        layer_s,
    )
    return Replay(
        accesses=int(accesses.key.size),
        hits=int(hits),
        late=int(late),
        misses=int(misses),
        prefetched=int(prefetched),
        stall_s=float(stall_s),
    )


@compiled_making_arrays
def _replayed(  # noqa: PLR0917
    demand: _Demand, cache: _Cache, transfer_s: float, layer_s: float
) -> tuple[int, int, int, int, float]:
    past = _beginning(demand, cache)
    hits = late = misses = prefetched = 0
    stall_s = owed_s = 0.0
    on_its_way = NONE
    groups = demand.group_starts.size - 1
    for group in range(groups):
        _mark(demand, past, group)
        for i in range(demand.group_starts[group], demand.group_starts[group + 1]):
            key = demand.key[i]
            if past.resident[key] and key != on_its_way:
                hits += 1
            else:
                stall_s += owed_s
                owed_s = 0.0
                if key == on_its_way:
                    late += 1
                else:
                    misses += 1
                    stall_s += transfer_s
                    _admit(key, _victim(key, demand, cache, past, group, False), cache, past)
                on_its_way = NONE
            past.last[key] = i
            past.uses[key] += 1
            past.coming[key] = demand.next_use[i]
        free_s = layer_s - owed_s
        if free_s >= 0.0:
            on_its_way = NONE
        if cache.prefetching and group + 1 < groups:
            begun, free_s, newest = _prefetch(demand, cache, past, group + 1, free_s, transfer_s)
            prefetched += begun
            if free_s < 0.0 and begun:
                on_its_way = newest
        owed_s = max(-free_s, 0.0)
    return hits, late, misses, prefetched, stall_s


@compiled
def _prefetch(  # noqa: PLR0917
    demand: _Demand, cache: _Cache, past: _Past, group: int, free_s: float, transfer_s: float
) -> tuple[int, float, int]:
    """Begin transfers of what is predicted for `group`, as long as the layer before it computes.

    Returns their number, the time that is left (below zero: what the last one takes beyond it), and the
    last one.
    """
    begun, newest = 0, NONE
    _mark_predicted(demand, past, group)
    for j in range(demand.predicted.shape[1]):
        key = demand.predicted[group, j]
        if key == NONE or free_s <= 0.0:
            break
        if past.resident[key]:
            continue
        pool = cache.pool_of[key]
        victim = _victim(key, demand, cache, past, group, True)
        if victim == NONE and past.filled[pool] == cache.slots[pool]:
            continue
        _admit(key, victim, cache, past)
        past.last[key] = demand.group_starts[group] - 1
        begun, newest, free_s = begun + 1, key, free_s - transfer_s
    return begun, free_s, newest


@compiled_making_arrays
def _beginning(demand: _Demand, cache: _Cache) -> _Past:
    experts, accesses = cache.pool_of.size, demand.key.size
    coming = np.full(experts, accesses, dtype=np.int64)
    for i in range(accesses - 1, -1, -1):
        coming[demand.key[i]] = i
    return _Past(
        np.full(experts, -1, dtype=np.int64),
        coming,
        np.zeros(experts, dtype=np.int64),
        np.full(experts, -1, dtype=np.int64),
        np.zeros(experts, dtype=np.bool_),
        np.full((cache.slots.size, cache.slots.max()), NONE, dtype=np.int64),
        np.zeros(cache.slots.size, dtype=np.int64),
    )


@compiled
def _mark(demand: _Demand, past: _Past, group: int) -> None:
    """Mark what is predicted for a group, and what it needs: its router has run before it loads."""
    _mark_predicted(demand, past, group)
    for i in range(demand.group_starts[group], demand.group_starts[group + 1]):
        past.marked[demand.key[i]] = group


@compiled
def _mark_predicted(demand: _Demand, past: _Past, group: int) -> None:
    for j in range(demand.predicted.shape[1]):
        key = demand.predicted[group, j]
        if key == NONE:
            break
        past.marked[key] = group


@compiled
def _victim(  # noqa: PLR0917
    key: int, demand: _Demand, cache: _Cache, past: _Past, group: int, sparing: bool
) -> int:
    """Whom `key` replaces in its pool; NONE if a slot is free, or if all are spared.

    With `sparing`, experts marked for `group` are no victims.
    """
    pool = cache.pool_of[key]
    if past.filled[pool] < cache.slots[pool]:
        return NONE
    victim, least, oldest = NONE, 0, 0
    for slot in range(cache.slots[pool]):
        one = past.members[pool, slot]
        if sparing and past.marked[one] == group:
            continue
        worth = _worth(one, demand, cache.rule, past, group)
        if victim == NONE or worth < least or (worth == least and past.last[one] < oldest):
            victim, least, oldest = one, worth, past.last[one]
    return victim


@compiled
def _worth(one: int, demand: _Demand, rule: int, past: _Past, group: int) -> int:  # noqa: PLR0917
    """What a rule goes by; the least is evicted, of equals the least recently used."""
    if rule == LFU:
        return int(past.uses[one])
    if rule == BELADY:
        known = past.coming[one] < demand.known_until[group]
        return int(-past.coming[one] if known else -demand.key.size - 1)
    if rule == PLEC:
        return int(past.marked[one] == group)
    return 0


@compiled
def _admit(key: int, victim: int, cache: _Cache, past: _Past) -> None:  # noqa: PLR0917
    """Put `key` into its victim's slot, or into a free one."""
    pool = cache.pool_of[key]
    slot = past.filled[pool]
    if victim == NONE:
        past.filled[pool] += 1
    else:
        slot = 0
        while past.members[pool, slot] != victim:
            slot += 1
        past.resident[victim] = False
    past.members[pool, slot] = key
    past.resident[key] = True
