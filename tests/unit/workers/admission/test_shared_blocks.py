"""Blocks that requests share are counted once, and forgotten with the last that holds them."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from loadline_vllm.admission.shared_blocks import SharedBlocks


def test_a_block_counts_once_for_all_that_hold_it() -> None:
    shared = SharedBlocks()
    shared.hold("a", [1, 2], tokens=32)
    assert shared.new_among([1, 2, 3]) == 1
    shared.hold("b", [1, 2, 3], tokens=48)
    assert (len(shared), shared.tokens("a"), shared.tokens("b"), shared.tokens("c")) == (3, 32, 48, 0)
    shared.release("a")
    assert len(shared) == 3
    shared.release("b")
    assert (len(shared), shared.requests) == (0, 0)


def test_a_second_start_replaces_the_first() -> None:
    shared = SharedBlocks()
    shared.hold("a", [1, 2], tokens=32)
    shared.hold("a", [2, 3], tokens=32)
    assert shared.new_among([1, 2, 3]) == 1
    shared.hold("a", [], tokens=0)
    assert (len(shared), shared.requests) == (0, 0)


FOUND = st.sets(st.integers(0, 9), max_size=6)


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.none() | FOUND), max_size=40))
def test_it_holds_exactly_what_its_requests_found(changes: list[tuple[str, set[int] | None]]) -> None:
    shared, held = SharedBlocks(), dict[str, set[int]]()
    for name, found in changes:
        if found is None:
            shared.release(name)
            held.pop(name, None)
        else:
            shared.hold(name, sorted(found), tokens=16 * len(found))
            held[name] = found
    distinct = Counter(block for found in held.values() for block in found)
    assert len(shared) == len(distinct)
    assert shared.new_among(range(10)) == 10 - len(distinct)
    assert {name: shared.tokens(name) for name in held} == {n: 16 * len(f) for n, f in held.items()}
