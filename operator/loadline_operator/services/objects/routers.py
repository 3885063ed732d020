"""
The proxy in front of the pools: `vllm-router`, which finds engines by their labels.

With a pool for prefill it sends each request first there and then to decode; else it
spreads requests over one pool. It watches the pods of its namespace itself, so engines
come and go without a word from us, and is ready while it knows one of each phase.

The flags are those that the image's program and the Python package of version 0.1.17
have in common; either refuses a flag that it doesn't know.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from loadline_api.names import ENGINE_PORT, PREFILL_POOL, ROUTER_CONTAINER
from loadline_api.pools import Router, RouterPolicy
from loadline_api.removals import Removal
from loadline_operator.kube.kinds import Manifest
from loadline_operator.services.objects.descriptions import Description
from loadline_operator.services.objects.pod_templates import lay_over
from loadline_operator.services.objects.pools import Group, Pool, recommended
from loadline_operator.services.objects.probes import GRACE_S, forgotten_first, router_probes
from loadline_operator.services.objects.removed_keys import outcomes
from loadline_operator.services.objects.security_contexts import confined_container, confined_pod

METRICS_PORT = 29000

POLICIES = {
    RouterPolicy.CACHE_AWARE: "cache_aware",
    RouterPolicy.CONSISTENT_HASH: "consistent_hash",
    RouterPolicy.POWER_OF_TWO: "power_of_two",
    RouterPolicy.RANDOM: "random",
    RouterPolicy.ROUND_ROBIN: "round_robin",
}


def deployment(one: Description, routers: Group) -> Manifest:
    """The Deployment of the routers."""
    spec = {
        "replicas": routers.replicas,
        "selector": {"matchLabels": routers.labels},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "template": _template(one, routers),
    }
    return {**routers.kind.manifest(routers.key, labels=routers.labels), "spec": spec}


def arguments(one: Description) -> list[str]:
    """What the router is started with."""
    router = one.service.spec.router or Router()
    address = one.listens_at or "0.0.0.0"
    return [
        f"--host={address}",
        f"--port={ENGINE_PORT}",
        f"--prometheus-host={address}",
        f"--prometheus-port={METRICS_PORT}",
        f"--policy={POLICIES[router.policy]}",
        "--service-discovery",
        f"--service-discovery-namespace={one.key.namespace}",
        f"--service-discovery-port={one.pools[0].engine.port}",
        *_selectors({pool.name: pool for pool in one.pools}),
    ]


def _selectors(pools: dict[str, Pool]) -> list[str]:
    """Which pods are which; a selector's labels follow its flag one by one."""
    main, *others = pools.values()
    if PREFILL_POOL not in pools:
        return ["--selector", *_labels(main)]
    split = ["--vllm-pd-disaggregation", "--kv-connector=nixl"]
    return [*split, "--prefill-selector", *_labels(others[0]), "--decode-selector", *_labels(main)]


def _labels(pool: Pool) -> list[str]:
    return [f"{key}={value}" for key, value in sorted(pool.selector.items())]


def removals(one: Description, routers: Group) -> Iterator[tuple[Mapping[str, Any], Removal, bool]]:
    """Removals of the router's templates, each with its template and whether it finds something."""
    template = _bare_template(one, routers)
    for parts in _templates(one):
        yield from ((parts, each, found) for each, found in outcomes(template, parts))
        template = lay_over(template, parts)


def _templates(one: Description) -> tuple[Mapping[str, Any], ...]:
    router = one.service.spec.router or Router()
    return tuple([parts for parts in (one.defaults.router_template, router.template) if parts])


def _template(one: Description, routers: Group) -> Manifest:
    template = _bare_template(one, routers)
    for parts in _templates(one):
        template = lay_over(template, parts)
    labels = {**recommended(routers.service, routers.name), **routers.labels}
    return lay_over(template, {"metadata": {"labels": labels}})


def _bare_template(one: Description, routers: Group) -> Manifest:
    container: Manifest = {
        "name": ROUTER_CONTAINER,
        "image": one.defaults.router_image,
        "command": ["vllm-router"],
        "args": arguments(one),
        "ports": [
            {"name": "http", "containerPort": ENGINE_PORT, "protocol": "TCP"},
            {"name": "metrics", "containerPort": METRICS_PORT, "protocol": "TCP"},
        ],
        "securityContext": confined_container(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "lifecycle": forgotten_first(),
        **router_probes(),
    }
    return {"spec": {**_pod(routers), "containers": [container]}}


def _pod(routers: Group) -> Manifest:
    return {
        "serviceAccountName": routers.key.name,
        "automountServiceAccountToken": True,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_S,
        "securityContext": confined_pod(),
    }
