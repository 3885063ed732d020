"""Thresholds in a layer: when they are made, what they keep, and that no token depends on its batch."""

import pytest
import torch
from torch import Tensor

from loadline_api.expert_settings import ExpertsSettings
from loadline_vllm.expert_layers.bounds import LEAST_PAIRS, LayerBound
from loadline_vllm.expert_layers.layer_placements import linear
from loadline_vllm.expert_layers.layers import ExpertsLayer
from loadline_vllm.expert_layers.probes import Bypass
from loadline_vllm.expert_layers.selections import RouterRule, scores_of
from loadline_vllm.experts.dropped_slots import DroppedSlot

EXPERTS, TOP_K, FLOOR = 8, 2, 16
TOKENS = EXPERTS * LEAST_PAIRS // TOP_K
"""As few as thresholds are made of."""

CALIBRATE = ExpertsSettings(strategy="threshold", min_tokens=FLOOR)
ENFORCE = ExpertsSettings(mode="enforce", strategy="threshold", gamma_thousandths=1000, min_tokens=FLOOR)
KINDS = pytest.mark.parametrize("traced", [False, True], ids=["python", "traced"])


def layer(*, traced: bool = False, refused: dict[str, Bypass] | None = None) -> ExpertsLayer:
    bound = LayerBound(
        RouterRule("softmax"),
        experts=EXPERTS,
        slot=DroppedSlot.ZERO_WEIGHT,
        most_rounds=2,
        traced=traced,
        device=torch.device("cpu"),
        refused=refused,
    )
    return ExpertsLayer(
        ranks=linear(EXPERTS, 4),
        rank_count=4,
        device=torch.device("cpu"),
        floor=FLOOR,
        traced=traced,
        bound=bound,
    )


def bound_of(one: ExpertsLayer) -> LayerBound:
    assert one.bound is not None
    return one.bound


def batch(tokens: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Logits that favour the later experts, and what a router of the softmax kind chooses by them."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn((tokens, EXPERTS), generator=generator) + torch.arange(EXPERTS) / 3
    weights, ids = scores_of(logits, RouterRule("softmax")).topk(TOP_K, dim=1)
    return logits, ids.to(torch.int32), weights


def calibrated(*, traced: bool = False) -> ExpertsLayer:
    """A layer whose thresholds are in force."""
    one = layer(traced=traced)
    one.hold(CALIBRATE)
    one.route(*batch(TOKENS), real=None)
    one.hold(ENFORCE)
    return one


@KINDS
def test_calibrating_changes_no_output(traced: bool) -> None:
    one, (logits, ids, weights) = layer(traced=traced), batch(TOKENS)
    one.hold(CALIBRATE)
    found_weights, found_ids = one.route(logits, ids, weights, real=None)
    assert torch.equal(found_weights, weights)
    assert torch.equal(found_ids, ids)
    assert bound_of(one).histogram.sum() == TOP_K * TOKENS


@KINDS
@pytest.mark.parametrize(
    ("settings", "tokens"),
    [
        (ExpertsSettings(), TOKENS),
        (ExpertsSettings(mode="off", strategy="threshold"), TOKENS),
        (CALIBRATE, FLOOR - 1),
    ],
    ids=["another strategy", "off", "a small batch"],
)
def test_only_large_batches_are_counted_and_only_while_calibrating(
    settings: ExpertsSettings, tokens: int, traced: bool
) -> None:
    one = layer(traced=traced)
    one.hold(settings)
    one.route(*batch(tokens), real=None)
    assert bound_of(one).histogram.sum() == 0


@KINDS
def test_fuller_experts_drop_their_lowest_scores_and_others_drop_nothing(traced: bool) -> None:
    one, (logits, ids, weights) = calibrated(traced=traced), batch(TOKENS)
    found, _ = one.route(logits, ids, weights, real=None)
    capacity = TOP_K * TOKENS // EXPERTS
    for expert in range(EXPERTS):
        offered = ids == expert
        kept = int(((found > 0) & offered).sum())
        load = int(offered.sum())
        assert kept == load if load <= capacity else capacity <= kept < load
    read = bound_of(one).read()
    assert read["dropped"] == int((found == 0).sum())
    assert read["excess"] is None


@KINDS
def test_a_tokens_experts_do_not_depend_on_its_batch(traced: bool) -> None:
    """Alone, among few, among many, beside others than before: the same logits give the same experts."""
    one, given = calibrated(traced=traced), batch(TOKENS, seed=1)
    together, _ = one.route(*given, real=None)
    assert (together == 0).any()
    for rows in ([5], [*range(3, 9)], [*range(TOKENS - 1, 100, -1)]):
        found, _ = one.route(*(part[rows] for part in given), real=None)
        assert torch.equal(found, together[rows])


def test_too_few_pairs_make_no_thresholds() -> None:
    one = layer()
    one.hold(CALIBRATE)
    one.route(*batch(TOKENS - 1), real=None)
    one.hold(ENFORCE)
    assert bound_of(one).refusal is Bypass.NOT_CALIBRATED
    one.hold(CALIBRATE)
    assert bound_of(one).refusal is Bypass.NOT_CALIBRATED
    one.route(*batch(FLOOR), real=None)
    assert bound_of(one).refusal is None
    one.hold(ENFORCE)
    assert bound_of(one).refusal is None
    one.hold(ExpertsSettings())
    assert bound_of(one).refusal is None


def test_what_was_counted_outlasts_other_settings() -> None:
    one = calibrated()
    before = bound_of(one).digest()
    one.hold(ExpertsSettings())
    assert bound_of(one).digest() is None
    one.route(*batch(TOKENS, seed=2), real=None)
    one.hold(ENFORCE)
    assert bound_of(one).digest() == before


def test_a_larger_gamma_has_lower_thresholds_and_another_digest() -> None:
    one = calibrated()
    tight, digest = bound_of(one).thresholds.clone(), bound_of(one).digest()
    one.hold(ENFORCE.model_copy(update={"gamma_thousandths": 1500}))
    assert (bound_of(one).thresholds <= tight).all()
    assert bound_of(one).digest() != digest


def test_ranks_that_count_the_same_have_the_same_digest() -> None:
    assert bound_of(calibrated()).digest() == bound_of(calibrated(traced=True)).digest()


def test_a_strategy_that_the_layer_can_not_carry_changes_nothing_and_says_why() -> None:
    one, (logits, ids, weights) = layer(refused={"threshold": Bypass.CAPTURED_GRAPHS}), batch(TOKENS)
    one.hold(ENFORCE)
    found, _ = one.route(logits, ids, weights, real=None)
    assert torch.equal(found, weights)
    assert bound_of(one).refusal is Bypass.CAPTURED_GRAPHS
    one.hold(ExpertsSettings(strategy="threshold"))
    assert bound_of(one).refusal is Bypass.CAPTURED_GRAPHS
    one.hold(ExpertsSettings())
    assert bound_of(one).refusal is None
