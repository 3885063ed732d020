"""
Who works on this node: its GPU pods, their services, and how these do.

Pods come from one watch on the own node's, services from one for each of their
namespaces, GPUs from the kubelet, latencies from the engines themselves. Each has a
module of its own; here they are tied together: whenever one of the first three has
changed, it is worked out anew who is where and which engines are to be asked.

Three readers: the report to the coordinator (whose GPU, and who misses objectives), the
node's NodeCapacity (facts that hold for a while before they turn), and people's metrics.
"""

import asyncio
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import structlog

from loadline_agent import gauges
from loadline_agent.experts.expert_loops import ServedEngine
from loadline_agent.gauges import Reading
from loadline_agent.kube.clients import Kube
from loadline_agent.kube.informers import Informer
from loadline_agent.metrics import Metrics
from loadline_agent.retention.retention_loops import RetainingEngine
from loadline_agent.workloads import pods
from loadline_agent.workloads.claimed_devices import ClaimedDevices, slices_of
from loadline_agent.workloads.debounced_facts import Debounced
from loadline_agent.workloads.engine_endpoints import EngineEndpoint
from loadline_agent.workloads.engine_scrapers import EngineScraper, Measured, ScrapedEngine
from loadline_agent.workloads.gpu_owners import Placement, Share, placed
from loadline_agent.workloads.objectives import Objectives
from loadline_agent.workloads.pod_resources import PodResources
from loadline_agent.workloads.pods import NodePod, pod_of
from loadline_agent.workloads.services import Service, Services
from loadline_agent.workloads.unowned_gpus import UnownedGpus
from loadline_api.experts import ExpertsStatus
from loadline_api.kv_cache import Admission, KvCacheStatus
from loadline_api.names import GPU_RESOURCE, PREFILL_POOL, UNKNOWN_OWNER
from loadline_api.node_capacities import MAX_SERVICES, MOST_OF_SILENT, NodeCapacityStatus, ServiceOnNode
from loadline_api.visible_texts import told
from loadline_policies.loops import OF_WORKERS, Loop
from loadline_policies.power.protocol.messages import ServiceReport
from loadline_policies.power.protocol.node_states import GpuState

FACTS = ("capped", "slo-met", "plugin")
"""What may turn for a service, and must hold before it does."""

log = structlog.get_logger("loadline.agent")


class _Served(NamedTuple):
    """A pod, and the service that it works for, with its key (`namespace/name`)."""

    pod: NodePod
    key: str
    service: Service

    @property
    def url(self) -> str | None:
        """Where the engine serves its API: where it serves its metrics, as vLLM does. None while the pod has
        no address."""
        if self.pod.host is None:
            return None
        at = self.service.endpoint(self.pod.endpoint)
        return EngineEndpoint(port=at.port, scheme=at.scheme, path="").url(self.pod.host)


