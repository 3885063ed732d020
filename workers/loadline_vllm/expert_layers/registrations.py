"""
The plugin's place in vLLM: `PluggableLayer.register_oot`, by which vLLM builds another class of a layer.

The classes that are registered here build a layer exactly as vLLM's own class does. Only then does the probe
look at it, and if the layer may be served, its router is put inside ours. Whatever fails on the way leaves
the layer with the router that it had.

vLLM looks a replacement up by the name of the class, so each named subclass of MoERunner needs its own. They
are known only once their model's module is imported, which is before the first RoutedExperts is built: its
replacement registers them. The models of transformers have other experts too, so their module is imported.
"""

import logging
from contextlib import suppress
from importlib import import_module
from typing import Any

import torch

from loadline_vllm.expert_layers.bounds import LayerBound
from loadline_vllm.expert_layers.layer_placements import linear, round_robin
from loadline_vllm.expert_layers.layers import PROCESS, ExpertsLayer
from loadline_vllm.expert_layers.probes import Bypass, Finding, facts_of, probe
from loadline_vllm.expert_layers.routers import router_class
from loadline_vllm.expert_layers.selections import rule_of
from loadline_vllm.experts.dropped_slots import slot_for
from loadline_vllm.settings import Settings

logger = logging.getLogger("vllm.loadline")

IMPORTED = "vllm.model_executor.models.transformers.moe"
"""Has TransformersMoERunner, and experts whose class isn't replaced."""

OURS = "loadline_replacement"
"""An attribute of the classes that are registered here."""


def register(settings: Settings) -> None:
    """Have vLLM build the layers of experts by our classes; once in each process, and never twice.

    Where another plugin has replaced a class, nothing is registered: two replacements can't be combined.
    """
    from vllm.model_executor.custom_op import op_registry_oot
    from vllm.model_executor.layers.fused_moe.routed_experts import RoutedExperts
    from vllm.model_executor.layers.fused_moe.runner.moe_runner import MoERunner

    others = [op_registry_oot.get(base.__name__) for base in (MoERunner, RoutedExperts)]
    if any(other is not None and not hasattr(other, OURS) for other in others):
        logger.warning("Loadline serves no layer of experts: another plugin has replaced vLLM's class")
        PROCESS.bypass("", Bypass.OTHER_PLUGIN)
        return
    with suppress(ImportError):  # then its runner can't be built either
        import_module(IMPORTED)
    _register_runners(MoERunner, settings)
    _register_experts(RoutedExperts, MoERunner, settings)


def _register_runners(base: type[Any], settings: Settings) -> None:
    """Register a replacement of `base` and of each subclass that vLLM has defined so far."""
    for runner in (base, *_subclasses(base)):
        if not hasattr(runner, OURS):
            _replace(runner, _runner(runner, settings))


def _register_experts(base: type[Any], runners: type[Any], settings: Settings) -> None:
    from vllm.model_executor.layers.fused_moe.config import RoutingMethodType

    class Experts(base):
        """vLLM's experts; built before their runner, whose class is known by now."""

        def __init__(
            self, layer_name: str, params_dtype: Any, moe_config: Any, *more: Any, **named: Any
        ) -> None:
            _register_runners(runners, settings)
            if settings.experts_modular:
                # Kernels that route by themselves list the methods that they know, and not this one.
                moe_config.routing_method = RoutingMethodType.Custom
            super().__init__(layer_name, params_dtype, moe_config, *more, **named)

    _replace(base, Experts)


def _replace(base: type[Any], replacement: type[Any]) -> None:
    from vllm.model_executor.custom_op import PluggableLayer, op_registry_oot

    if base.__name__ in op_registry_oot:
        return
    setattr(replacement, OURS, True)
    PluggableLayer.register_oot(name=base.__name__)(replacement)


def _subclasses(base: type[Any]) -> list[type[Any]]:
    return [one for child in base.__subclasses__() for one in (child, *_subclasses(child))]


def _runner(base: type[Any], settings: Settings) -> type[Any]:
    class Runner(base):
        """vLLM's runner, whose router may be inside ours."""

        def __init__(self, *more: Any, **named: Any) -> None:
            super().__init__(*more, **named)
            serve(self, settings)

    return Runner


def serve(runner: Any, settings: Settings) -> None:
    """Put the runner's router inside ours, if the probe allows it; never raises."""
    name = runner.layer_name
    try:
        from vllm.config import get_current_vllm_config
        from vllm.platforms import current_platform

        config = get_current_vllm_config()
        facts = facts_of(
            runner,
            config,
            may_enforce=settings.experts == "enforce",
            ranks=settings.experts_ranks,
            captures=not current_platform.is_cpu(),
        )
        finding = probe(facts)
        if finding.observe is None:
            _wrap(runner, config, settings, finding=finding)
        else:
            PROCESS.bypass(name, finding.observe)
    except Exception:
        logger.exception("Loadline leaves %s as it is: it could not be probed", name)
        PROCESS.bypass(name, Bypass.FAILURE)


def _wrap(runner: Any, config: Any, settings: Settings, *, finding: Finding) -> None:
    from vllm.platforms import current_platform

    moe, router = runner.moe_config, runner.router
    count = settings.experts_ranks or moe.ep_size
    place = round_robin if runner.expert_placement_strategy == "round_robin" else linear
    traced = current_platform.is_cpu()
    captured = 0 if traced else moe.max_capture_size
    device = torch.device(moe.device)
    bound = None
    if finding.enforce is None:
        bound = LayerBound(
            rule_of(router, experts=moe.num_logical_experts),
            experts=moe.num_logical_experts,
            slot=slot_for(_kernel(runner)),
            most_rounds=settings.experts_rounds,
            traced=traced,
            device=device,
            local=_local(moe, place(moe.num_logical_experts, moe.ep_size)),
            refused=finding.strategies,
        )
    layer = ExpertsLayer(
        ranks=place(moe.num_logical_experts, count),
        rank_count=count,
        device=device,
        floor=max(settings.experts_least_tokens, captured + 1),
        traced=traced,
        bound=bound,
    )
    layer.rehearse(top_k=router.top_k)
    wrapped = router_class()(router, layer)
    if traced:
        _mark_traces(config, runner.layer_name)
    PROCESS.serve(runner.layer_name, layer, runner, unbounded=finding.enforce)
    runner.loadline_experts = layer
    runner.router = wrapped


def _local(moe: Any, ranks: torch.Tensor) -> torch.Tensor:
    """The experts that a token may get without a message, given the rank of each.

    Without data parallelism all ranks have all tokens, so that is any expert.
    """
    return torch.arange(len(ranks)) if moe.dp_size == 1 else (ranks == moe.ep_rank).nonzero().flatten()


def _kernel(runner: Any) -> str:
    """vLLM's name of the kernel of unquantised experts; empty for any other."""
    backend = getattr(runner.routed_experts.quant_method, "unquantized_backend", None)
    return backend.name if backend is not None else ""


def _mark_traces(config: Any, name: str) -> None:
    """Give traces with our router another key in vLLM's cache than those without it.

    vLLM loads a compiled model by a hash of its configuration, and compares only the source files that were
    traced then. A model that was compiled without the plugin would be loaded as it was, without the router.
    """
    config.additional_config.setdefault("loadline_experts", []).append(name)
