"""
The services that may have pods on this node: what they are promised, and whose pods are theirs.

Only coordinators follow all services. A node follows those of the namespaces in which it
has GPU pods, and none while it has none: one watch for a namespace, seldom more than a
few, and nothing for a tenant elsewhere. Of a service three things matter here, its
objectives, its loops and, if it is attached to a foreign workload, the selector of its pods; the
rest of its status changes all the time and wakes nobody.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from loadline_agent.kube.clients import Kube, Object
from loadline_agent.kube.informers import Informer
from loadline_agent.workloads.engine_endpoints import EngineEndpoint
from loadline_agent.workloads.objectives import Objectives, seconds
from loadline_agent.workloads.pods import NodePod
from loadline_api.experts import Experts
from loadline_api.inference_services import InferenceService
from loadline_api.kv_cache import Admission
from loadline_api.kv_retention import Retention
from loadline_api.names import INFERENCE_SERVICES
from loadline_api.workload_refs import MetricsEndpoint
from loadline_policies.errors import InvalidInput
from loadline_policies.loops import Loop

Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What a node needs of an InferenceService; `selector` and `metrics` are empty but for attached ones.

    `loops` are those that the service asks for, each with the name of its policy, if the service names one.
    """

    objectives: Objectives
    loops: tuple[tuple[Loop, str | None], ...] = ()
    experts: Experts = field(default_factory=Experts)
    admission: Admission = field(default_factory=Admission)
    retention: Retention = field(default_factory=Retention)
    selector: Labels = frozenset()
    metrics: MetricsEndpoint = field(default_factory=MetricsEndpoint)

    def endpoint(self, told: EngineEndpoint) -> EngineEndpoint:
        """Where to ask an engine whose pod tells `told`: what the service says goes before it."""
        return EngineEndpoint(
            port=self.metrics.port or told.port,
            scheme=self.metrics.scheme.lower() if self.metrics.scheme is not None else told.scheme,
            path=self.metrics.path or told.path,
        )


class Services:
    """The services of some namespaces, by `namespace/name`."""

    def __init__(self, kube: Kube, on_change: Callable[[], None]) -> None:
        self._kube, self._on_change = kube, on_change
        self._wanted: frozenset[str] = frozenset()
        self._informers: dict[str, Informer[Service]] = {}
        self._moved = asyncio.Event()

    def follow(self, namespaces: frozenset[str]) -> None:
        """Follow these namespaces and no others."""
        if namespaces != self._wanted:
            self._wanted = namespaces
            self._moved.set()

    def get(self, key: str) -> Service | None:
        informer = self._informers.get(key.partition("/")[0])
        return informer.items.get(key) if informer is not None else None

    def service_of(self, pod: NodePod) -> str | None:
        """The service that a pod works for: the one that its label names, or that is attached to it."""
        if pod.service:
            return f"{pod.namespace}/{pod.service}"
        informer = self._informers.get(pod.namespace)
        items = sorted(informer.items.items()) if informer is not None else ()
        return next((key for key, one in items if one.selector and one.selector <= pod.labels), None)

    @property
    def problems(self) -> Iterator[str]:
        """Services that can't be used, a sentence each."""
        for informer in self._informers.values():
            yield from (f"{key}: {why}" for key, why in informer.refused.items())

    async def run(self) -> None:
        """Follow until cancelled."""
        tasks: dict[str, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            while True:
                self._moved.clear()
                for namespace in tasks.keys() - self._wanted:
                    tasks.pop(namespace).cancel()
                    del self._informers[namespace]
                for namespace in self._wanted - tasks.keys():
                    self._informers[namespace] = self._informer(namespace)
                    tasks[namespace] = group.create_task(self._informers[namespace].run())
                await self._moved.wait()

    def _informer(self, namespace: str) -> Informer[Service]:
        path = INFERENCE_SERVICES.path(namespace=namespace)
        return Informer(self._kube, path, parse=service_of, on_change=self._on_change)


def service_of(thing: Object) -> Service:
    """What matters of an InferenceService."""
    service = InferenceService.parse(thing)
    slo = service.spec.slo
    objectives = (
        Objectives(ttft_s=seconds(slo.ttft_ms), itl_s=seconds(slo.itl_ms), percentile=slo.percentile)
        if slo is not None
        else Objectives()
    )
    named = service.spec.loops.items()
    loops = tuple((loop, policy.name if policy is not None else None) for loop, policy in named)
    ref = service.spec.workload_ref
    asked = Service(
        objectives=objectives,
        loops=loops,
        experts=service.spec.experts or Experts(),
        admission=service.spec.admission,
        retention=service.spec.retention,
    )
    if ref is None:
        return asked
    selector = service.status.pod_selector or service.status.selector
    return replace(asked, selector=labels_of(selector or ""), metrics=ref.metrics or MetricsEndpoint())


def labels_of(selector: str) -> Labels:
    """The labels that a selector of equalities (`a=b,c=d`) asks for."""
    return frozenset(map(_equality, filter(None, selector.split(","))))


def _equality(term: str) -> tuple[str, str]:
    name, equals, value = term.partition("=")
    value = value.removeprefix("=")
    if not equals or "!" in name or " " in term.strip():
        raise InvalidInput("status.selector", term, fix="use equalities, `label=value`")
    return name.strip(), value.strip()
