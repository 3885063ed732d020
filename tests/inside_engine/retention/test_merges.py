"""Tokens merge as a slow loop says, as many as have to, and never those that stay."""

from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from loadline_policies.kv.spans import Span, Spans
from loadline_vllm.retention.held_tokens import HeldTokens, Origins
from loadline_vllm.retention.merges import CHUNK_TOKENS, STEPS, Edges, edges, merged
from loadline_vllm.retention.reductions import REDUCTIONS
from loadline_vllm.settings import PolicyName
from testbed.kv.reference_folds import Layer, merging

SIZE = 4
HEADS = 2
WHOLE = Spans()


def drawn(
    tokens: int, *, heads: int = HEADS, seed: int = 0, dtype: torch.dtype = torch.float32
) -> HeldTokens:
    """Tokens of which some stand for several already; each head has its own positions. Many keys are equally
    like each other, and those that aren't differ by more than rounding."""
    generator = torch.Generator().manual_seed(seed)
    keys = torch.randint(-3, 4, (heads, tokens, SIZE), generator=generator).to(dtype)
    keys[:, :, 0] = keys[:, :, 0].abs() + 1  # none is zero
    values = torch.randn(heads, tokens, SIZE, generator=generator).to(dtype)
    gaps = torch.randint(1, 4, (heads, tokens), generator=generator)
    counts = torch.randint(1, 6, (heads, tokens), generator=generator)
    return HeldTokens(keys, values, Origins(gaps.cumsum(1).int() - 1, counts.int()))


def first_of(tokens: HeldTokens, count: int) -> torch.Tensor:
    """A mask of the first tokens of each head."""
    return torch.arange(tokens.keys.shape[1]).expand(len(tokens.keys), -1) < count


def reduced(tokens: HeldTokens, *, kept: int, sinks: int = 0, spans: Spans = WHOLE) -> HeldTokens:
    return merged(tokens, kept=kept, always=first_of(tokens, sinks), spans=spans)


def weighted(tokens: HeldTokens) -> torch.Tensor:
    """Of each head, the sum of keys and values, each as often as it counts."""
    both = torch.cat([tokens.keys, tokens.values], dim=2).double()
    return (both * tokens.origins.counts.unsqueeze(-1)).sum(1)


def slowly(tokens: HeldTokens, *, kept: int, sinks: int) -> Layer:
    layer = Layer(tokens.keys, tokens.values, *tokens.origins)
    reduction = merging(chunk_tokens=CHUNK_TOKENS, steps=STEPS)
    return reduction(layer, first_of(tokens, sinks).tolist(), kept)


LENGTHS = st.integers(2, 40) | st.integers(CHUNK_TOKENS, 2 * CHUNK_TOKENS + 3)


@given(LENGTHS, st.floats(0.01, 1.0), st.integers(0, 3), st.integers(0, 2**16))
def test_what_merges_is_what_a_slow_loop_merges(tokens: int, share: float, sinks: int, seed: int) -> None:
    sinks = min(sinks, tokens - 1)
    kept = max(sinks + 1, round(tokens * share))
    held = drawn(tokens, seed=seed)
    found, expected = reduced(held, kept=kept, sinks=sinks), slowly(held, kept=kept, sinks=sinks)
    assert found.origins.positions.tolist() == expected.positions.tolist()
    assert found.origins.counts.tolist() == expected.counts.tolist()
    torch.testing.assert_close(found.keys, expected.keys, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.values, expected.values, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kept", [12, 120, 280])
def test_keys_of_any_numbers_merge_so_too(kept: int) -> None:
    held = drawn(300)
    keys = torch.randn(HEADS, 300, 64, generator=torch.Generator().manual_seed(1))
    held = held._replace(keys=keys, values=keys.flip(2))
    found, expected = reduced(held, kept=kept, sinks=3), slowly(held, kept=kept, sinks=3)
    assert found.origins.positions.tolist() == expected.positions.tolist()
    assert found.origins.counts.tolist() == expected.counts.tolist()


@given(st.integers(1, 3), LENGTHS, st.floats(0.0, 1.0), st.floats(0.0, 0.5), st.integers(0, 2**16))
def test_exactly_so_many_are_left_and_nothing_is_lost(
    heads: int, tokens: int, share: float, sinks_share: float, seed: int
) -> None:
    sinks = int(tokens * sinks_share)
    kept = sinks + max(1, int((tokens - sinks) * share))
    held = drawn(tokens, heads=heads, seed=seed)
    found = reduced(held, kept=kept, sinks=sinks)
    assert found.keys.shape == found.values.shape == (heads, kept, SIZE)
    assert found.origins.counts.sum(1).equal(held.origins.counts.sum(1))
    torch.testing.assert_close(weighted(found), weighted(held), rtol=1e-4, atol=1e-3)
    for head in range(heads):
        left = found.origins.positions[head].tolist()
        assert left == sorted(set(left))
        assert set(left) <= set(held.origins.positions[head].tolist())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_what_no_token_goes_into_stays_to_the_bit(dtype: torch.dtype) -> None:
    held = drawn(40, dtype=dtype)
    found = reduced(held, kept=30, sinks=6)
    assert found.keys.dtype == found.values.dtype == dtype
    assert found.keys[:, :6].equal(held.keys[:, :6])
    for head in range(HEADS):
        for place, position in enumerate(found.origins.positions[head].tolist()):
            before = held.origins.positions[head].tolist().index(position)
            if found.origins.counts[head, place] == held.origins.counts[head, before]:
                assert found.keys[head, place].equal(held.keys[head, before])
                assert found.values[head, place].equal(held.values[head, before])
    assert found.origins.counts[:, :6].equal(held.origins.counts[:, :6])


def test_the_tokens_that_are_given_are_not_changed() -> None:
    held, same = drawn(20), drawn(20)
    reduced(held, kept=5)
    assert held.keys.equal(same.keys)
    assert held.origins.counts.equal(same.origins.counts)


def edges_of(keys: torch.Tensor, *, most: int) -> Edges:
    return edges(keys, torch.arange(keys.shape[1]).expand(len(keys), -1), most=most)


def test_the_most_similar_tokens_merge_first() -> None:
    keys = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.0, 5.0], [3.0, 0.0], [-1.0, 0.0]]])
    found = edges_of(keys, most=2)
    assert found.sources.tolist() == [[2, 0]]
    assert found.targets.tolist() == [[1, 1]]


