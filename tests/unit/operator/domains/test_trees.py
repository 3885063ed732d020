"""Chains of parents end, or are told as loops."""

from hypothesis import given
from hypothesis import strategies as st

from loadline_operator.domains.trees import loop_through


def test_a_chain_to_the_top_is_no_loop() -> None:
    assert loop_through("row", {"row": "feed", "feed": "site", "site": None}) == ()


def test_a_loop_is_told_from_its_beginning_to_its_end() -> None:
    assert loop_through("a", {"a": "b", "b": "c", "c": "a"}) == ("a", "b", "c", "a")


def test_a_loop_further_up_is_not_ones_own() -> None:
    assert loop_through("a", {"a": "b", "b": "c", "c": "b"}) == ()


@given(st.dictionaries(st.sampled_from("abcdef"), st.sampled_from([None, *"abcdef"])))
def test_whoever_is_on_a_loop_says_so(parents: dict[str, str | None]) -> None:
    for name in parents:
        at, steps = parents[name], 0
        while at is not None and at != name and steps < 10:
            at, steps = parents.get(at), steps + 1
        assert bool(loop_through(name, parents)) == (at == name)
