"""Which changes are measured, and which tokens are judged."""

import pytest
import torch

from loadline_policies.errors import InvalidInput
from loadline_policies.kv.budgets import Budget
from loadline_policies.kv.kv_formats import BY_NAME, KvShape
from loadline_vllm.kv_analyses.analysed_models import AnalysedModel
from loadline_vllm.kv_analyses.attentions import full
from loadline_vllm.kv_analyses.kv_roundings import ROUNDINGS
from loadline_vllm.kv_analyses.measurements import RetentionPlan, changes_of, measure
from loadline_vllm.retention.gate_examples import Example
from loadline_vllm.retention.reductions import REDUCTIONS

PLAN = RetentionPlan(
    budget=Budget(kept_tokens=80, buffer_tokens=16, block_tokens=16), sink_tokens=4, recent_tokens=32
)

pytestmark = pytest.mark.filterwarnings("ignore")


def shape(head: int) -> KvShape:
    return KvShape(layers=2, kv_heads=2, query_heads=4, head=head)


def test_every_type_of_keys_and_values_is_rounded() -> None:
    assert ROUNDINGS.keys() == BY_NAME.keys()


@pytest.mark.parametrize(("head", "rounded"), [(64, True), (96, True), (80, False)])
def test_types_are_measured_for_heads_of_whole_groups(head: int, rounded: bool) -> None:
    changes = changes_of(shape(head), PLAN).keys()
    assert (ROUNDINGS.keys() <= changes) == rounded
    assert REDUCTIONS.keys() <= changes
    assert ("streaming × int4_per_token_head" in changes) == rounded


def test_only_judged_tokens_from_the_first_fold_on_count(model: AnalysedModel, ids: tuple[int, ...]) -> None:
    some = Example(ids, judged=(5, 95, 96, 150, 198))
    found = measure(model, [some], PLAN, progress=lambda *_: None)
    assert {one.judged_tokens for one in found.drifts.values()} == {3}


def test_drifts_are_means_over_tokens_and_not_over_sequences(
    model: AnalysedModel, ids: tuple[int, ...]
) -> None:
    one, other = Example(ids), Example(ids[:120])
    alone = [measure(model, [each], PLAN, progress=lambda *_: None).drifts["fp8"] for each in (one, other)]
    both = measure(model, [one, other], PLAN, progress=lambda *_: None).drifts["fp8"]
    expected = sum(each.kl_nats * each.judged_tokens for each in alone) / both.judged_tokens
    assert both.judged_tokens == sum(each.judged_tokens for each in alone)
    assert both.kl_nats == pytest.approx(expected)


def test_the_loss_is_of_the_token_that_follows(model: AnalysedModel, ids: tuple[int, ...]) -> None:
    found = measure(model, [Example(ids)], PLAN, progress=lambda *_: None).drifts["fp8"]
    fp8 = changes_of(model.shape, PLAN)["fp8"]
    places, following = slice(96, len(ids) - 1), torch.tensor(ids[97:])
    full_loss, changed_loss = (
        torch.nn.functional.cross_entropy(model.logits(model.hidden(ids, one))[places], following)
        for one in (full, fp8)
    )
    assert found.loss_nats == pytest.approx(float(changed_loss - full_loss), abs=1e-4)


def test_progress_never_goes_back_and_ends(model: AnalysedModel, ids: tuple[int, ...]) -> None:
    shares: list[float] = []
    measure(model, [Example(ids[:100])], PLAN, progress=lambda _, share: shares.append(share))
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert len(shares) > len(ROUNDINGS)


def test_a_sequence_in_which_nothing_folds_is_refused(model: AnalysedModel, ids: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInput, match=r"sequence 2 is '97 tokens'.*first fold on, token 96"):
        measure(model, [Example(ids), Example(ids[:97])], PLAN, progress=lambda *_: None)
