"""Agentic sessions: chains of prompts whose lengths are those of the recorded ones."""

from itertools import groupby, pairwise

import numpy as np
import pytest

from benchmarks.kv_retention import sessions
from benchmarks.kv_retention.sessions import PERCENTS, Turn, common_blocks, counted, drawn

CONTEXT_TOKENS = 131_072


def turns(*, seed: int = 0, count: int = 200, context_tokens: int = CONTEXT_TOKENS) -> list[Turn]:
    return drawn(sessions.read(), sessions=count, context_tokens=context_tokens, within_s=600.0, seed=seed)


def test_a_seed_always_draws_the_same_sessions() -> None:
    assert turns() == turns()
    assert turns() != turns(seed=1)


def test_turns_come_in_order_of_time_and_each_session_s_prompts_grow() -> None:
    found = turns()
    assert all(one.at_s <= other.at_s for one, other in pairwise(found))
    by_session = groupby(sorted(found, key=lambda turn: turn.session), key=lambda turn: turn.session)
    for _, session in by_session:
        assert all(one.prompt_tokens <= other.prompt_tokens for one, other in pairwise(session))


def test_no_turn_exceeds_the_context() -> None:
    assert max(turn.prompt_tokens + turn.output_tokens for turn in turns()) <= CONTEXT_TOKENS


def test_what_is_drawn_has_the_recorded_quantiles() -> None:
    """Of first prompts; where none is too long for the context."""
    found = turns(count=1_000, context_tokens=10_000_000)
    firsts = {turn.session: turn.prompt_tokens for turn in reversed(found)}
    recorded = sessions.read()["first_prompt_tokens"][PERCENTS.index(50)]
    assert np.median(list(firsts.values())) == pytest.approx(recorded, rel=0.1)


def test_every_quantile_ascends() -> None:
    for values in sessions.read().values():
        assert len(values) == len(PERCENTS)
        assert list(values) == sorted(values)


@pytest.mark.parametrize(
    ("one", "other", "common"),
    [
        ([[1, 5]], [[1, 5]], 5),
        ([[1, 5]], [[1, 3]], 3),
        ([[1, 5]], [[2, 5]], 0),
        ([[1, 5], [9, 2]], [[1, 5], [9, 1], [20, 3]], 6),
        ([[1, 5], [9, 2]], [[1, 4], [9, 2]], 4),
        ([], [[1, 4]], 0),
    ],
)
def test_blocks_are_common_up_to_the_first_that_differs(
    one: list[list[int]], other: list[list[int]], common: int
) -> None:
    assert common_blocks(one, other) == common_blocks(other, one) == common


def test_what_a_prompt_adds_is_counted_beyond_the_blocks_that_any_earlier_one_had() -> None:
    first, side, second = [[1, 2]], [[7, 9]], [[1, 2], [3, 4]]
    found = counted([[(0.0, 128, 10, first), (4.0, 576, 20, side), (9.0, 384, 30, second)]])
    assert found["turns"] == [3.0] * len(PERCENTS)
    assert found["first_prompt_tokens"][0] == 128
    assert (found["added_tokens"][0], found["added_tokens"][-1]) == (384 - 2 * 64, 576)
    assert (found["gap_s"][0], found["gap_s"][-1]) == (4.0, 5.0)
