"""The peak of a batch equals that of a replay token by token."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_policies.kv.peaks import BlockGroup, peak_blocks

requests = st.lists(st.tuples(st.integers(0, 90), st.integers(0, 70)), max_size=12)


def replayed(batch: list[tuple[int, int]], block_tokens: int, most_blocks: int | None = None) -> int:
    """Blocks at each token: a request holds its memory until it has grown by all that remains."""
    at_most = most_blocks if most_blocks is not None else 10**9
    return max(
        (
            sum(min(-(-(held + time) // block_tokens), at_most) for held, rest in batch if rest >= time)
            for time in range(71)
        ),
        default=0,
    )


def peak(batch: list[tuple[int, int]], group: BlockGroup) -> int:
    held, remaining = np.array(batch, dtype=np.int64).reshape(-1, 2).T
    return peak_blocks(held, remaining, group)


@given(requests, st.integers(1, 20))
def test_the_peak_is_exact_in_whole_blocks(batch: list[tuple[int, int]], block_tokens: int) -> None:
    assert peak(batch, BlockGroup(block_tokens=block_tokens)) == replayed(batch, block_tokens)


@given(requests, st.integers(30, 200))
def test_the_peak_is_exact_in_large_blocks_too(batch: list[tuple[int, int]], block_tokens: int) -> None:
    assert peak(batch, BlockGroup(block_tokens=block_tokens)) == replayed(batch, block_tokens)


@given(requests, st.integers(1, 20), st.integers(1, 6))
def test_the_peak_of_bounded_requests_is_an_upper_bound_within_both_limits(
    batch: list[tuple[int, int]], block_tokens: int, most: int
) -> None:
    found = peak(batch, BlockGroup(block_tokens=block_tokens, most_blocks=most))
    assert (
        replayed(batch, block_tokens, most) <= found <= min(replayed(batch, block_tokens), most * len(batch))
    )


@given(
    st.lists(st.tuples(st.integers(0, 90), st.integers(0, 70), st.integers(1, 120)), max_size=12),
    st.integers(1, 20),
)
def test_a_bounded_request_counts_with_its_bound_until_it_ends(
    batch: list[tuple[int, int, int]], block_tokens: int
) -> None:
    held, remaining, bounds = np.array(batch, dtype=np.int64).reshape(-1, 3).T
    found = peak_blocks(held, remaining, BlockGroup(block_tokens=block_tokens), bounds=bounds)
    replay = (
        sum(-(-min(tokens + time, bound) // block_tokens) for tokens, rest, bound in batch if rest >= time)
        for time in range(71)
    )
    most = sum(-(-min(tokens + rest, bound) // block_tokens) for tokens, rest, bound in batch)
    assert max(replay, default=0) <= found <= most


@pytest.mark.parametrize(
    ("batch", "blocks"),
    [
        ([], 0),
        ([(0, 0)], 0),
        ([(16, 0)], 1),
        ([(16, 1)], 2),
        ([(17, 0), (16, 15)], 3),  # the first ends before the other needs a second block
        ([(100, 0), (1, 100)], 8),  # the long one ends before the other grows
    ],
)
def test_the_peak_of_small_batches(batch: list[tuple[int, int]], blocks: int) -> None:
    assert peak(batch, BlockGroup(block_tokens=16)) == blocks