def test_the_first_of_equal_edges_merge() -> None:
    found = edges_of(torch.ones(1, 10, 2), most=3)
    assert found.sources.tolist() == [[0, 2, 4]]
    assert found.targets.tolist() == [[1, 1, 1]]


def test_no_edge_leaves_its_chunk() -> None:
    found = edges_of(drawn(3 * CHUNK_TOKENS + 1).keys, most=10_000)
    assert found.sources.shape == (HEADS, 3 * CHUNK_TOKENS // 2)  # the last token is alone in its chunk
    assert (found.sources // CHUNK_TOKENS).equal(found.targets // CHUNK_TOKENS)
    assert (found.targets % 2 == 1).all()


def test_a_centroid_of_centroids_weighs_all_tokens_alike() -> None:
    keys = torch.tensor([[[1.0], [4.0]]])
    held = HeldTokens(keys, -keys, Origins(torch.tensor([[3, 9]]), torch.tensor([[1, 2]])))
    found = reduced(held, kept=1)
    assert (found.keys.item(), found.values.item()) == (3.0, -3.0)
    assert (found.origins.positions.item(), found.origins.counts.item()) == (9, 3)


def alone(tokens: int) -> HeldTokens:
    """Tokens of a request that was never folded."""
    ones = torch.ones(HEADS, tokens, dtype=torch.int32)
    return drawn(tokens)._replace(origins=Origins(ones.cumsum(1).int() - 1, ones))


def stand_for(found: HeldTokens, span: Span) -> list[int]:
    """Of each head, how many tokens those in a span stand for."""
    inside = (found.origins.positions >= span.start) & (found.origins.positions < span.end)
    counts: list[int] = found.origins.counts.masked_fill(~inside, 0).sum(1).tolist()
    return counts


def test_fair_spans_lose_equal_shares_and_no_centroid_reaches_out_of_one() -> None:
    spans = Spans(fair=(Span(4, 24), Span(24, 64)))
    found = reduced(alone(80), kept=40, sinks=4, spans=spans)
    for span, left in ((Span(4, 24), 9), (Span(24, 64), 18), (Span(64, 80), 9)):
        assert stand_for(found, span) == [span.tokens] * HEADS
        inside = (found.origins.positions >= span.start) & (found.origins.positions < span.end)
        assert inside.sum(1).tolist() == [left] * HEADS


def test_a_span_whose_share_is_no_token_is_dropped() -> None:
    found = reduced(alone(80), kept=4, spans=Spans(fair=(Span(10, 12),)))
    assert found.keys.shape[1] == 4
    assert found.origins.counts.sum(1).tolist() == [78] * HEADS


def test_protected_tokens_may_leave_room_for_no_other() -> None:
    found = reduced(alone(40), kept=8, sinks=8)
    assert found.origins.positions.tolist() == [list(range(8))] * HEADS


@given(
    st.lists(st.tuples(st.integers(0, 59), st.sampled_from([float("nan"), float("inf"), -float("inf")]))),
    st.sampled_from(["keys", "values"]),
    st.integers(1, 60),
)
def test_numbers_that_are_not_finite_break_nothing(
    faults: list[tuple[int, float]], where: str, kept: int
) -> None:
    held = alone(60)
    faulty = held._replace(**{where: getattr(held, where).clone()})
    for place, number in faults:
        getattr(faulty, where)[0, place, place % SIZE] = number
    found, sound = reduced(faulty, kept=kept), reduced(held, kept=kept)
    assert found.keys.shape == (HEADS, kept, SIZE)
    assert found.origins.counts.sum(1).tolist() == [60] * HEADS
    assert found.keys[1].equal(sound.keys[1])
    assert found.values[1].equal(sound.values[1])


def test_a_key_that_is_not_finite_merges_last() -> None:
    held = alone(60)
    held.keys[:, 10] = float("nan")
    found = reduced(held, kept=40)
    assert found.keys.isfinite().all(dim=2).sum(1).tolist() == [39] * HEADS


def test_a_key_of_zeros_is_like_none() -> None:
    found = edges_of(torch.tensor([[[1.0, 0.0], [0.0, 0.0], [2.0, 0.0], [3.0, 1.0]]]), most=3)
    assert found.sources.tolist() == [[0, 2]]
    assert found.targets.tolist() == [[3, 3]]


def test_every_policy_of_the_settings_has_its_reduction() -> None:
    assert {*REDUCTIONS, "trimkv"} == set(get_args(PolicyName))
