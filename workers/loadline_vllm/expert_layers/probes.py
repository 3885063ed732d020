"""
Whether a layer's routing may be counted, and whether it may be changed: asked before anything is replaced.

A layer that can't be served safely stays as vLLM built it, and a metric says why. Counting needs a router
that is called, that gives logical experts, and whose batch says which rows are padding. Changing the routing
needs more: scores that are known, a router that computes its choice from them, and an engine in which a
token's answer may depend on the other tokens of its batch.

What is read of vLLM is read in `facts_of`; everything else here is decided from these facts alone.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Any

SCORING_FUNCTIONS = frozenset({"softmax", "sigmoid"})
"""Those whose scores the plugin computes itself, since routers don't return them."""


class Bypass(Enum):
    """Why a layer, or its routing, is left alone; the value is the label of the metric."""

    OTHER_PLUGIN = "OtherPlugin"
    NOT_ALLOWED = "NotAllowed"
    FAILURE = "Failure"
    MONOLITHIC_KERNEL = "MonolithicKernel"
    UNKNOWN_ROUTER = "UnknownRouter"
    ZERO_EXPERTS = "ZeroExperts"
    SUBSTITUTED_EXPERTS = "SubstitutedExperts"
    FUSED_SHARED_EXPERTS = "FusedSharedExperts"
    GATHERED_TOKENS = "GatheredTokens"
    SEQUENCE_PARALLEL = "SequenceParallel"
    DUAL_BATCHES = "DualBatches"
    BATCH_INVARIANT = "BatchInvariant"
    HASH_ROUTING = "HashRouting"
    UNKNOWN_SCORING = "UnknownScoring"
    IMAGE_ROUTING = "ImageRouting"
    ROUND_ROBIN_TABLES = "RoundRobinTables"
    SPECULATIVE_DECODING = "SpeculativeDecoding"
    ROUTING_REPLAY = "RoutingReplay"
    REPLICAS = "Replicas"
    NO_EXPERT_PARALLELISM = "NoExpertParallelism"
    CAPTURED_GRAPHS = "CapturedGraphs"
    NOT_CALIBRATED = "NotCalibrated"


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerFacts:
    """What the probe has to know of a layer as vLLM built it, and of its engine."""

    may_enforce: bool = True
    """The engine was started so that its routing may be changed."""

    monolithic: bool = False
    """The kernel routes by itself, and never calls the router."""

    base_router: bool = True
    """The router is one of vLLM's, which all derive from BaseRouter."""

    zero_experts: bool = False
    substituted_experts: bool = False
    """Some experts are constants instead of weights (vLLM 0.33)."""

    fused_shared_experts: int = 0
    """Shared experts that the router appends to each token's choice, as ids behind the routed ones."""

    gathers_tokens: bool = False
    """The router gets the tokens of several ranks, without a mask of their padding."""

    sequence_parallel: bool = False
    """The router gets a part of the batch; the mask of padding is of the whole."""

    dual_batches: bool = False
    """Two halves of a batch run on two streams, and would count into the same tensors at once."""

    batch_invariant: bool = False
    hash_routing: bool = False
    """Experts follow from the token's id, not from scores."""

    custom_routing: bool = False
    """A model's own function chooses; how it scores is unknown."""

    scoring_function: str | None = "softmax"
    image_bias: bool = False
    """Tokens of images are chosen for by another bias."""

    round_robin_tables: bool = False
    """The kernel looks dropped ids up in a table, where a negative one is the last expert."""

    replicas: bool = False
    """EPLB may give experts replicas, and move them."""

    data_parallel: bool = False
    """The router gets the tokens of one data-parallel rank; experts of other ranks cost a message."""

    ranks: int = 1
    """Ranks over which the experts are spread, or are counted as if they were."""

    captured_graphs: bool = False
    """Small batches run in captured graphs, in which a strategy can't begin to apply."""

    speculative_decoding: bool = False
    routing_replay: bool = False
    """The engine returns each token's experts, to be replayed in training."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Why a layer isn't counted, and why its routing isn't changed; None: it may be.

    `strategies` has those that the layer can't carry, by their name in the settings.
    """

    observe: Bypass | None
    enforce: Bypass | None
    strategies: Mapping[str, Bypass] = field(default_factory=dict)


Condition = tuple[Bypass, Callable[[LayerFacts], bool]]

NOT_OBSERVED: tuple[Condition, ...] = (
    (Bypass.MONOLITHIC_KERNEL, lambda facts: facts.monolithic),
    (Bypass.UNKNOWN_ROUTER, lambda facts: not facts.base_router),
    (Bypass.ZERO_EXPERTS, lambda facts: facts.zero_experts),
    (Bypass.SUBSTITUTED_EXPERTS, lambda facts: facts.substituted_experts),
    (Bypass.FUSED_SHARED_EXPERTS, lambda facts: facts.fused_shared_experts > 0),
    (Bypass.GATHERED_TOKENS, lambda facts: facts.gathers_tokens),
    (Bypass.SEQUENCE_PARALLEL, lambda facts: facts.sequence_parallel),
    (Bypass.DUAL_BATCHES, lambda facts: facts.dual_batches),
)
"""The first that applies is the reason."""

