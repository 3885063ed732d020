"""
Where the numbers of a spec contradict each other, a sentence each.

The API server multiplies what it can (`loadline_api.products`). Left for here is what was stored before
it did, of which no more is made than a pool may have, and what a template says of GPUs: the pods get
what stands there, the engine is started for what `parallelism` says, and only one of the two can be meant.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from loadline_api.names import ENGINE_CONTAINER, MAIN_POOL
from loadline_api.products import MOST_GPUS, MOST_PODS
from loadline_api.quantities import amount
from loadline_operator.services.objects.descriptions import Description
from loadline_operator.services.objects.engine_args import Member, arguments
from loadline_operator.services.objects.engine_pods import pod_template
from loadline_operator.services.objects.pools import Pool


def count_notes(one: Description) -> tuple[str, ...]:
    """All that is to be told of a service's numbers."""
    return (*_bounded(one), *(note for pool in one.pools for note in _gpus(one, pool)))


def _bounded(one: Description) -> Iterator[str]:
    for pool in one.pools:
        nodes = pool.parallelism.nodes
        if pool.asked > pool.replicas:
            of_nodes = f" of {nodes} nodes" if nodes > 1 else ""
            yield (
                f"{pool.name} gets {pool.replicas} replicas instead of {pool.asked}{of_nodes}, because a pool"
                f" has at most {MOST_PODS} pods: lower {_fields(one, pool)}"
            )


def _fields(one: Description, pool: Pool) -> str:
    spread = "" if pool.parallelism.nodes == 1 else " or parallelism.nodes"
    if pool.name == MAIN_POOL:
        return f"replicas{spread}"
    prefill = one.service.spec.prefill
    fixed = prefill is not None and prefill.replicas is not None
    return f"prefill.replicas{spread}" if fixed else f"replicas or prefill.perDecode{spread}"


def _gpus(one: Description, pool: Pool) -> Iterator[str]:
    """What the pods get beside what the engine uses, where a template gives another number of GPUs."""
    if not pool.templates:
        return
    resource, spread = one.defaults.gpu_resource, pool.parallelism
    got = _amount(_engine(one, pool), resource)
    if got in (0, spread.gpus_of_a_pod):
        return
    each = f" in each of {spread.nodes} pods ({got * spread.nodes} in all)" if spread.nodes > 1 else ""
    yield (
        f"{pool.name}: the template requests {got} {resource} for {ENGINE_CONTAINER}{each}, but"
        f" parallelism uses {spread.gpus} (tensor {spread.tensor} × pipeline {spread.pipeline} × data"
        f" {spread.data}): remove the number from the template, or make the two equal"
    )


def _engine(one: Description, pool: Pool) -> Mapping[str, Any]:
    """The engine's container, if it is started with our arguments; with others nobody knows what it uses."""
    member = Member.LEADER if pool.spans_nodes else Member.SOLE
    spec = pod_template(one, pool, member=member).get("spec")
    containers = spec.get("containers") if isinstance(spec, Mapping) else None
    ours = arguments(one, pool, member=member)
    return next(
        (
            each
            for each in (containers if isinstance(containers, list) else ())
            if isinstance(each, Mapping) and each.get("name") == ENGINE_CONTAINER and each.get("args") == ours
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
