"""Attention under folds is what a computation token by token makes of it; what types spare is untouched."""

import os
from pathlib import Path

import pytest
import torch

from loadline_policies.kv.budgets import Budget
from loadline_vllm.kv_analyses import attentions
from loadline_vllm.kv_analyses.analysed_models import AnalysedModel
from loadline_vllm.kv_analyses.attentions import Attention, Retained, Rounded, full
from loadline_vllm.kv_analyses.kv_roundings import ROUNDINGS
from loadline_vllm.retention.gates import GateScores, LayerGate
from loadline_vllm.retention.reductions import by_scores
from loadline_vllm.retention.scores import SCORES, Score, Scores
from testbed.kv.reference_decoding import FoldRule, Reference
from testbed.kv.reference_folds import choosing

MODEL = Path(os.environ["LOADLINE_SMALL_MODEL"])
BUDGET = Budget(kept_tokens=64, buffer_tokens=32, block_tokens=16)
SINKS, RECENT = 4, 8
ANSWERED = 40

pytestmark = pytest.mark.filterwarnings("ignore")


def retained(scores: Scores, budget: Budget = BUDGET) -> Retained:
    return Retained(budget, by_scores(scores), sink_tokens=SINKS, recent_tokens=RECENT)


def gates() -> GateScores:
    """Gates of random numbers, which tell tokens, heads and layers apart."""
    torch.manual_seed(0)
    return GateScores(
        [
            LayerGate(torch.randn(2, 8, 64), torch.randn(2, 8), torch.randn(2, 8), torch.full((2,), 3.0))
            for _ in range(3)
        ]
    )


def everywhere(score: Score) -> Scores:
    return lambda _layer, _computed_tokens: score


POLICIES: dict[str, Scores] = {
    **{name: everywhere(score) for name, score in SCORES.items()},
    "trimkv": gates(),
}


@pytest.mark.parametrize("policy", POLICIES)
def test_folds_leave_the_answers_of_the_reference(
    model: AnalysedModel, ids: tuple[int, ...], policy: str
) -> None:
    """The reference computes chunks that end with a buffer, then token by token, without any of this code."""
    scores = POLICIES[policy]
    rule = FoldRule(
        lambda layer, computed: choosing(scores(f"model.layers.{layer}.self_attn.attn", computed)),
        sinks=SINKS,
        recent=RECENT,
    )
    answer = Reference(MODEL).answer(ids, tokens=ANSWERED, chunk=32, budget=BUDGET, fold=rule)
    hidden = model.hidden((*ids, *answer[:-1]), retained(scores))
    assert model.logits(hidden[len(ids) - 1 :]).argmax(-1).tolist() == answer


def test_folds_change_predictions_only_from_the_first_fold_on(
    model: AnalysedModel, ids: tuple[int, ...]
) -> None:
    first = BUDGET.kept_tokens + BUDGET.buffer_tokens
    own, changed = (model.hidden(ids, one) for one in (full, retained(POLICIES["streaming"])))
    assert torch.allclose(own[:first], changed[:first], atol=1e-4)
    assert not torch.allclose(own[first], changed[first], atol=1e-2)


def test_a_budget_that_holds_all_changes_nothing(model: AnalysedModel, ids: tuple[int, ...]) -> None:
    whole = Budget(kept_tokens=256, buffer_tokens=32, block_tokens=16)
    changed = model.hidden(ids, retained(POLICIES["random"], whole))
    assert torch.allclose(model.hidden(ids, full), changed, atol=1e-4)


@pytest.mark.parametrize("attention", [full, retained(POLICIES["key-diff"])], ids=["full", "retained"])
def test_queries_are_taken_in_parts_of_any_size(
    model: AnalysedModel, ids: tuple[int, ...], attention: Attention, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = model.hidden(ids, attention)
    monkeypatch.setattr(attentions, "QUERIES", 7)
    assert torch.allclose(whole, model.hidden(ids, attention), atol=1e-4)


def test_no_matrix_has_more_queries_than_a_part(
    model: AnalysedModel, ids: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    attend = torch.nn.functional.scaled_dot_product_attention

    def watched(*states: torch.Tensor, attn_mask: torch.Tensor, scale: float) -> torch.Tensor:
        seen.append(attn_mask.shape[0])
        return attend(*states, attn_mask=attn_mask, scale=scale)

    monkeypatch.setattr(attentions, "QUERIES", 16)
    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", watched)
    model.hidden(ids, full)
    assert max(seen) == 16


def test_layers_that_a_type_spares_are_not_rounded(model: AnalysedModel, ids: tuple[int, ...]) -> None:
    rounding = ROUNDINGS["turboquant_3bit_nc"]
    own = model.hidden(ids, full)
    assert torch.equal(own, model.hidden(ids, Rounded(rounding, lambda _: True)))
    assert not torch.allclose(own, model.hidden(ids, Rounded(rounding, lambda layer: layer > 0)), atol=1e-2)
