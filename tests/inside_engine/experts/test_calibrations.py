"""Thresholds: what holds of the batches that they follow from, and that a token is judged by itself."""

import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from loadline_vllm.experts import calibrations, drops
from loadline_vllm.experts.calibrations import BINS, KEEPS_ALL
from testbed.experts.cases import Case, Shape, draw
from testbed.experts.strategies import GAMMAS, cases


def scores_of(case: Case) -> torch.Tensor:
    return case.scores.gather(1, case.own.experts)


def histogram_of(case: Case) -> torch.Tensor:
    return calibrations.counted(case.own, scores_of(case), experts=case.shape.experts)


def kept_by(case: Case, limits: torch.Tensor) -> torch.Tensor:
    return drops.threshold_drop(case.own, scores_of(case), thresholds=limits).kept


@given(cases())
def test_each_pair_is_counted_once_at_its_expert(case: Case) -> None:
    own = case.own
    loads = torch.bincount(own.experts[own.offered], minlength=case.shape.experts)
    assert torch.equal(histogram_of(case).sum(1), loads)


@given(cases(), GAMMAS)
def test_an_expert_keeps_its_capacity_and_at_most_a_bin_more(case: Case, gamma: int) -> None:
    histogram, bounds = histogram_of(case), case.bounds(gamma)
    limits = calibrations.thresholds(histogram, bounds)
    own, kept = case.own, kept_by(case, limits)
    for expert, (bound, limit) in enumerate(zip(bounds.tolist(), limits.tolist(), strict=True)):
        offered = own.offered & (own.experts == expert)
        load, left = int(offered.sum()), int((kept & offered).sum())
        assert left >= min(bound, load)
        if limit > KEEPS_ALL:
            in_the_bin = offered & (scores_of(case) >= limit) & (scores_of(case) < limit * 9 / 8)
            assert load > bound
            assert left - int(in_the_bin.sum()) < bound
        else:
            assert left == load


@given(cases(), st.data())
def test_a_tokens_experts_do_not_depend_on_the_other_tokens(case: Case, data: st.DataObject) -> None:
    limits = calibrations.thresholds(histogram_of(case), case.bounds(1000))
    kept, rows = kept_by(case, limits), len(case.ids)
    some = data.draw(st.lists(st.integers(0, rows - 1), min_size=1, max_size=rows))
    own, scores = case.own, scores_of(case)
    alone = drops.threshold_drop(
        type(own)(*(part[some] for part in own)), scores[some], thresholds=limits
    ).kept
    assert torch.equal(alone, kept[some])


def test_no_expert_loses_all_of_its_pairs_to_a_score_that_all_have() -> None:
    case = draw(3, Shape(tokens=40, experts=4, top_k=2))
    same = torch.full_like(scores_of(case), 0.75)
    histogram = calibrations.counted(case.own, same, experts=4)
    limits = calibrations.thresholds(histogram, torch.full((4,), 5))
    assert drops.threshold_drop(case.own, same, thresholds=limits).kept.sum() == histogram.sum()


def test_scores_of_all_sizes_have_a_bin() -> None:
    scores = torch.tensor([[0.0, 1e-38, 2.0**-20, 0.5, math.nextafter(1.0, 0.0), 1.0]])
    own = draw(1, Shape(tokens=1, experts=8, top_k=6)).own
    histogram = calibrations.counted(own, scores, experts=8)
    assert histogram.sum() == 6
    assert histogram[own.experts[0, -1], -1] == 1


def test_nothing_is_dropped_before_anything_was_counted() -> None:
    nothing = torch.zeros((4, BINS), dtype=torch.int64)
    limits = calibrations.thresholds(nothing, nothing[:, 0])
    assert limits.tolist() == [KEEPS_ALL] * 4
