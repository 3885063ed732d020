"""Likenesses, masses and drifts are what a loop over tokens finds, and what can be said by hand."""

import math

import pytest
import torch

from loadline_vllm.kv_analyses import attention_masses
from loadline_vllm.kv_analyses.attention_masses import AttentionMasses
from loadline_vllm.kv_analyses.attentions import States
from loadline_vllm.kv_analyses.drifts import DriftSums
from loadline_vllm.kv_analyses.layer_similarities import LayerSimilarities

TOKENS = 40


def states(*, seed: int = 0, scale: float = 0.25) -> States:
    """Four query heads on two KV heads of 16 elements."""
    drawn = torch.Generator().manual_seed(seed)
    return States(
        torch.randn(4, TOKENS, 16, generator=drawn),
        torch.randn(2, TOKENS, 16, generator=drawn),
        torch.randn(2, TOKENS, 16, generator=drawn),
        scale,
    )


def test_equal_layers_are_wholly_alike_and_opposite_ones_not_at_all() -> None:
    seen, one = LayerSimilarities(), states()
    seen.see(0, one)
    seen.see(1, one._replace(values=-one.values))
    (found,) = seen.found()
    assert found.layer == 1
    assert [found.keys_cosine, found.values_cosine] == pytest.approx([1.0, -1.0])


def test_likenesses_are_means_over_the_tokens_of_all_sequences() -> None:
    seen = LayerSimilarities()
    expected = []
    for seed in (0, 1):
        first, second = states(seed=seed), states(seed=seed + 10)
        seen.see(0, first)
        seen.see(1, second)
        for token in range(TOKENS):
            one, other = first.keys[:, token].flatten(), second.keys[:, token].flatten()
            expected.append(float(one @ other / one.norm() / other.norm()))
    assert seen.found()[0].keys_cosine == pytest.approx(sum(expected) / len(expected), abs=1e-5)


def test_only_tokens_at_the_far_end_of_the_distances_stay_unmerged() -> None:
    """18 tokens are alike, one is at a right angle, one opposite: that one alone is in the last 5 %."""
    keys = torch.ones(1, 20, 8)
    one = States(keys, keys, keys, 1.0)
    seen = LayerSimilarities()
    seen.see(0, one)
    changed = keys.clone()
    changed[0, 3] *= -1
    changed[0, 4, ::2] *= -1
    seen.see(1, one._replace(keys=changed))
    assert seen.found()[0].keys_unmerged_share == pytest.approx(1 / 20)


def test_masses_are_those_of_a_loop() -> None:
    seen, one = AttentionMasses(), states(scale=1.0)
    seen.see(0, one)
    shares: dict[int, list[float]] = {0: [], 1: []}
    for token in range(TOKENS // 2, TOKENS):
        for head in (0, 1):
            weights = torch.zeros(token + 1)
            for query in (2 * head, 2 * head + 1):
                weights += (one.keys[head, : token + 1] @ one.queries[query, token]).softmax(-1) / 2
            held, needed = 0.0, 0
            for weight in sorted(weights.tolist(), reverse=True):
                held, needed = held + weight, needed + 1
                if held >= 0.95:
                    break
            shares[head].append(needed / (token + 1))
    found = {mass.kv_head: mass.share_for_95 for mass in seen.found()}
    assert found == {head: pytest.approx(sum(of) / len(of), abs=1e-6) for head, of in shares.items()}


def test_even_attention_needs_as_many_tokens_as_mass() -> None:
    seen, one = AttentionMasses(), states(scale=0.0)
    seen.see(0, one)
    for mass in seen.found():
        assert 0.9 <= mass.share_for_90 <= 0.9 + 1 / (TOKENS // 2)


def test_attention_to_one_token_needs_one() -> None:
    one = states(scale=1.0)
    keys, queries = torch.zeros(2, TOKENS, 16), torch.ones(4, TOKENS, 16)
    keys[:, 5] = 10.0
    seen = AttentionMasses()
    seen.see(0, one._replace(keys=keys, queries=queries))
    expected = sum(1 / (token + 1) for token in range(TOKENS // 2, TOKENS)) / (TOKENS // 2)
    assert all(mass.share_for_99 == pytest.approx(expected) for mass in seen.found())


def test_masses_don_t_depend_on_how_many_queries_are_taken_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, parts = AttentionMasses(), AttentionMasses()
    whole.see(0, states())
    monkeypatch.setattr(attention_masses, "AT_ONCE", 3)
    parts.see(0, states())
    assert [one.share_for_95 for one in parts.found()] == pytest.approx(
        [one.share_for_95 for one in whole.found()]
    )


def test_the_same_states_drift_nowhere() -> None:
    sums, hidden = DriftSums(), torch.randn(100, 8)
    sums.add(
        hidden, hidden, following=torch.zeros(100, dtype=torch.long), places=range(100), head=lambda x: x
    )
    found = sums.mean()
    assert [found.kl_nats, found.loss_nats] == pytest.approx([0.0, 0.0], abs=1e-6)
    assert (found.same_token_share, found.judged_tokens) == (1.0, 100)


def test_a_drift_by_hand() -> None:
    """Full: 3/4 and 1/4, changed: 1/4 and 3/4. The next token is the first."""
    own = torch.tensor([[math.log(3.0), 0.0]])
    sums = DriftSums()
    sums.add(own, own.flip(1), following=torch.tensor([0]), places=[0], head=lambda x: x)
    found = sums.mean()
    assert found.kl_nats == pytest.approx(0.5 * math.log(3))
    assert found.loss_nats == pytest.approx(math.log(3))
    assert found.same_token_share == 0.0
