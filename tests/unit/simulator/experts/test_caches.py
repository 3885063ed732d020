"""Properties that every cache keeps, whatever it is asked for, and small cases that are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadline_sim.experts import caches, checks, policies
from loadline_sim.experts.caches import Replay
from loadline_sim.experts.decode_steps import Accesses, next_uses
from loadline_sim.experts.policies import POLICIES, Sharing
from loadline_sim.experts.preparations import prepare
from loadline_sim.experts.routings import Routing
from loadline_sim.experts.settings import Settings
from testbed.small_routings import routings

RULES = {"lru": caches.LRU, "lfu": caches.LFU, "belady": caches.BELADY}
SILBERSCHATZ = [7, 0, 1, 2, 0, 3, 0, 4, 2, 3, 0, 3, 2, 1, 2, 0, 1, 7, 0, 1]
"""The reference string of textbooks on operating systems: with 3 frames LRU has 12 faults, OPT has 9."""


def one_by_one(keys: list[int], *, experts: int = 8) -> Accesses:
    """A model with one layer, whose steps need one expert each."""
    key = np.array(keys, dtype=np.int64)
    return Accesses(
        key=key,
        group_starts=np.arange(key.size + 1),
        next_use=next_uses(key),
        layers=1,
        experts=experts,
        step_tokens=tuple(np.array([i]) for i in range(key.size)),
    )


def replayed(keys: list[int], rule: str, *, slots: int) -> Replay:
    accesses = one_by_one(keys)
    return caches.replay(accesses, caches.shared(slots, layers=1, experts=8), rule=RULES[rule])


@pytest.mark.parametrize(("rule", "misses"), [("lru", 12), ("belady", 9)])
def test_textbook_counts(rule: str, misses: int) -> None:
    assert replayed(SILBERSCHATZ, rule, slots=3).misses == misses


def test_lfu_keeps_what_is_used_most() -> None:
    assert replayed([0, 0, 1, 2, 0], "lfu", slots=2).hits == 2
    assert replayed([0, 0, 1, 2, 0], "lru", slots=2).hits == 1


def test_belady_that_knows_nothing_is_lru() -> None:
    accesses = one_by_one(SILBERSCHATZ)
    blind = caches.replay(
        accesses,
        caches.shared(3, layers=1, experts=8),
        rule=caches.BELADY,
        known_until=np.zeros(len(SILBERSCHATZ), dtype=np.int64),
    )
    assert blind == replayed(SILBERSCHATZ, "lru", slots=3)


def slow_lru(keys: list[int], slots: int) -> int:
    """The obvious LRU: a list, the most recently used last."""
    held: list[int] = []
    hits = 0
    for key in keys:
        hits += key in held
        held = [one for one in held if one != key][-(slots - 1) :] if slots > 1 else []
        held.append(key)
    return hits


@given(st.lists(st.integers(0, 7), min_size=1, max_size=60), st.integers(1, 8))
def test_lru_is_the_obvious_one(keys: list[int], slots: int) -> None:
    assert replayed(keys, "lru", slots=slots).hits == slow_lru(keys, slots)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=9), st.integers(1, 4))
def test_belady_is_the_best_of_all_choices(keys: list[int], slots: int) -> None:
    def most_hits(i: int, held: frozenset[int]) -> int:
        if i == len(keys):
            return 0
        if keys[i] in held:
            return 1 + most_hits(i + 1, held)
        if len(held) < slots:
            return most_hits(i + 1, held | {keys[i]})
        return max(most_hits(i + 1, (held - {victim}) | {keys[i]}) for victim in held)

    assert replayed(keys, "belady", slots=slots).hits == most_hits(0, frozenset())


@given(st.lists(st.integers(0, 7), min_size=1, max_size=60), st.integers(1, 7))
def test_one_more_slot_never_hurts_lru_and_belady(keys: list[int], slots: int) -> None:
    for rule in ("lru", "belady"):
        assert replayed(keys, rule, slots=slots).hits <= replayed(keys, rule, slots=slots + 1).hits


@settings(max_examples=60)
@given(routings(), st.integers(1, 3), st.integers(1, 20), st.integers(0, 3))
def test_belady_beats_every_policy(routing: Routing, batch: int, slots: int, queued: int) -> None:
    batch = min(batch, len(routing.sequences) - len(routing.sequences) // 2)
    workload = prepare(routing, Settings(batch=batch, queued=queued)).workload
    assert checks.belady_is_best(workload, slots=max(slots, routing.layers))


@settings(max_examples=60)
@given(routings(), st.integers(1, 20), st.floats(0.0, 4.0))
def test_every_access_is_a_hit_late_or_a_miss(routing: Routing, slots: int, layer_s: float) -> None:
    workload = prepare(routing, Settings(batch=1)).workload
    for policy in POLICIES:
        done = policies.run(
            policy, workload, slots=max(slots, routing.layers), transfer_s=1.0, layer_s=layer_s
        )
        assert done.hits + done.late + done.misses == done.accesses == workload.accesses.key.size
        assert min(done.hits, done.late, done.misses, done.prefetched) >= 0
        assert done.misses <= done.stall_s + 1e-9
        assert policy.prefetching or done.stall_s == done.misses


@settings(max_examples=60)
@given(routings())
def test_with_a_slot_for_every_expert_each_is_loaded_once(routing: Routing) -> None:
    workload = prepare(routing, Settings(batch=1)).workload
    for policy in POLICIES:
        done = policies.run(policy, workload, slots=routing.model_experts, transfer_s=1.0, layer_s=0.0)
        assert (done.misses, done.prefetched) == (workload.accesses.distinct, 0)


def test_a_prefetch_that_fits_into_a_layers_time_hides_the_load() -> None:
    accesses = one_by_one([0, 1, 2])
    predicted = np.array([[-1], [1], [2]])
    shared = caches.shared(8, layers=1, experts=8)

    def stall_s(layer_s: float) -> Replay:
        return caches.replay(
            accesses, shared, rule=caches.LRU, predicted=predicted, prefetching=True, layer_s=layer_s
        )

    assert stall_s(1.0) == Replay(accesses=3, hits=2, late=0, misses=1, prefetched=2, stall_s=1.0)
    assert stall_s(0.75) == Replay(accesses=3, hits=0, late=2, misses=1, prefetched=2, stall_s=1.5)
    assert stall_s(0.0) == Replay(accesses=3, hits=0, late=0, misses=3, prefetched=0, stall_s=3.0)


def test_a_wrong_prefetch_delays_the_load_that_is_needed() -> None:
    done = caches.replay(
        one_by_one([0, 1]),
        caches.shared(8, layers=1, experts=8),
        rule=caches.LRU,
        predicted=np.array([[-1], [5]]),
        prefetching=True,
        layer_s=0.25,
    )
    assert (done.misses, done.prefetched, done.stall_s) == (2, 1, 1.0 + 0.75 + 1.0)


def test_a_prefetch_evicts_nothing_that_is_predicted_for_the_same_layer() -> None:
    done = caches.replay(
        one_by_one([0, 1]),
        caches.shared(1, layers=1, experts=8),
        rule=caches.LRU,
        predicted=np.array([[-1, -1], [1, 2]]),
        prefetching=True,
        layer_s=9.0,
    )
    assert (done.hits, done.prefetched) == (1, 1)


def test_plec_evicts_first_what_is_not_predicted() -> None:
    accesses = one_by_one([0, 1, 2, 0])
    predicted = np.array([[-1], [-1], [0], [-1]])
    shared = caches.shared(2, layers=1, experts=8)
    assert caches.replay(accesses, shared, rule=caches.PLEC, predicted=predicted).hits == 1
    assert caches.replay(accesses, shared, rule=caches.LRU).hits == 0


@given(st.lists(st.floats(0.0, 9.0), min_size=1, max_size=6), st.integers(0, 60))
def test_slots_are_shared_out_whole_and_more_take_none_away(weights: list[float], more: int) -> None:
    layers = len(weights)
    fewer, shares = (
        policies.shared_out(layers + count, np.array(weights), most=8) for count in (more, more + 1)
    )
    assert fewer.sum() == min(layers + more, 8 * layers)
    assert (fewer >= 1).all()
    assert (fewer <= 8).all()
    assert (shares >= fewer).all()


def test_only_the_bound_knows_the_whole_future() -> None:
    belady = [policy.name for policy in POLICIES if policy.rule == caches.BELADY and not policy.queued]
    assert belady == [policies.BOUND]
    assert all(policy.sharing is not Sharing.NONE for policy in POLICIES if policy.prefetching)
