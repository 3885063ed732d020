"""
All controllers of the operator: what is built, watched, woken and run, in one list.

`main` starts and ends the process and knows none of them by name. A controller is a
directory named after what it reconciles; it brings a work queue, tables of facts, and the
kinds whose events lead to it.
"""

from collections.abc import Coroutine
from typing import Any

from loadline_operator.contexts import Context
from loadline_operator.domains.handlers import Domains
from loadline_operator.domains.stale_statuses import StaleStatuses
from loadline_operator.kube.cache_syncs import Watched
from loadline_operator.kube.fact_tables import FactTable
from loadline_operator.kube.kinds import AGENT_PODS, CONFIG_MAPS, IN_SYSTEM, Kind
from loadline_operator.kube.kopf_watches import KopfWatch
from loadline_operator.kube.work_queues import WorkQueue
from loadline_operator.nodes.startup_taints import StartupTaints
from loadline_operator.options import Options
from loadline_operator.policies.handlers import Documents
from loadline_operator.services.facts.agent_pods import AgentPods
from loadline_operator.services.handlers import Services
from loadline_operator.services.objects.defaults import Defaults


class Controllers:
    """Documents, domains and services, and where it is asked for the start-up taint of nodes."""

    def __init__(self, context: Context, options: Options, *, defaults: Defaults) -> None:
        self._namespace = options.namespace
        self._documents = Documents(context, own=options.policy_namespaces)
        self._domains = Domains(context, self._documents)
        self._stale_statuses = StaleStatuses(context)
        agents = AgentPods(silent_after_s=options.agent_silent_after_s)
        self._services = Services(context, defaults, documents=self._documents, agents=agents)
        self._startup_taints = StartupTaints(context) if options.removes_startup_taint else None

    @property
    def work_queues(self) -> list[WorkQueue[Any]]:
        """One for each controller."""
        found: list[WorkQueue[Any]] = [
            self._domains.work_queue,
            self._services.work_queue,
            self._documents.work_queue,
            self._stale_statuses.work_queue,
        ]
        return [*found, self._startup_taints.work_queue] if self._startup_taints is not None else found

    @property
    def watched(self) -> tuple[Watched, ...]:
        """Every table with where its kind is watched; two may be of one kind."""
        tables: list[tuple[Kind, FactTable[Any]]] = [
            *self._domains.tables.items(),
            *self._stale_statuses.tables.items(),
            *self._services.facts.tables.items(),
            (CONFIG_MAPS, self._documents.policy_index.system),
            (AGENT_PODS, self._services.facts.agents.table),
        ]
        if self._startup_taints is not None:
            tables += self._startup_taints.tables.items()
        return tuple(Watched(kind=kind, namespace=self._place(kind), table=table) for kind, table in tables)

    def watch(self, everywhere: KopfWatch, system: KopfWatch) -> None:
        """Have the events of every kind lead to its controllers."""
        self._domains.watch(everywhere, system)
        self._stale_statuses.watch(everywhere)
        self._documents.watch(system)
        self._services.watch(everywhere, system)
        if self._startup_taints is not None:
            self._startup_taints.watch(everywhere)

    def wake(self) -> None:
        """Reconcile everything once."""
        self._domains.wake()
        self._stale_statuses.wake()
        self._services.wake()
        if self._startup_taints is not None:
            self._startup_taints.wake()

    def list_watches(self) -> list[Coroutine[Any, Any, None]]:
        """What follows kinds and namespaces that aren't watched by kopf; each runs until cancelled."""
        return [self._services.optional_kinds.run(), self._documents.run()]

    async def answered(self) -> None:
        """Return once the API server has answered for each of what `list_watches` follow."""
        await self._services.optional_kinds.answered()
        await self._documents.answered()

    @property
    def unanswered(self) -> str:
        """For what the API server hasn't answered yet, as a sentence; empty if there is nothing."""
        if self._services.optional_kinds.silent:
            return f"it is not known yet whether {', '.join(self._services.optional_kinds.silent)} are served"
        if self._documents.silent:
            return f"it is not known yet which policies are in {', '.join(self._documents.silent)}"
        return ""

    def _place(self, kind: Kind) -> str:
        return self._namespace if kind in IN_SYSTEM else ""
