"""
The parts of vLLM that the plugin relies on for layers of experts, and where its source has them.

vLLM promises none of them. They are looked up in the source as text, so that a version is compared whose
build isn't installed, or for which there is none.
"""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

EXPERTS = "vllm.model_executor.layers.fused_moe"


@dataclass(frozen=True, slots=True)
class Symbol:
    """A module's function, class or variable, or a member of a class, which may be set in a method.

    `parameters` must be among those that it takes.
    """

    module: str
    name: str
    parameters: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


def members(module: str, owner: str, *names: str) -> tuple[Symbol, ...]:
    """Members of one class."""
    return tuple(Symbol(module, f"{owner}.{name}") for name in names)


SYMBOLS: tuple[Symbol, ...] = (
    Symbol("vllm.model_executor.custom_op", "op_registry_oot"),
    Symbol("vllm.model_executor.custom_op", "PluggableLayer.__new__"),
    Symbol("vllm.model_executor.custom_op", "PluggableLayer.register_oot", ("name",)),
    Symbol(
        f"{EXPERTS}.routed_experts", "RoutedExperts.__init__", ("layer_name", "params_dtype", "moe_config")
    ),
    Symbol(f"{EXPERTS}.runner.moe_runner", "MoERunner.__init__", ("layer_name", "moe_config", "router")),
    *members(
        f"{EXPERTS}.runner.moe_runner",
        "MoERunner",
        "router",
        "moe_config",
        "routed_experts",
        "layer_name",
        "enable_dbo",
        "is_monolithic",
        "do_naive_dispatch_combine",
        "expert_placement_strategy",
        "expert_global_to_physical",
        "eplb_state",
    ),
    Symbol(
        f"{EXPERTS}.router.base_router",
        "BaseRouter.__init__",
        ("top_k", "global_num_experts", "eplb_state"),
    ),
    Symbol(
        f"{EXPERTS}.router.base_router",
        "BaseRouter._compute_routing",
        ("hidden_states", "router_logits", "indices_type", "input_ids"),
    ),
    Symbol(f"{EXPERTS}.router.base_router", "BaseRouter.set_capture_fn", ("capture_fn",)),
    Symbol(f"{EXPERTS}.router.base_router", "BaseRouter._apply_eplb_mapping", ("topk_ids",)),
    Symbol(
        f"{EXPERTS}.router.base_router",
        "eplb_map_to_physical_and_record",
        (
            "topk_ids",
            "expert_load_view",
            "logical_to_physical_map",
            "logical_replica_count",
            "record_enabled",
            "num_unpadded_tokens",
        ),
    ),
    Symbol("vllm.model_executor.models.transformers.moe", "TransformersMoERunner"),
    *members(
        f"{EXPERTS}.router.fused_moe_router",
        "FusedMoERouter",
        "bias_vl",
        "image_sentinel_lo",
        "eplb_state",
        "routing_method_type",
    ),
    Symbol(f"{EXPERTS}.router.zero_expert_router", "ZeroExpertRouter"),
    *members(f"{EXPERTS}.router.cpu_router", "CPURouter", "scoring_func", "custom_routing_function"),
    *members(f"{EXPERTS}.router.fused_topk_router", "FusedTopKRouter", "scoring_func"),
    *members(
        f"{EXPERTS}.router.grouped_topk_router",
        "GroupedTopKRouter",
        "scoring_func",
        "num_fused_shared_experts",
    ),
    *members(
        f"{EXPERTS}.router.fused_topk_bias_router",
        "FusedTopKBiasRouter",
        "scoring_func",
        "num_fused_shared_experts",
    ),
    *members(f"{EXPERTS}.router.custom_routing_router", "CustomRoutingRouter", "custom_routing_function"),
    *members(f"{EXPERTS}.config", "RoutingMethodType", "Custom"),
    *members(
        f"{EXPERTS}.config",
        "FusedMoEConfig",
        "routing_method",
        "num_experts",
        "num_logical_experts",
        "device",
        "has_hash_routing",
        "max_capture_size",
        "ep_size",
        "ep_rank",
        "dp_size",
        "dp_rank",
        "pcp_size",
        "is_sequence_parallel",
    ),
    Symbol("vllm.distributed.eplb.policy", "DefaultEplbPolicy"),
    Symbol(
        "vllm.distributed.eplb.policy.default",
        "DefaultEplbPolicy.rebalance_experts",
        ("weight", "num_replicas", "num_groups", "num_nodes", "num_ranks"),
    ),
    *members(
        "vllm.distributed.eplb.eplb_state",
        "EplbLayerState",
        "expert_load_view",
        "logical_to_physical_map",
        "logical_replica_count",
        "should_record_tensor",
        "num_unpadded_tokens_tensors",
    ),
    *members(
        "vllm.distributed.eplb.eplb_state",
        "EplbState",
        "expert_rearrangement_step",
        "expert_rearrangement_step_interval",
    ),
    *members("vllm.v1.worker.gpu_model_runner", "GPUModelRunner", "eplb_state"),
    *members("vllm.v1.worker.gpu.model_runner", "GPUModelRunner", "eplb_state"),
    *members("vllm.v1.worker.worker_base", "WorkerBase", "model_runner"),
    Symbol("vllm.forward_context", "get_forward_context"),
    Symbol("vllm.forward_context", "is_forward_context_available"),
    *members("vllm.forward_context", "ForwardContext", "is_padding"),
    Symbol("vllm.config", "get_current_vllm_config"),
    *members(
        "vllm.config.vllm", "VllmConfig", "additional_config", "speculative_config", "aux_output_config"
    ),
    *members("vllm.config.aux_output", "AuxOutputConfig", "enable_return_routed_experts"),
    Symbol("vllm.platforms", "current_platform"),
    Symbol("vllm.platforms.interface", "Platform.is_cpu"),
    Symbol("vllm.envs", "VLLM_BATCH_INVARIANT"),
)


