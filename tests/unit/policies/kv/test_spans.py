"""Spans are refused unless they can hold; fair spans lose equal shares."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_policies.errors import InvalidInput
from loadline_policies.kv.spans import (
    MOST_SPANS,
    Span,
    Spans,
    checked,
    fair_quotas,
    quotas_of_present,
)


def test_spans_are_put_in_order() -> None:
    spans = Spans(protected=(Span(10, 20), Span(0, 5)), fair=(Span(30, 40), Span(20, 30)))
    assert checked(spans, prompt_tokens=40, kept_tokens=64) == Spans(
        protected=(Span(0, 5), Span(10, 20)), fair=(Span(20, 30), Span(30, 40))
    )


@pytest.mark.parametrize(
    ("spans", "message"),
    [
        (Spans(protected=(Span(0, 41),)), "within the prompt's 40 tokens"),
        (Spans(fair=(Span(-1, 4),)), "within the prompt's 40 tokens"),
        (Spans(fair=(Span(4, 4),)), "don't overlap"),
        (Spans(protected=(Span(0, 10),), fair=(Span(9, 12),)), "don't overlap"),
        (Spans(protected=(Span(0, 33),)), "at most half of the 64 tokens"),
        (Spans(fair=tuple(Span(one, one + 1) for one in range(MOST_SPANS + 1))), "at most 64"),
    ],
)
def test_spans_that_cannot_hold_are_refused(spans: Spans, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        checked(spans, prompt_tokens=40, kept_tokens=64)


@given(st.lists(st.integers(0, 300), min_size=1, max_size=8), st.integers(0, 500))
def test_fair_spans_lose_equal_shares_to_the_nearest_token(sizes: list[int], kept: int) -> None:
    quotas = fair_quotas(sizes, kept=kept)
    assert sum(quotas) == min(kept, sum(sizes))
    share = min(1.0, kept / sum(sizes)) if sum(sizes) else 1.0
    for size, quota in zip(sizes, quotas, strict=True):
        assert 0 <= quota <= size
        assert abs(quota - size * share) < 1


def test_what_a_span_cannot_fill_the_others_share_alike() -> None:
    assert quotas_of_present([100, 100, 200], [100, 5, 200], kept=80) == [25, 5, 50]


def test_spans_that_can_fill_their_quotas_get_them() -> None:
    assert quotas_of_present([100, 100, 200], [90, 50, 100], kept=80) == fair_quotas([100, 100, 200], kept=80)


@given(st.data(), st.lists(st.integers(0, 300), min_size=1, max_size=8), st.integers(0, 500))
def test_no_span_keeps_more_than_it_has(data: st.DataObject, sizes: list[int], kept: int) -> None:
    present = [data.draw(st.integers(0, size)) for size in sizes]
    quotas = quotas_of_present(sizes, present, kept=kept)
    assert sum(quotas) == min(kept, sum(present))
    assert all(0 <= quota <= left for quota, left in zip(quotas, present, strict=True))


def test_tokens_that_are_not_there_yet_are_in_no_span() -> None:
    spans = Spans(protected=(Span(0, 4),), fair=(Span(4, 10), Span(20, 30)))
    assert spans.shared_sizes(25) == [6, 5, 10]
    assert spans.shared_sizes(8) == [4, 0, 0]
    assert Spans().shared_sizes(8) == [8]
