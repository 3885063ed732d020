"""What is kept has the best scores, what always stays before all others, and fair spans their shares."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from loadline_policies.kv.spans import Span, Spans
from loadline_vllm.retention.held_tokens import within
from loadline_vllm.retention.scores import SCORES, chosen

HEADS = 2


def kept(
    scores: list[float],
    count: int,
    *,
    spans: Spans | None = None,
    sinks: int = 0,
    positions: list[int] | None = None,
) -> list[int]:
    at = torch.tensor(positions if positions is not None else range(len(scores))).expand(HEADS, -1)
    spans = spans or Spans()
    always = at < sinks
    for span in spans.protected:
        always = always | within(at, span.start, span.end)
    places = chosen(torch.tensor(scores).expand(HEADS, -1), at, kept=count, always=always, spans=spans)
    assert places[0].tolist() == places[1].tolist()
    return [int(place) for place in places[0]]


def test_the_best_tokens_stay_in_their_order() -> None:
    assert kept([5, 1, 4, 2, 3], 3) == [0, 2, 4]


def test_what_always_stays_does_however_bad_it_is() -> None:
    assert kept([0, 9, 8, 0, 7], 3, sinks=1) == [0, 1, 2]


def test_a_span_goes_by_positions_not_by_places() -> None:
    fair = Spans(fair=(Span(20, 30),))
    assert kept([9, 8, 0, 7], 3, positions=[0, 5, 25, 40], spans=fair) == [0, 1, 2]


def test_fair_spans_keep_equal_shares_whatever_their_scores() -> None:
    fair = Spans(fair=(Span(0, 4), Span(4, 8)))
    assert kept([9, 8, 7, 6, 1, 2, 3, 4], 4, spans=fair) == [0, 1, 6, 7]


def test_fair_spans_share_what_protected_ones_and_sinks_leave() -> None:
    spans = Spans(protected=(Span(0, 4),), fair=(Span(4, 12), Span(12, 20)))
    assert kept([float(one) for one in range(20)], 8, spans=spans) == [0, 1, 2, 3, 10, 11, 18, 19]


def test_a_score_that_is_no_number_is_the_worst() -> None:
    assert kept([1, float("nan"), 2, 3], 2) == [2, 3]


def test_a_fair_span_that_has_lost_tokens_already_leaves_its_share_to_the_best() -> None:
    fair = Spans(fair=(Span(0, 4), Span(4, 8)))
    assert kept([9, 1, 2, 3, 4], 4, positions=[3, 4, 5, 6, 7], spans=fair) == [0, 2, 3, 4]


@given(
    st.sampled_from(sorted(SCORES)),
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(0, 3),
    st.integers(0, 2**16),
)
def test_every_policy_keeps_as_many_as_it_should(
    policy: str, tokens: int, count: int, sinks: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    keys, values = torch.randn(2, HEADS, tokens, 8, generator=generator)
    positions = torch.arange(tokens).expand(HEADS, -1)
    count = min(count, tokens)
    places = chosen(
        SCORES[policy](keys, values, positions),
        positions,
        kept=count,
        always=positions < min(sinks, count),
        spans=Spans(fair=(Span(0, max(1, tokens // 2)),)),
    )
    assert places.shape == (HEADS, count)
    for head in places.tolist():
        assert head == sorted(set(head))
        assert head[: min(sinks, count)] == list(range(min(sinks, count)))


@pytest.mark.parametrize("policy", ["random", "streaming"])
def test_a_policy_without_content_keeps_the_same_tokens_whatever_they_are(policy: str) -> None:
    positions = torch.arange(50).expand(HEADS, -1)
    first, second = (SCORES[policy](torch.randn(HEADS, 50, 8), torch.empty(0), positions) for _ in range(2))
    assert first.equal(second)


def test_key_norm_and_key_diff_prefer_small_and_unlike_keys() -> None:
    keys = torch.tensor([[[1.0, 0.0], [1.1, 0.0], [0.0, 3.0]]])
    positions = torch.arange(3).expand(1, -1)
    assert SCORES["key-norm"](keys, keys, positions).argmax() == 0
    assert SCORES["key-diff"](keys, keys, positions).argmax() == 2
