"""The bound on one layer: what comes out of it by mode, strategy and size, traced and as Python."""

from itertools import product

import pytest
import torch
from torch import Tensor

from loadline_api.expert_settings import ExpertsSettings
from loadline_vllm.expert_layers.bounds import LayerBound
from loadline_vllm.expert_layers.layer_placements import linear
from loadline_vllm.expert_layers.layers import ExpertsLayer
from loadline_vllm.expert_layers.selections import RouterRule, scores_of
from loadline_vllm.experts.capacities import capacities
from loadline_vllm.experts.dropped_slots import DroppedSlot

EXPERTS, TOP_K, RANKS, FLOOR, TOKENS = 8, 2, 4, 16, 120
CPU = torch.device("cpu")
STRATEGIES = ("drop", "reroute", "rank_drop", "expanded")


def layer(*, traced: bool = False, slot: DroppedSlot = DroppedSlot.ZERO_WEIGHT) -> ExpertsLayer:
    bound = LayerBound(
        RouterRule("softmax"), experts=EXPERTS, slot=slot, most_rounds=3, traced=traced, device=CPU
    )
    return ExpertsLayer(
        ranks=linear(EXPERTS, RANKS),
        rank_count=RANKS,
        device=CPU,
        floor=FLOOR,
        traced=traced,
        bound=bound,
    )


def batch(tokens: int = TOKENS, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Logits that favour the later experts, and what a router of the softmax kind chooses by them."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn((tokens, EXPERTS), generator=generator) + torch.arange(EXPERTS) / 3
    weights, ids = scores_of(logits, RouterRule("softmax")).topk(TOP_K, dim=1)
    return logits, ids.to(torch.int32), weights


def settings(strategy: str = "drop", gamma: int = 1000, **more: object) -> ExpertsSettings:
    return ExpertsSettings.model_validate(
        {"mode": "enforce", "gamma_thousandths": gamma, "strategy": strategy, "min_tokens": FLOOR, **more}
    )


def routed(one: ExpertsLayer, *given: Tensor) -> tuple[Tensor, Tensor]:
    weights, ids = one.route(*given, real=None)
    return weights, ids


def loads(weights: Tensor, ids: Tensor) -> Tensor:
    """The pairs that each expert computes with a weight."""
    return ids[weights > 0].bincount(minlength=EXPERTS)


@pytest.mark.parametrize("traced", [False, True], ids=["python", "traced"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_expert_exceeds_its_capacity(strategy: str, traced: bool) -> None:
    one, given = layer(traced=traced), batch()
    one.hold(settings(strategy, gamma=1250))
    weights, ids = routed(one, *given)
    found = loads(weights, ids)
    if strategy == "rank_drop":
        found = found.view(RANKS, -1).sum(1)
    bound = capacities(
        torch.ones(len(found), dtype=torch.int64),
        gamma_thousandths=torch.tensor(1250),
        tokens=torch.tensor(TOKENS),
        top_k=TOP_K,
        most_per_token=TOP_K,
    )
    assert (found <= bound).all()
    assert found.sum() < TOP_K * TOKENS or strategy == "expanded"
    assert one.bound is not None
    assert one.bound.read()["excess"] == 0


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_trace_gives_what_python_gives(strategy: str) -> None:
    one, other = layer(traced=True), layer(traced=False)
    for gamma, metric in product((1000, 1500), ("score", "order", "reverse_order", "random")):
        for each in (one, other):
            each.hold(settings(strategy, gamma, metric=metric, rounds=2))
        (weights, ids), (other_weights, other_ids) = (routed(each, *batch()) for each in (one, other))
        assert torch.equal(weights, other_weights)
        assert torch.equal(ids[weights > 0], other_ids[weights > 0])
        assert one.bound is not None
        assert other.bound is not None
        assert one.bound.read() == other.bound.read()


@pytest.mark.parametrize("traced", [False, True], ids=["python", "traced"])
@pytest.mark.parametrize(
    "held",
    [
        ExpertsSettings(mode="off"),
        ExpertsSettings(mode="observe", gamma_thousandths=1000, min_tokens=FLOOR),
        ExpertsSettings(mode="enforce", min_tokens=FLOOR),
        settings(min_tokens=TOKENS + 1),
        settings("expanded", min_tokens=TOKENS + 1),
        settings("threshold"),
    ],
    ids=["off", "observe", "no gamma", "small", "small, expanded", "not calibrated"],
)
def test_what_is_not_bounded_comes_out_as_it_went_in(held: ExpertsSettings, traced: bool) -> None:
    one, (logits, ids, weights) = layer(traced=traced), batch()
    one.hold(held)
    found_weights, found_ids = routed(one, logits, ids, weights)
    assert torch.equal(found_weights, weights)
    assert torch.equal(found_ids, ids)
    assert one.bound is not None
    assert one.bound.read()["bounded_batches"] == 0


def test_dropped_pairs_are_what_the_shadow_counts_said() -> None:
    one, given = layer(), batch()
    one.hold(settings(gamma=1500))
    routed(one, *given)
    assert one.bound is not None
    assert one.bound.read()["dropped"] == one.counters.read()["dropped"][2] > 0


def test_a_kernel_that_skips_negative_ids_gets_them_for_dropped_pairs_alone() -> None:
    one, (logits, ids, weights) = layer(slot=DroppedSlot.MINUS_ONE), batch()
    one.hold(settings())
    found_weights, found_ids = routed(one, logits, ids, weights)
    assert torch.equal(found_ids < 0, found_weights == 0)
    other = layer(slot=DroppedSlot.ZERO_WEIGHT)
    other.hold(settings())
    other_weights, other_ids = routed(other, logits, ids, weights)
    assert torch.equal(other_weights, found_weights)
    assert torch.equal(other_ids, ids)


def test_padding_is_neither_bounded_nor_counted() -> None:
    one, (logits, ids, weights) = layer(), batch()
    one.hold(settings())
    alone = routed(one, logits, ids, weights)
    assert one.bound is not None
    before = one.bound.read()
    one.hold(settings())
    more = 40
    padded = one.route(
        torch.cat((logits, logits[:more])),
        torch.cat((ids, torch.full((more, TOP_K), -1, dtype=torch.int32))),
        torch.cat((weights, torch.zeros((more, TOP_K)))),
        real=None,
    )
    assert one.bound.read() == before
    assert torch.equal(padded[0][:TOKENS], alone[0])
    assert (padded[1][TOKENS:] == -1).all()


def test_rehearsal_leaves_no_trace() -> None:
    one, fresh = layer(), layer()
    fresh.hold(ExpertsSettings())
    one.rehearse(top_k=TOP_K)
    for (name, buffer), (_, other) in zip(one.named_buffers(), fresh.named_buffers(), strict=True):
        assert torch.equal(buffer, other), name
