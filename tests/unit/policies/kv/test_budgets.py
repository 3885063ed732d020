"""A request's bound is a function of its length, and never reaches tokens that aren't folded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_policies.errors import InvalidInput
from loadline_policies.kv.budgets import Budget

budgets = st.builds(
    lambda kept, buffer, block: Budget(
        kept_tokens=kept * block, buffer_tokens=buffer * block, block_tokens=block
    ),
    st.integers(1, 8),
    st.integers(1, 8),
    st.integers(1, 32),
)


@given(budgets, st.integers(0, 5000))
def test_a_request_holds_its_budget_and_less_than_a_buffer_more(budget: Budget, computed: int) -> None:
    held = budget.held_tokens(computed)
    assert held <= computed
    assert held < budget.kept_tokens + budget.buffer_tokens
    assert held >= min(computed, budget.kept_tokens)


@given(budgets, st.integers(0, 5000))
def test_free_blocks_hold_only_tokens_that_are_computed_and_not_kept(budget: Budget, computed: int) -> None:
    folded = budget.folded_blocks(computed)
    assert folded.start * budget.block_tokens == budget.kept_tokens
    assert folded.stop * budget.block_tokens <= max(computed, budget.kept_tokens)


@given(budgets, st.lists(st.integers(1, 100), min_size=1, max_size=60))
def test_no_request_holds_more_blocks_than_the_bound_says(budget: Budget, chunks: list[int]) -> None:
    """Replayed as the scheduler does: blocks are freed a step late, then those of the chunk are taken."""
    computed, before, most = 0, 0, 0
    for chunk in chunks:
        freed = len(budget.folded_blocks(min(before, computed)))
        held = -(-(computed + chunk) // budget.block_tokens) - freed
        most = max(most, held)
        before, computed = computed, computed + chunk
    assert most <= budget.most_blocks(max(chunks))


@pytest.mark.parametrize(
    ("computed", "folds", "held"),
    [(0, 0, 0), (63, 0, 63), (95, 0, 95), (96, 1, 64), (127, 1, 95), (128, 2, 64)],
)
def test_a_fold_happens_when_the_buffer_is_full(computed: int, folds: int, held: int) -> None:
    budget = Budget(kept_tokens=64, buffer_tokens=32, block_tokens=32)
    assert budget.folds(computed) == folds
    assert budget.held_tokens(computed) == held


@pytest.mark.parametrize(("longest", "folds"), [(95, False), (96, True)])
def test_a_short_request_is_never_folded(longest: int, folds: bool) -> None:
    assert Budget(kept_tokens=64, buffer_tokens=32, block_tokens=32).ever_folds(longest) is folds


@pytest.mark.parametrize(("kept", "buffer"), [(0, 32), (48, 32), (64, 0), (64, 40), (-32, 32)])
def test_budgets_are_multiples_of_the_block_size(kept: int, buffer: int) -> None:
    with pytest.raises(InvalidInput, match="multiple of the block size, 32 tokens"):
        Budget(kept_tokens=kept, buffer_tokens=buffer, block_tokens=32)
