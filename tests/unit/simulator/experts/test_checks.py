"""The study's checks of itself can fail: each is given replays that break it."""

from dataclasses import replace

import pytest

from loadline_sim.experts import checks
from loadline_sim.experts.caches import Replay
from loadline_sim.experts.policies import BOUND, POLICIES

GOOD = Replay(accesses=10, hits=4, late=0, misses=6, prefetched=0, stall_s=6.0)
REPLAYS = {policy.name: GOOD for policy in POLICIES} | {BOUND: replace(GOOD, hits=5, misses=5)}


def test_replays_that_keep_to_the_rules_pass() -> None:
    assert checks.none_beats_belady(REPLAYS)
    assert checks.all_accesses_are_counted(REPLAYS)


@pytest.mark.parametrize("name", [policy.name for policy in POLICIES if policy.name != BOUND])
def test_fewer_loads_than_beladys_are_found(name: str) -> None:
    assert not checks.none_beats_belady({**REPLAYS, name: replace(GOOD, hits=6, misses=4)})


def test_more_hits_are_no_fault_of_one_that_prefetches_as_long_as_it_loads_as_much() -> None:
    prefetching = replace(GOOD, hits=9, misses=1, prefetched=4)
    assert checks.none_beats_belady({**REPLAYS, "plec": prefetching})
    assert not checks.none_beats_belady({**REPLAYS, "plec": replace(prefetching, prefetched=3)})
    assert not checks.none_beats_belady({**REPLAYS, "lru": prefetching})


def test_an_access_that_is_not_counted_is_found() -> None:
    assert not checks.all_accesses_are_counted({**REPLAYS, "lru": replace(GOOD, misses=5)})