NOT_ENFORCED: tuple[Condition, ...] = (
    (Bypass.NOT_ALLOWED, lambda facts: not facts.may_enforce),
    (Bypass.BATCH_INVARIANT, lambda facts: facts.batch_invariant),
    (Bypass.HASH_ROUTING, lambda facts: facts.hash_routing),
    (
        Bypass.UNKNOWN_SCORING,
        lambda facts: facts.custom_routing or facts.scoring_function not in SCORING_FUNCTIONS,
    ),
    (Bypass.IMAGE_ROUTING, lambda facts: facts.image_bias),
    (Bypass.ROUND_ROBIN_TABLES, lambda facts: facts.round_robin_tables),
    (Bypass.SPECULATIVE_DECODING, lambda facts: facts.speculative_decoding),
    (Bypass.ROUTING_REPLAY, lambda facts: facts.routing_replay),
)


NOT_CARRIED: Mapping[str, tuple[Condition, ...]] = MappingProxyType(
    {
        "rank_drop": ((Bypass.REPLICAS, lambda facts: facts.replicas),),
        "expanded": (
            (Bypass.NO_EXPERT_PARALLELISM, lambda facts: facts.ranks == 1),
            (Bypass.REPLICAS, lambda facts: facts.replicas and facts.data_parallel),
        ),
        "threshold": ((Bypass.CAPTURED_GRAPHS, lambda facts: facts.captured_graphs),),
    }
)
"""By strategy, when a layer can't carry it: it is left as it is then, and counted.

An expert with replicas has no rank of its own, by which a rank could drop pairs; and which replica gets a
pair is decided by the token's place in the batch, so that none is local. Without expert parallelism no expert
is more local than another. Thresholds apply to batches of every size.
"""


def probe(facts: LayerFacts) -> Finding:
    """What may be done with a layer; one that isn't counted isn't changed either."""
    observe = _first(NOT_OBSERVED, facts)
    refused = {name: _first(conditions, facts) for name, conditions in NOT_CARRIED.items()}
    strategies = {name: bypass for name, bypass in refused.items() if bypass is not None}
    return Finding(observe, observe or _first(NOT_ENFORCED, facts), strategies)


def _first(conditions: Iterable[Condition], facts: LayerFacts) -> Bypass | None:
    return next((bypass for bypass, applies in conditions if applies(facts)), None)


def facts_of(
    runner: Any, config: Any, *, may_enforce: bool, ranks: int | None = None, captures: bool = False
) -> LayerFacts:
    """The facts of a MoERunner that vLLM has just built, given the engine's VllmConfig.

    `ranks` are those of LOADLINE_EXPERTS_RANKS, which say nothing of what is local where the engine is
    data-parallel; `captures` is whether batches are captured in graphs on this platform.
    An attribute that a router of its kind doesn't have is a fact too. Attributes that every layer must have
    aren't defaulted: without one the layer isn't the one that this version of vLLM builds.
    """
    from vllm import envs
    from vllm.model_executor.layers.fused_moe.router.base_router import BaseRouter
    from vllm.model_executor.layers.fused_moe.router.zero_expert_router import ZeroExpertRouter

    router, moe = runner.router, runner.moe_config
    return LayerFacts(
        may_enforce=may_enforce,
        monolithic=runner.is_monolithic,
        base_router=isinstance(router, BaseRouter),
        zero_experts=isinstance(router, ZeroExpertRouter),
        substituted_experts=type(runner.routed_experts).__name__.startswith("Substituted"),
        fused_shared_experts=getattr(router, "num_fused_shared_experts", 0),
        gathers_tokens=runner.do_naive_dispatch_combine or moe.pcp_size > 1,
        sequence_parallel=moe.is_sequence_parallel,
        dual_batches=runner.enable_dbo,
        batch_invariant=envs.VLLM_BATCH_INVARIANT,
        hash_routing=moe.has_hash_routing,
        custom_routing=getattr(router, "custom_routing_function", None) is not None,
        scoring_function=getattr(router, "scoring_func", None),
        image_bias=router.bias_vl is not None,
        replicas=runner.eplb_state is not None,
        data_parallel=moe.dp_size > 1,
        ranks=moe.ep_size if moe.dp_size > 1 else ranks or moe.ep_size,
        captured_graphs=captures and moe.max_capture_size > 0,
        round_robin_tables=runner.expert_global_to_physical is not None,
        speculative_decoding=config.speculative_config is not None,
        routing_replay=config.aux_output_config.enable_return_routed_experts,
    )