class NodeWorkloads:
    """The services on one node; Owners and ServicesHere at once.

    `experts` gives how the experts of a service (`namespace/name`) are loaded, `kv_cache` how its KV memory
    is used; None if no engine reports it.
    """

    def __init__(
        self,
        kube: Kube,
        node: str,
        *,
        socket: Path,
        clock: Callable[[], float],
        metrics: Metrics,
        gpu_resource: str = GPU_RESOURCE,
    ) -> None:
        self._clock = clock
        self._pods: Informer[NodePod | None] = Informer(
            kube,
            pods.PATH,
            parse=partial(pod_of, gpu_resource=gpu_resource),
            on_change=self._arrange,
            fields=f"spec.nodeName={node}",
        )
        self._services = Services(kube, self._arrange)
        claims = ClaimedDevices(slices_of(kube, node), clock)
        self._resources = PodResources(socket, self._arrange, claims=claims, gpu_resource=gpu_resource)
        self._engines = EngineScraper(clock, lambda outcome: metrics.engine_scrapes.labels(outcome).inc())
        self._placement = Placement({})
        self._unowned = UnownedGpus()
        self._steady: Debounced[bool | None] = Debounced()
        self._silent: Debounced[str | None] = Debounced()
        self._told: frozenset[str] = frozenset()
        self.experts: Callable[[str], ExpertsStatus | None] = lambda service: None
        self.kv_cache: Callable[[str], KvCacheStatus | None] = lambda service: None
        metrics.read(self.readings)

    async def run(self) -> None:
        """Follow pods, services, GPUs and engines until cancelled."""
        async with asyncio.TaskGroup() as group:
            for part in (self._pods, self._services, self._resources, self._engines):
                group.create_task(part.run())

    def owners(self, uuid: str) -> tuple[str, ...]:
        """The services on a GPU; one in use of which nobody knows whose it is has an owner of its own."""
        return self._placement.owners(uuid) or ((UNKNOWN_OWNER,) if uuid in self._unowned.uuids else ())

    def worker(self, namespace: str, pod: str) -> tuple[str, str] | None:
        """The service (`namespace/name`) and the pool of a pod of this node; None if it is of no service.

        The pool is empty where the pod has no label for it, as in an attached workload.
        """
        found = self._pods.items.get(f"{namespace}/{pod}")
        service = self._services.service_of(found) if found is not None else None
        return (service, found.pool) if found is not None and service is not None else None

    def engine(self, namespace: str, pod: str) -> ServedEngine | None:
        """The engine in a pod of this node; None if it is of no known service."""
        found = self._served(namespace, pod)
        if found is None:
            return None
        pressure, age_s = self._engines.pressure(found.key, found.pod.pool)
        return ServedEngine(
            url=found.url,
            experts=found.service.experts,
            pressure=pressure,
            pressure_age_s=age_s,
        )

    def admission(self, namespace: str, pod: str) -> Admission | None:
        """What the service of a pod of this node asks of admission; None if it is of no known service."""
        found = self._served(namespace, pod)
        return found.service.admission if found is not None else None

    def retention(self, namespace: str, pod: str) -> RetainingEngine | None:
        """The same of retention, and where the engine's API is."""
        found = self._served(namespace, pod)
        if found is None:
            return None
        return RetainingEngine(url=found.url, retention=found.service.retention)

    def _served(self, namespace: str, pod: str) -> _Served | None:
        """A pod of this node with its service; None if it is of no known service."""
        found = self._pods.items.get(f"{namespace}/{pod}")
        key = self._services.service_of(found) if found is not None else None
        service = self._services.get(key) if key is not None else None
        if found is None or key is None or service is None:
            return None
        return _Served(found, key, service)

    def worker_loops(self, service: str) -> dict[Loop, str | None] | None:
        """The loops of workers that a service asks for, and the policies that it names; None if unknown."""
        known = self._services.get(service)
        return {loop: name for loop, name in known.loops if loop in OF_WORKERS} if known is not None else None

    def see_gpus(self, gpus: Sequence[GpuState]) -> None:
        """Know which GPUs the node has, and which of them draw."""
        self._resources.here(frozenset([gpu.uuid for gpu in gpus]))
        self._unowned.see(gpus, explained=self._placement.explains, now=self._clock())

    def unowned(self) -> tuple[str, ...] | None:
        """GPUs in use by no pod that is known; None until the pods were listed."""
        return self._unowned.uuids if self._pods.listed else None

    def reports(self) -> tuple[ServiceReport, ...]:
        """Those of which something is known, and those with objectives."""
        return tuple(
            ServiceReport(service, round(one.missed, 3) if one.missed is not None else None)
            for service, one in sorted(self._engines.measured.items())
            if self._objectives(service).any
        )

    def recall(self, status: NodeCapacityStatus) -> None:
        """Begin with what a predecessor has found: a fact turns by what is seen, not by a restart."""
        now = self._clock()
        for one in status.services:
            for fact, value in zip(FACTS, (one.capped, one.slo_met, one.plugin), strict=True):
                self._steady.recall((one.service, fact), value, now=now)
            self._silent.recall(one.service, one.silent_engine or "", now=now)

    def facts(self, held_back: Collection[str]) -> tuple[ServiceOnNode, ...] | None:
        """All services with pods here, by name; None until the pods were listed."""
        if not self._pods.listed:
            return None
        now = self._clock()
        services = sorted(self._placement.shares.keys() | self._engines.measured.keys())[:MAX_SERVICES]
        self._steady.keep((service, fact) for service in services for fact in FACTS)
        self._silent.keep(services)
        return tuple([self._fact(service, held_back, now=now) for service in services])

    def readings(self) -> Iterator[Reading]:
        """The services' gauges."""
        if self._resources.asked:
            known = self._resources.known is not None
            yield gauges.POD_RESOURCES.reading(known)
        for service, share in self._placement.shares.items():
            yield gauges.SERVICE_GPUS.reading(share.count, service)
        for service, one in self._engines.measured.items():
            yield from measured_readings(service, one)

    def _fact(self, service: str, held_back: Collection[str], *, now: float) -> ServiceOnNode:
        share = self._placement.shares.get(service, Share())
        measured = self._engines.measured.get(service, Measured())
        met = measured.missed <= 1.0 if measured.missed is not None else None
        capped, slo_met, plugin = (
            self._steady.see((service, fact), value, now=now)
            for fact, value in zip(FACTS, (share.among(held_back), met, measured.plugin), strict=True)
        )
        return ServiceOnNode(
            service=service,
            pods=share.pods,
            gpus=share.count,
            capped=bool(capped),
            slo_met=slo_met,
            plugin=plugin,
            silent_engine=self._silent_engine(service, measured.silent, now=now),
            experts=self.experts(service),
            kv_cache=self.kv_cache(service),
        )

    def _silent_engine(self, service: str, sentence: str | None, *, now: float) -> str | None:
        """The sentence on an engine that gives no figures, once it has held."""
        shortened = told(sentence, most_bytes=MOST_OF_SILENT) if sentence is not None else None
        return self._silent.see(service, shortened, now=now) or None

    def _arrange(self) -> None:
        """Work out anew who is where; called whenever something has changed, never on a mere status."""
        here = {key: pod for key, pod in self._pods.items.items() if pod is not None}
        self._services.follow(frozenset(pod.namespace for pod in here.values()))
        self._resources.expect(frozenset(key for key, pod in here.items() if pod.draws))
        self._placement = placed(
            here,
            service_of=self._services.service_of,
            gpus=self._resources.known,
            of_claims=self._resources.of_claims,
            renumbered=self._resources.renumbered,
        )
        self._engines.follow(self._engines_of(here))
        self._tell(frozenset(self._services.problems))

    def _engines_of(self, here: dict[str, NodePod]) -> Iterator[ScrapedEngine]:
        for key, pod in here.items():
            service = self._services.service_of(pod)
            known = self._services.get(service) if service is not None else None
            if service is None or pod.host is None or known is None:
                continue
            yield ScrapedEngine(
                pod=key,
                service=service,
                pool=pod.pool,
                url=known.endpoint(pod.endpoint).url(pod.host),
                objectives=known.objectives.of_pool(prefill=pod.pool == PREFILL_POOL),
            )

    def _objectives(self, service: str) -> Objectives:
        known = self._services.get(service)
        return known.objectives if known is not None else Objectives()

    def _tell(self, problems: frozenset[str]) -> None:
        """Log what can't be used, once."""
        for problem in sorted(problems - self._told):
            log.warning("service not understood", problem=problem)
        self._told = problems


def measured_readings(service: str, one: Measured) -> Iterator[Reading]:
    """The gauges of a service's engines; what wasn't measured isn't shown."""
    values = (
        (gauges.SERVICE_RUNNING, one.running),
        (gauges.SERVICE_WAITING, one.waiting),
        (gauges.SERVICE_KV_USE_RATIO, one.kv_use),
        (gauges.SERVICE_TTFT_SECONDS, one.ttft_s),
        (gauges.SERVICE_ITL_SECONDS, one.itl_s),
        (gauges.SERVICE_MISSED_RATIO, one.missed),
    )
    yield from (gauge.reading(value, service) for gauge, value in values if value is not None)
