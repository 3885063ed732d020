"""Which layers of experts are left alone, and why."""

import pytest

from loadline_vllm.expert_layers.probes import Bypass, Finding, LayerFacts, probe

PLAIN = LayerFacts(ranks=4)


def test_a_plain_layer_may_be_counted_and_changed() -> None:
    assert probe(PLAIN) == Finding(None, None)


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (LayerFacts(monolithic=True), Bypass.MONOLITHIC_KERNEL),
        (LayerFacts(base_router=False), Bypass.UNKNOWN_ROUTER),
        (LayerFacts(zero_experts=True), Bypass.ZERO_EXPERTS),
        (LayerFacts(substituted_experts=True), Bypass.SUBSTITUTED_EXPERTS),
        (LayerFacts(fused_shared_experts=1), Bypass.FUSED_SHARED_EXPERTS),
        (LayerFacts(gathers_tokens=True), Bypass.GATHERED_TOKENS),
        (LayerFacts(sequence_parallel=True), Bypass.SEQUENCE_PARALLEL),
        (LayerFacts(dual_batches=True), Bypass.DUAL_BATCHES),
    ],
    ids=lambda value: value.value if isinstance(value, Bypass) else "",
)
def test_a_layer_that_can_not_be_counted_is_not_changed_either(facts: LayerFacts, reason: Bypass) -> None:
    assert (probe(facts).observe, probe(facts).enforce) == (reason, reason)


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (LayerFacts(may_enforce=False), Bypass.NOT_ALLOWED),
        (LayerFacts(batch_invariant=True), Bypass.BATCH_INVARIANT),
        (LayerFacts(hash_routing=True), Bypass.HASH_ROUTING),
        (LayerFacts(custom_routing=True), Bypass.UNKNOWN_SCORING),
        (LayerFacts(scoring_function="sqrtsoftplus"), Bypass.UNKNOWN_SCORING),
        (LayerFacts(scoring_function=None), Bypass.UNKNOWN_SCORING),
        (LayerFacts(image_bias=True), Bypass.IMAGE_ROUTING),
        (LayerFacts(round_robin_tables=True), Bypass.ROUND_ROBIN_TABLES),
        (LayerFacts(speculative_decoding=True), Bypass.SPECULATIVE_DECODING),
        (LayerFacts(routing_replay=True), Bypass.ROUTING_REPLAY),
    ],
    ids=lambda value: value.value if isinstance(value, Bypass) else "",
)
def test_a_layer_that_can_not_be_changed_may_be_counted(facts: LayerFacts, reason: Bypass) -> None:
    assert (probe(facts).observe, probe(facts).enforce) == (None, reason)


@pytest.mark.parametrize(
    ("facts", "refused"),
    [
        (LayerFacts(), {"expanded": Bypass.NO_EXPERT_PARALLELISM}),
        (LayerFacts(ranks=4), {}),
        (LayerFacts(ranks=4, data_parallel=True), {}),
        (LayerFacts(ranks=4, replicas=True), {"rank_drop": Bypass.REPLICAS}),
        (
            LayerFacts(ranks=4, replicas=True, data_parallel=True),
            {"rank_drop": Bypass.REPLICAS, "expanded": Bypass.REPLICAS},
        ),
        (LayerFacts(ranks=4, captured_graphs=True), {"threshold": Bypass.CAPTURED_GRAPHS}),
    ],
)
def test_a_strategy_that_a_layer_can_not_carry_is_refused_with_the_reason(
    facts: LayerFacts, refused: dict[str, Bypass]
) -> None:
    assert probe(facts).strategies == refused


def test_the_first_reason_is_given() -> None:
    assert probe(LayerFacts(monolithic=True, zero_experts=True)).observe is Bypass.MONOLITHIC_KERNEL
