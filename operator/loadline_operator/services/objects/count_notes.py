"""
Where the numbers of a spec contradict each other, a sentence each.

The API server multiplies what it can (`loadline_api.products`). Left for here is what was stored before
it did, of which no more is made than a pool may have, and what a template says of GPUs: the pods get
what stands there, the engine is started for what `parallelism` says, and only one of the two can be meant.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from loadline_api.inference_services import InferenceService
from loadline_api.names import ENGINE_CONTAINER, MAIN_POOL
from loadline_api.products import MOST_GPUS, MOST_PODS
from loadline_api.quantities import amount
from loadline_operator.services.objects.defaults import Defaults
from loadline_operator.services.objects.engine_args import Member, arguments
from loadline_operator.services.objects.engine_pods import pod_template
from loadline_operator.services.objects.model_sources import source_of
from loadline_operator.services.objects.pools import Pool, asked_replicas, pools_of


def count_notes(service: InferenceService, defaults: Defaults) -> tuple[str, ...]:
    """All that is to be told of a service's numbers."""
    pools = pools_of(service)
    return (*_bounded(pools), *(note for pool in pools for note in _gpus(pool, defaults)))


def _bounded(pools: tuple[Pool, ...]) -> Iterator[str]:
    for pool in pools:
        asked, nodes = asked_replicas(pool), pool.parallelism.nodes
        if asked > pool.replicas:
            of_nodes = f" of {nodes} nodes" if nodes > 1 else ""
            yield (
                f"{pool.name} has {pool.replicas} replicas and not {asked}{of_nodes}, since a pool has at"
                f" most {MOST_PODS} pods: lower {_fields(pool)}"
            )


def _fields(pool: Pool) -> str:
    spread = "" if pool.parallelism.nodes == 1 else " or parallelism.nodes"
    if pool.name == MAIN_POOL:
        return f"replicas{spread}"
    prefill = pool.service.spec.prefill
    fixed = prefill is not None and prefill.replicas is not None
    return f"prefill.replicas{spread}" if fixed else f"replicas or prefill.perDecode{spread}"


def _gpus(pool: Pool, defaults: Defaults) -> Iterator[str]:
    """What the pods get beside what the engine uses, where a template gives another number of GPUs."""
    if not (pool.templates or defaults.engine_template):
        return
    got = _amount(_engine(pool, defaults), defaults.gpu_resource)
    spread = pool.parallelism
    if got in (0, spread.gpus_of_a_pod):
        return
    each = f" in each of {spread.nodes} pods, {got * spread.nodes} together" if spread.nodes > 1 else ""
    yield (
        f"{pool.name}: the template gives {ENGINE_CONTAINER} {got} {defaults.gpu_resource}{each}, and"
        f" parallelism uses {spread.gpus} (tensor {spread.tensor} × pipeline {spread.pipeline} × data"
        f" {spread.data}): leave the number to parallelism, or let the two agree"
    )


def _engine(pool: Pool, defaults: Defaults) -> Mapping[str, Any]:
    """The engine's container, if it is started with our arguments; with others nobody knows what it uses."""
    member = Member.LEADER if pool.spans_nodes else Member.SOLE
    model, spec = pool.service.spec.model, pod_template(pool, defaults, member=member).get("spec")
    containers = spec.get("containers") if isinstance(spec, Mapping) else None
    ours = arguments(pool, source_of(model.uri, defaults), defaults, member=member) if model else []
    return next(
        (
            one
            for one in (containers if isinstance(containers, list) else ())
            if isinstance(one, Mapping) and one.get("name") == ENGINE_CONTAINER and one.get("args") == ours
        ),
        {},
    )


def _amount(container: Mapping[str, Any], resource: str) -> int:
    """How many of a device a container gets; none where that isn't said, or not as a number."""
    resources = container.get("resources")
    limits = resources.get("limits") if isinstance(resources, Mapping) else None
    said = limits.get(resource, 0) if isinstance(limits, Mapping) else 0
    value = amount(said)
    return int(value) if value is not None and value <= MOST_GPUS else 0