def missing(source: Path, symbols: Iterable[Symbol] = SYMBOLS) -> list[Symbol]:
    """The symbols that a source tree doesn't have, or that don't take their parameters."""
    return [symbol for symbol in symbols if not _has(source, symbol)]


def subclasses(source: Path, base: str) -> list[str]:
    """The classes whose only base is `base`, in all modules of a source tree."""
    found = []
    for path in sorted(source.rglob("*.py")):
        if f"({base})" in (text := path.read_text()):
            classes = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ClassDef))
            found += [one.name for one in classes if [ast.unparse(it) for it in one.bases] == [base]]
    return sorted(found)


def _has(source: Path, symbol: Symbol) -> bool:
    path = source.joinpath(*symbol.module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    if not path.exists():
        return False
    owner, _, member = symbol.name.rpartition(".")
    body: list[ast.stmt] = ast.parse(path.read_text()).body
    if owner:
        body = next((node.body for node in body if isinstance(node, ast.ClassDef) and node.name == owner), [])
    named = [node for node in _flat(body) if member in _names(node)]
    if not named and owner:
        return not symbol.parameters and any(member in names for names in map(_set_in, body))
    return bool(named) and set(symbol.parameters) <= _parameters(named[0])


def _flat(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a body, and those that it runs on a condition."""
    for node in body:
        yield node
        if isinstance(node, ast.If):
            yield from _flat(node.body)


def _names(node: ast.stmt) -> Iterator[str]:
    """What a statement defines."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            yield node.name
        case ast.ImportFrom():
            yield from (name.asname or name.name for name in node.names)
        case ast.AnnAssign(target=ast.Name(id=name)):
            yield name
        case ast.Assign():
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))


def _set_in(method: ast.stmt) -> set[str]:
    """The attributes that a method sets on its object."""
    attributes = (node for node in ast.walk(method) if isinstance(node, ast.Attribute))
    stores = (node for node in attributes if isinstance(node.ctx, ast.Store))
    return {node.attr for node in stores if ast.unparse(node.value) == "self"}


def _parameters(node: ast.stmt) -> set[str]:
    if not isinstance(node, ast.FunctionDef):
        return set()
    arguments = node.args
    return {one.arg for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
