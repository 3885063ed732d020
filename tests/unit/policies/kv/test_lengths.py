"""Predicted lengths follow the sample, are never below what was produced, and begin cautiously."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_policies.kv.lengths import LengthHistory


def drawn(history: LengthHistory, produced: int, most: int, uniform: float) -> int:
    found = history.totals(np.array([produced]), np.array([most]), np.array([[uniform]]))
    return int(found[0, 0])


def history_of(*lengths: int, least: int = 0, initial_tokens: int = 100, window: int = 1000) -> LengthHistory:
    history = LengthHistory(window=window, least=least, initial_tokens=initial_tokens)
    for length in lengths:
        history.add(length)
    return history


@given(
    st.lists(st.integers(0, 500), max_size=20),
    st.integers(0, 600),
    st.integers(0, 600),
    st.floats(0, 1, exclude_max=True),
)
def test_a_prediction_is_between_what_was_produced_and_what_may_be(
    lengths: list[int], produced: int, room: int, uniform: float
) -> None:
    predicted = drawn(history_of(*lengths, least=5), produced, produced + room, uniform)
    assert produced <= predicted <= produced + room


@pytest.mark.parametrize(
    ("produced", "uniform", "predicted"),
    [
        (0, 0.0, 0),
        (0, 0.25, 10),
        (0, 0.375, 15),  # between two lengths
        (0, 0.5, 20),
        (0, 0.75, 30),
        (10, 0.0, 10),  # lengths up to what was produced don't count any more
        (10, 1 / 3, 20),
        (25, 0.5, 30),
        (30, 0.5, 45),  # longer than all: at most twice as long
        (0, 0.999, 60),
    ],
)
def test_a_draw_is_the_inverse_of_the_distribution_of_longer_requests(
    produced: int, uniform: float, predicted: int
) -> None:
    assert drawn(history_of(10, 20, 30), produced, 10_000, uniform) == predicted


def test_a_history_forgets_what_is_older_than_its_window() -> None:
    history = history_of(*[5] * 10, *[1000] * 10, window=10)
    assert history.known == 10
    assert drawn(history, 6, 10_000, 0.5) == 1000


def test_missing_lengths_count_as_the_initial_length_until_enough_are_known() -> None:
    history = history_of(10, least=3, initial_tokens=500)
    assert not history.is_warm
    assert drawn(history, 0, 10_000, 0.5) == 500
    history.add(10)
    history.add(10)
    assert history.is_warm
    assert drawn(history, 0, 10_000, 0.5) == 10


def test_a_history_without_any_length_predicts_within_bounds() -> None:
    assert drawn(history_of(), 0, 10, 0.5) in range(11)
