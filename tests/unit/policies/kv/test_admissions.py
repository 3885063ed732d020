"""A request starts only if the batch with it fits until it ends; order is kept, and something runs."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from loadline_policies.kv.admissions import Admission, Member, Members, Pool, Verdict
from loadline_policies.kv.estimators import ByOracle
from loadline_policies.kv.peaks import BlockGroup

BLOCK = 16


def member(name: str, *, prompt: int = 64, produced: int = 0, shared: int = 0) -> Member:
    return Member(
        request_id=name,
        held_tokens=prompt + produced,
        produced_tokens=produced,
        most_tokens=10_000,
        shared_tokens=shared,
    )


def admission(
    lengths: dict[str, int], *, blocks: int, reserve_percent: int = 0, groups: int = 1
) -> Admission:
    pool = Pool(
        blocks=blocks, groups=(BlockGroup(block_tokens=BLOCK),) * groups, reserve_percent=reserve_percent
    )
    return Admission(pool, ByOracle(lengths), rng=np.random.default_rng(0))


def test_a_request_is_refused_when_the_batch_would_outgrow_the_pool_later() -> None:
    tight = admission({"a": 64, "b": 64}, blocks=15)
    tight.begin(Members.of([member("a")]))
    verdict = tight.ask(member("b"))
    assert not verdict.fits
    assert verdict.peak_blocks == 16


def test_a_request_fits_when_another_ends_before_it_grows() -> None:
    room = admission({"a": 4, "b": 64}, blocks=10)
    room.begin(Members.of([member("a")]))
    assert room.ask(member("b")).fits


def test_a_request_that_fits_belongs_to_the_batch_for_the_next() -> None:
    room = admission(dict.fromkeys("abc", 64), blocks=16)
    room.begin(Members.of([]))
    assert [room.ask(member(name)).fits for name in "abc"] == [True, True, False]


def test_something_runs_however_large_it_is() -> None:
    assert admission({"a": 10_000}, blocks=4).ask(member("a")).fits


def test_a_request_that_alone_outgrows_the_pool_counts_with_what_it_holds_now() -> None:
    """It fits with none, so it would have to wait until nothing runs, and then all others for it."""
    room = admission({"a": 16, "huge": 1000, "b": 16}, blocks=20)
    room.begin(Members.of([member("a")]))
    assert room.ask(member("huge")) == Verdict(True, 9)
    assert room.ask(member("b")).fits


def test_a_request_that_must_start_is_counted_from_then_on() -> None:
    room = admission({"a": 200, "b": 200, "c": 16}, blocks=20)
    room.begin(Members.of([member("a")]))
    assert room.ask(member("b"), must_start=True) == Verdict(True, 34)
    assert not room.ask(member("c")).fits


def test_a_reserve_stays_free() -> None:
    room = admission({"a": 16, "b": 16}, blocks=10, reserve_percent=5)
    room.begin(Members.of([member("a")]))
    assert room.pool.usable_blocks == 9
    assert not room.ask(member("b")).fits


def test_blocks_that_requests_share_are_counted_once() -> None:
    room = admission({"a": 16, "b": 16}, blocks=6)
    room.begin(Members.of([member("a", shared=64)], shared_blocks=4))
    assert room.ask(member("b", shared=64)) == Verdict(True, 6)


def test_layers_of_several_groups_take_blocks_of_one_pool() -> None:
    assert admission({"a": 16}, blocks=10, groups=2).ask(member("a")).peak_blocks == 10


def test_requests_that_drop_tokens_count_with_what_they_hold() -> None:
    room = admission({"a": 1000, "b": 1000, "c": 100}, blocks=12)
    room.begin(Members.of([replace(member("a"), bound_tokens=64)]))
    assert room.ask(replace(member("b"), bound_tokens=64)) == Verdict(True, 8)
    assert not room.ask(member("c")).fits


@given(
    st.lists(st.tuples(st.integers(1, 200), st.integers(0, 200)), min_size=1, max_size=20),
    st.integers(1, 40),
)
def test_admitted_requests_never_need_more_than_the_pool_with_true_lengths(
    arrivals: list[tuple[int, int]], blocks: int
) -> None:
    """Replayed token by token; a request that alone is too large is vLLM's to judge."""
    arrivals = [one for one in arrivals if -(-sum(one) // BLOCK) <= blocks]
    lengths = {str(number): output for number, (_, output) in enumerate(arrivals)}
    room = admission(lengths, blocks=blocks)
    room.begin(Members.of([]))
    admitted = []
    for number, (prompt, output) in enumerate(arrivals):
        if not room.ask(member(str(number), prompt=prompt)).fits:
            break
        admitted.append((prompt, output))
    needed = max(
        sum(-(-(prompt + time) // BLOCK) for prompt, output in admitted if output >= time)
        for time in range(201)
    )
    assert needed <= blocks
