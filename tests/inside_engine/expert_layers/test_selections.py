"""What a router chooses by, against vLLM's own router: the best K of it are what vLLM chooses."""

from typing import Any

import pytest
import torch

from loadline_vllm.expert_layers.selections import RouterRule, rule_of, scores_of, selection_of
from loadline_vllm.experts.routings import NEVER

pytestmark = pytest.mark.filterwarnings("ignore")

TOKENS, EXPERTS, TOP_K = 200, 16, 4
PLAIN: dict[str, Any] = {"top_k": TOP_K, "global_num_experts": EXPERTS}
GROUPED = {**PLAIN, "use_grouped_topk": True, "num_expert_group": 4, "topk_group": 2}
BIAS = torch.linspace(-0.3, 0.3, EXPERTS)


@pytest.mark.parametrize(
    "options",
    [
        PLAIN,
        {**PLAIN, "renormalize": False},
        GROUPED,
        {**GROUPED, "scoring_func": "sigmoid"},
        {**GROUPED, "scoring_func": "sigmoid", "e_score_correction_bias": BIAS},
        {**GROUPED, "num_expert_group": 1, "topk_group": 1},
    ],
    ids=["softmax", "not renormalised", "groups", "sigmoid", "bias", "one group"],
)
def test_the_best_of_the_selection_is_what_vllm_chooses(options: dict[str, Any]) -> None:
    from vllm.model_executor.layers.fused_moe.router.cpu_router import CPURouter

    router = CPURouter(**options)
    logits = torch.randn((TOKENS, EXPERTS), generator=torch.Generator().manual_seed(0))
    weights, ids = router._compute_routing(logits, logits, None)
    rule = rule_of(router, experts=EXPERTS)
    scores = scores_of(logits, rule)
    selection = selection_of(scores, rule)
    chosen = selection.topk(TOP_K, dim=1).indices
    assert torch.equal(chosen.sort(dim=1).values, ids.to(torch.int64).sort(dim=1).values)
    if "use_grouped_topk" in options and options["num_expert_group"] > 1:
        assert ((selection == NEVER).sum(1) == EXPERTS // 2).all()
    own = scores.gather(1, ids.to(torch.int64))
    ratios = weights / own
    torch.testing.assert_close(ratios, ratios[:, :1].expand_as(ratios))  # weights rise as scores do


def test_more_groups_than_experts_are_no_groups() -> None:
    from types import SimpleNamespace

    router = SimpleNamespace(scoring_func="softmax", num_expert_group=5, topk_group=2)
    assert rule_of(router, experts=EXPERTS) == RouterRule("softmax")
