"""
The workers of one node, put together: whose reports are taken, by which policies, and at which port.

`agent_process` runs it beside the agent proper, with which it shares only the client of the API server. So
reports are answered on nodes without GPUs too, and whether the node is ready doesn't depend on them.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from loadline_agent.experts.canaries import ExpertCanaries
from loadline_agent.experts.expert_loops import ExpertLoop, ServedEngine
from loadline_agent.experts.service_statuses import ServiceStatuses
from loadline_agent.kube.clients import Kube
from loadline_agent.kv import service_statuses as kv_statuses
from loadline_agent.kv.admission_loops import KvLoop
from loadline_agent.metrics import Metrics
from loadline_agent.retention import service_statuses as retention_statuses
from loadline_agent.retention.recall_canaries import RecallCanaries
from loadline_agent.retention.retention_loops import RetainingEngine, RetentionLoop
from loadline_agent.settings import Settings
from loadline_agent.workers.loop_settings import answered
from loadline_agent.workers.service_policies import Named, ServicePolicies
from loadline_agent.workers.token_reviews import TokenReviews
from loadline_agent.workers.worker_records import Sections
from loadline_agent.workers.worker_servers import WorkerServer
from loadline_api.journals import Journal
from loadline_api.kv_cache import Admission, KvCacheStatus
from loadline_api.node_capacities import NodeCapacityStatus
from loadline_api.worker_messages import WorkerReport
from loadline_policies.loops import Loop


class Pods(Protocol):
    """What workers need to know of the node's pods; `workloads.node_workloads` does."""

    def worker(self, namespace: str, pod: str) -> tuple[str, str] | None: ...

    def worker_loops(self, service: str) -> Named | None: ...

    def engine(self, namespace: str, pod: str) -> ServedEngine | None: ...

    def admission(self, namespace: str, pod: str) -> Admission | None: ...

    def retention(self, namespace: str, pod: str) -> RetainingEngine | None: ...


class NodeWorkers:
    """The port for workers of one agent, with the policies that it answers by.

    `experts` gives how the experts of a service (`namespace/name`) are loaded, for its NodeCapacity.
    """

    def __init__(
        self,
        kube: Kube,
        settings: Settings,
        pods: Pods,
        *,
        journal: Journal,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._canaries = ExpertCanaries(clock, lambda outcome: metrics.canaries.labels(outcome).inc())
        experts = ExpertLoop(pods.engine, self._canaries, journal=journal, metrics=metrics, clock=clock)
        kv = KvLoop(pods.admission, metrics=metrics, clock=clock)
        self._recalls = RecallCanaries(clock, lambda outcome: metrics.recall_canaries.labels(outcome).inc())
        retention = RetentionLoop(
            pods.retention, self._recalls, journal=journal, metrics=metrics, clock=clock
        )
        self._loops = {
            Loop.EXPERTS: experts.section,
            Loop.KV: kv.section,
            Loop.KV_RETENTION: retention.section,
        }
        of_experts = ServiceStatuses(experts, clock)
        self.experts = of_experts.of
        self._admission = kv_statuses.ServiceStatuses(kv, clock)
        self._retention = retention_statuses.ServiceStatuses(retention, clock)
        for part in (of_experts, self._admission, self._retention):
            metrics.read(part.readings)
        self._policies = ServicePolicies(
            kube,
            settings.namespace,
            named=pods.worker_loops,
            own=settings.own_policies,
            state_dir=settings.state_dir,
        )
        self._server = WorkerServer(
            TokenReviews(kube, clock=clock, wall=time.time),
            node=settings.node,
            service_of=pods.worker,
            settings_for=self._settings_for,
            metrics=metrics,
            clock=clock,
        )
        self.close = self._server.close
        self.shown = self._server.shown

    async def open(self) -> None:
        """Listen, if the settings have a port for workers."""
        if self._settings.workers_port is not None:
            await self._server.open(self._settings.listen, port=self._settings.workers_port)

    async def run(self) -> None:
        """Follow policies and measure engines, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._policies.run())
            group.create_task(self._canaries.run())
            group.create_task(self._recalls.run())

    def recall(self, status: NodeCapacityStatus) -> None:
        """Begin with what a predecessor has found, until engines have reported again."""
        self._admission.recall(status.services)
        self._retention.recall(status.services)

    def kv_cache(self, service: str) -> KvCacheStatus | None:
        """How the KV memory of a service's engines is used; None if none of them reports that."""
        admission, retention = self._admission.of(service), self._retention.of(service)
        if admission is None and retention is None:
            return None
        return KvCacheStatus(admission=admission, retention=retention)

    @property
    def problems(self) -> Iterator[str]:
        """What isn't as it should be in the policies, a sentence each."""
        return self._policies.problems

    def _settings_for(self, report: WorkerReport) -> Sections | None:
        """Pools of a service have the same policies."""
        documents = self._policies.of(f"{report.pod.namespace}/{report.service}")
        return answered(report, documents, self._loops) if documents is not None else None
