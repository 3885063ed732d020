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

from loadline_api.names import HTTP_PORT, PREFILL_POOL, ROUTER_CONTAINER
from loadline_api.pools import Router, RouterPolicy
from loadline_api.removals import Removal
from loadline_operator.kube.kinds import Manifest
from loadline_operator.services.objects import named_ports
from loadline_operator.services.objects.descriptions import Description
from loadline_operator.services.objects.engine_traits import container_of
from loadline_operator.services.objects.named_ports import METRICS_PORT
from loadline_operator.services.objects.pod_templates import lay_over
from loadline_operator.services.objects.pools import Pool, Routers, recommended
from loadline_operator.services.objects.probes import GRACE_S, forgotten_first, router_probes
from loadline_operator.services.objects.removed_keys import outcomes
from loadline_operator.services.objects.security_contexts import confined_container, confined_pod

METRICS_NUMBER = 29000

POLICIES = {
    RouterPolicy.CACHE_AWARE: "cache_aware",
    RouterPolicy.CONSISTENT_HASH: "consistent_hash",
    RouterPolicy.POWER_OF_TWO: "power_of_two",
    RouterPolicy.RANDOM: "random",
    RouterPolicy.ROUND_ROBIN: "round_robin",
}


def deployment(one: Description, routers: Routers) -> Manifest:
    spec = {
        "replicas": routers.replicas,
        "selector": {"matchLabels": routers.labels},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "template": _template(one, routers),
    }
    return {**routers.kind.manifest(routers.key, labels=routers.labels), "spec": spec}


def arguments(one: Description, routers: Routers) -> list[str]:
    router = one.service.spec.router or Router()
    address = one.listens_at or "0.0.0.0"
    return [
        f"--host={address}",
        f"--port={routers.port}",
        f"--prometheus-host={address}",
        f"--prometheus-port={METRICS_NUMBER}",
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


def removals(one: Description, routers: Routers) -> Iterator[tuple[Mapping[str, Any], Removal, bool]]:
    """Removals of the router's templates, each with its template and whether it finds something."""
    template = _bare_template(one, routers)
    for parts in routers.templates:
        yield from ((parts, each, found) for each, found in outcomes(template, parts))
        template = lay_over(template, parts)


def _template(one: Description, routers: Routers) -> Manifest:
    template = _bare_template(one, routers)
    for parts in routers.templates:
        template = lay_over(template, parts)
    finished = {**template, "spec": _finished(template.get("spec"), routers)}
    labels = {**recommended(routers.service, routers.name), **routers.labels}
    return lay_over(finished, {"metadata": {"labels": labels}})


def _bare_template(one: Description, routers: Routers) -> Manifest:
    container: Manifest = {
        "name": ROUTER_CONTAINER,
        "image": one.defaults.router_image,
        "command": ["vllm-router"],
        "args": arguments(one, routers),
        "ports": _ports(routers),
        "securityContext": confined_container(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "lifecycle": forgotten_first(),
        **router_probes(),
    }
    return {"spec": {**_pod(routers), "containers": [container]}}


def _ports(routers: Routers) -> list[Manifest]:
    """Where routers answer and tell of themselves, by the names by which others ask for it."""
    return [
        {"name": HTTP_PORT, "containerPort": routers.port, "protocol": "TCP"},
        {"name": METRICS_PORT, "containerPort": METRICS_NUMBER, "protocol": "TCP"},
    ]


def _finished(spec: Any, routers: Routers) -> Any:
    """The pod's spec with the ports by which others find the router; what makes no pod is left as it is."""
    router = container_of(spec, ROUTER_CONTAINER)
    if router is None:
        return spec
    settled = named_ports.kept(router, _ports(routers), containers=spec["containers"])
    return {**spec, "containers": [settled if one is router else one for one in spec["containers"]]}


def _pod(routers: Routers) -> Manifest:
    return {
        "serviceAccountName": routers.key.name,
        "automountServiceAccountToken": True,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_S,
        "securityContext": confined_pod(),
    }
