"""Analyses of KV memory for tests: a model of Llama-3.1-8B's shape, with findings that nobody measured."""

from loadline_policies.kv.analyses import Findings, assemble
from loadline_policies.kv.analysis_results import (
    Analysis,
    DataFacts,
    Drift,
    HeadMasses,
    Likeness,
    ModelFacts,
)
from loadline_policies.kv.budgets import Budget
from loadline_policies.models import gpu_memories

LAYERS, KV_HEADS = 32, 8
BUDGET = Budget(kept_tokens=1024, buffer_tokens=256, block_tokens=16)
CONTEXT_TOKENS = 32_768


def drift(kl_nats: float) -> Drift:
    """A drift of so many nats."""
    return Drift(kl_nats=kl_nats, loss_nats=kl_nats / 2, same_token_share=0.9, judged_tokens=100)


def findings(drifts: dict[str, float]) -> Findings:
    """Layers that are the more alike the later they are, heads of the same sparsity, and these drifts."""
    return Findings(
        likenesses=tuple(
            Likeness(
                layer=layer,
                keys_cosine=layer / 100,
                values_cosine=layer / 200,
                keys_unmerged_share=0.01,
                values_unmerged_share=0.01,
            )
            for layer in range(1, LAYERS)
        ),
        masses=tuple(
            HeadMasses(layer=layer, kv_head=head, share_for_90=0.05, share_for_95=0.1, share_for_99=0.2)
            for layer in range(LAYERS)
            for head in range(KV_HEADS)
        ),
        drifts={name: drift(nats) for name, nats in drifts.items()},
    )


def analysis(*, random_ids: bool = False) -> Analysis:
    """A whole document."""
    model = ModelFacts(
        path="/models/llama",
        fingerprint="0" * 64,
        layers=LAYERS,
        kv_heads=KV_HEADS,
        query_heads=32,
        head=128,
        parameters=8_030_000_000,
        weight_bytes=15_000_000_000,
        token_bytes=131_072,
    )
    data = DataFacts(
        source="random ids, seed 0" if random_ids else "prompts.jsonl",
        random_ids=random_ids,
        sequences=8,
        shortest_tokens=2048,
        longest_tokens=4096,
        judged_from=1280,
    )
    return assemble(
        model,
        data,
        findings({"auto": 0.0001, "fp8": 0.01, "streaming": 0.5, "streaming × int4_per_token_head": 0.6}),
        budget=BUDGET,
        context_tokens=CONTEXT_TOKENS,
        gpus=gpu_memories.load(),
    )
