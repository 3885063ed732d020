"""Examples are read line by line, refused by their line's number, and put in an order that a seed decides."""

import json
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_policies.errors import InvalidInput
from loadline_vllm.retention.gate_examples import Example, endless, read


def by_letters(text: str) -> list[int]:
    return [ord(letter) for letter in text]


def test_ids_are_taken_as_they_are_and_text_is_cut_into_examples() -> None:
    lines = [
        json.dumps({"ids": list(range(10))}),
        "",
        json.dumps({"ids": list(range(12)), "judged": [3, 10]}),
        json.dumps({"text": "a" * 9}),
    ]
    assert read(lines, length=4, tokens_of=by_letters) == [
        Example(tuple(range(10))),
        Example(tuple(range(12)), (3, 10)),
        Example((97,) * 4),
        Example((97,) * 4),
    ]


@pytest.mark.parametrize(
    "line",
    [
        "no JSON",
        "[1, 2]",
        "{}",
        '{"ids": [1, 2]}',
        '{"ids": "12345678"}',
        '{"ids": [1, 2, 3, 4, 5, 6, 7, -8]}',
        '{"ids": [1, 2, 3, 4, 5, 6, 7, 1.5]}',
        '{"ids": [1, 2, 3, 4, 5, 6, 7, true]}',
        '{"ids": [1, 2, 3, 4, 5, 6, 7, 8], "judged": []}',
        '{"ids": [1, 2, 3, 4, 5, 6, 7, 8], "judged": [7]}',
        '{"ids": [1, 2, 3, 4, 5, 6, 7, 8], "judged": [-1]}',
        '{"text": 5}',
    ],
)
def test_a_line_that_is_no_example_is_refused_by_its_number(line: str) -> None:
    with pytest.raises(InvalidInput, match="line 2"):
        read([json.dumps({"ids": list(range(10))}), line], length=4, tokens_of=by_letters)


def test_text_that_is_too_short_for_any_example_is_refused() -> None:
    with pytest.raises(InvalidInput, match="at least 16 tokens"):
        read(['{"text": "short"}'], length=16, tokens_of=by_letters)


@given(
    st.lists(st.integers(8, 10), min_size=4, max_size=20),
    st.integers(1, 2),
    st.integers(0, 5),
    st.integers(0, 30),
)
def test_a_resumed_order_is_the_rest_of_the_whole(
    lengths: list[int], size: int, seed: int, done: int
) -> None:
    examples = [Example((place,) * length) for place, length in enumerate(lengths)]
    whole = list(islice(endless(examples, size=size, seed=seed), done + 5))
    assert list(islice(endless(examples, size=size, seed=seed), done, done + 5)) == whole[done:]
    for batch in whole:
        assert len(batch) == size
        assert len({len(one.ids) for one in batch}) == 1


def test_an_epoch_has_each_example_once_in_another_order() -> None:
    examples = [Example((place,) * 8) for place in range(40)]
    batches = endless(examples, size=4, seed=0)
    first, second = ([one for batch in islice(batches, 10) for one in batch] for _ in range(2))
    assert first != second
    assert set(first) == set(second) == set(examples)


def test_a_batch_that_no_length_can_fill_is_refused() -> None:
    with pytest.raises(InvalidInput, match="take fewer"):
        next(endless([Example((1,) * 8)], size=2, seed=0))
