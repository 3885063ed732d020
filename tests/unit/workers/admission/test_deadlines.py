"""A deadline of a request is read within bounds, and nonsense is no deadline."""

from math import inf, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_vllm.admission.deadlines import KEY, LONGEST_MS, Deadline, read


@pytest.mark.parametrize(
    ("extra_args", "deadline"),
    [
        (None, Deadline()),
        ({}, Deadline()),
        ({KEY: None}, Deadline()),
        ({KEY: 1500}, Deadline(1.5)),
        ({KEY: 1500.5}, Deadline(1.5005)),
        ({KEY: LONGEST_MS}, Deadline(86_400.0)),
    ],
)
def test_a_deadline_is_in_milliseconds(extra_args: dict[str, Any] | None, deadline: Deadline) -> None:
    assert read(extra_args) == deadline


@pytest.mark.parametrize("wish", [0, -5, LONGEST_MS + 1, 2**1100, nan, inf, True, "1500", "soon", [1500], {}])
def test_nonsense_is_ignored(wish: object) -> None:
    assert read({KEY: wish}) == Deadline(inf, is_ignored=True)


@given(st.one_of(st.integers(), st.floats(), st.text(), st.booleans(), st.lists(st.integers())))
def test_whatever_is_read_is_bounded(wish: object) -> None:
    found = read({KEY: wish})
    assert found.after_s == inf if found.is_ignored else 0.001 <= found.after_s <= 86_400
