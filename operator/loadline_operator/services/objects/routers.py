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

from loadline_api.inference_services import InferenceService
from loadline_api.names import ENGINE_PORT, PREFILL_POOL, ROUTER_CONTAINER, ROUTER_POOL
from loadline_api.pools import Router, RouterPolicy
from loadline_api.removals import Removal
from loadline_operator.kube.kinds import DEPLOYMENTS, Key, Manifest
from loadline_operator.services.objects.accounts import router_account
from loadline_operator.services.objects.defaults import Defaults
from loadline_operator.services.objects.pod_templates import lay_over
from loadline_operator.services.objects.pools import Pool, described, labels_of, pools_of, router_name
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


def deployment(service: InferenceService, defaults: Defaults) -> Manifest:
    """The router's Deployment."""
    router = service.spec.router or Router()
    labels = labels_of(service.metadata.name, ROUTER_POOL)
    key = Key(service.metadata.namespace, router_name(service.metadata.name))
    spec = {
        "replicas": router.replicas,
        "selector": {"matchLabels": labels},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "template": _template(service, router, defaults),
    }
    return {**DEPLOYMENTS.manifest(key, labels=labels), "spec": spec}


def arguments(service: InferenceService, router: Router) -> list[str]:
    """What the router is started with."""
    return [
        "--host=0.0.0.0",
        f"--port={ENGINE_PORT}",
        "--prometheus-host=0.0.0.0",
        f"--prometheus-port={METRICS_PORT}",
        f"--policy={POLICIES[router.policy]}",
        "--service-discovery",
        f"--service-discovery-namespace={service.metadata.namespace}",
        f"--service-discovery-port={ENGINE_PORT}",
        *_selectors({pool.name: pool for pool in pools_of(service)}),
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


def removals(
    service: InferenceService, router: Router, defaults: Defaults
) -> Iterator[tuple[Mapping[str, Any], Removal, bool]]:
    """Removals of the router's templates, each with its template and whether it finds something."""
    template = _bare_template(service, router, defaults)
    for parts in _templates(router, defaults):
        yield from ((parts, one, found) for one, found in outcomes(template, parts))
        template = lay_over(template, parts)


def _templates(router: Router, defaults: Defaults) -> tuple[Mapping[str, Any], ...]:
    return tuple([parts for parts in (defaults.router_template, router.template) if parts])


def _template(service: InferenceService, router: Router, defaults: Defaults) -> Manifest:
    template = _bare_template(service, router, defaults)
    for parts in _templates(router, defaults):
        template = lay_over(template, parts)
    name = service.metadata.name
    labels = {**described(name, ROUTER_POOL), **labels_of(name, ROUTER_POOL)}
    return lay_over(template, {"metadata": {"labels": labels}})


def _bare_template(service: InferenceService, router: Router, defaults: Defaults) -> Manifest:
    container: Manifest = {
        "name": ROUTER_CONTAINER,
        "image": defaults.router_image,
        "command": ["vllm-router"],
        "args": arguments(service, router),
        "ports": [
            {"name": "http", "containerPort": ENGINE_PORT, "protocol": "TCP"},
            {"name": "metrics", "containerPort": METRICS_PORT, "protocol": "TCP"},
        ],
        "securityContext": confined_container(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "lifecycle": forgotten_first(),
        **router_probes(),
    }
    return {"spec": {**_pod(service), "containers": [container]}}


def _pod(service: InferenceService) -> Manifest:
    return {
        "serviceAccountName": router_account(service),
        "automountServiceAccountToken": True,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_S,
        "securityContext": confined_pod(),
    }
