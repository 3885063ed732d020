"""
One node's agent as a whole, but for where it gets its declarations from.

Here the parts are put together and taken apart again: two doors, the leaf, the
leadership. `main` gives it declarations, owners and an election that come from the
API server; a test or a benchmark gives others of the same shape. What matters is the
end: first the limits step down, then the domain is given up, then the doors close.
"""

import asyncio
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial

from loadline_agent import gauges
from loadline_agent.domain.leaderships import Leadership
from loadline_agent.domain.leaf import Leaf
from loadline_agent.domain.node_facts import NodeFacts
from loadline_agent.domain.peers import Peer
from loadline_agent.domain.ports import Declarations, NoWorkloads, Owners, ServicesHere
from loadline_agent.domain.report_clients import ReportClient
from loadline_agent.domain.report_servers import ReportServer
from loadline_agent.domain.strangers import Strangers
from loadline_agent.domain.tls_identity import Identity, TrustedPeers, client_context
from loadline_agent.gauges import Reading
from loadline_agent.hardware.armed_records import boot_id
from loadline_agent.hardware.node_gpus import NodeGpus
from loadline_agent.hardware.release_orders import ReleaseOrders
from loadline_agent.hardware.sensors import SILENT
from loadline_agent.http_servers import serve
from loadline_agent.kube.node_capacities import Facts
from loadline_agent.settings import Settings
from loadline_agent.status_servers import StatusServer
from loadline_api.journals import Journal
from loadline_policies.power.protocol.domain_states import DomainState
from loadline_policies.power.protocol.messages import Epoch
from loadline_policies.power.protocol.node_reports import NodeWorkloads

TRUST_EVERY_S = 1.0
"""How often newly published certificates are made known to the server's TLS."""

LEASED_WITHIN_S = 45.0
"""How long the agent of an armed node isn't ready for want of a lease. A rollout waits for it, or it could
end the next coordinator while the row still looks for one. Chosen: two failovers, and before the operator
takes an agent that isn't ready for silent."""

Clock = Callable[[], float]
Tell = Callable[[Epoch, DomainState], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentParts:
    """All that an agent is given: who it is, what it may believe, and its GPUs.

    `status_server` is the door for everybody, if it is open already.
    """

    settings: Settings
    identity: Identity
    declarations: Declarations
    owners: Owners
    node_gpus: NodeGpus
    journal: Journal
    clock: Clock
    tell: Tell = lambda epoch, domain_state: None
    services: ServicesHere = field(default_factory=NoWorkloads)
    status_server: StatusServer | None = None


class NodeAgent:
    """The agent of one node; set `leadership.election` while the node is a candidate."""

    def __init__(self, given: AgentParts) -> None:
        self._given, self._began_s = given, given.clock()
        self._status_server = given.status_server or StatusServer(given.settings, given.journal)
        self.metrics = self._status_server.metrics
        declarations, clock = given.declarations, given.clock
        self.leadership = Leadership(
            declarations,
            given.journal,
            clock=clock,
            tell=given.tell,
            observations=given.settings.journal_observations,
        )
        self._report_client = ReportClient(
            declarations.candidates, context=partial(_context, given.identity), relist=declarations.relist
        )
        self.leaf = Leaf(
            given.identity.node,
            given.node_gpus,
            self._report_client,
            declarations=declarations,
            workloads=NodeWorkloads(owners=given.owners.owners, services=given.services.reports),
            journal=given.journal,
            metrics=self.metrics,
            clock=clock,
            release_orders=ReleaseOrders(given.settings.state_dir, boot=boot_id(), clock=clock),
        )
        declarations.keep(lambda: self.leaf.node.armed_for)
        self.node_facts = NodeFacts(
            self.leaf.node,
            lambda: given.node_gpus.infos,
            look=lambda: self.leaf.state,
            guard=given.node_gpus.guard_report,
            clock=clock,
            xids=lambda: given.node_gpus.xids,
        )
        self._trusted = TrustedPeers(given.identity)
        self._known: Mapping[bytes, str] = {}
        self.metrics.read(self.node_facts.readings)
        self.metrics.read(self._domain_readings)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; then step down, give up the domain and close."""
        settings = self._given.settings
        refused = self._count_refusal
        reports = ReportServer(self.leadership, self._given.declarations, node=settings.node, refused=refused)
        strangers = Strangers(self._given.declarations.relist, refused)
        self._status_server.unready = self._unready
        async with AsyncExitStack() as ends:  # last to first, each whatever became of the others
            ends.push_async_callback(self._status_server.close)
            await self._status_server.open()
            door, _ = await serve(
                reports.app(),
                settings.listen,
                port=settings.port,
                context=lambda: self._trusted.context,
                failed=strangers.failed,
            )
            ends.push_async_callback(door.cleanup)
            ends.callback(strangers.close)
            ends.callback(reports.close)
            ends.push_async_callback(self.leadership.close)
            ends.push_async_callback(self.leaf.close)
            await self._work(stop)

    async def _work(self, stop: asyncio.Event) -> None:
        async with self._report_client, asyncio.TaskGroup() as tasks:
            works = [
                tasks.create_task(self.leaf.run()),
                tasks.create_task(self.leadership.run()),
                tasks.create_task(self._trust()),
            ]
            await stop.wait()
            for work in works:
                work.cancel()

    async def _trust(self) -> None:
        while True:
            known = self._given.declarations.certificates
            if known is not self._known:
                self._trusted.follow(known.keys())
                self._known = known
            await asyncio.sleep(TRUST_EVERY_S)

    def facts(self) -> Facts:
        """The node's slow facts, for its NodeCapacity."""
        return Facts(
            domain=self.leaf.domain,
            host_max_watts=self.leaf.node.home.host_max_watts or None,
            gpus=self.node_facts.gpus(),
            services=self._given.services.facts(self.node_facts.held_back()),
            unowned=self._given.services.unowned(),
            faults=self.node_facts.problems(),
            armed=self.leaf.node.standing.armed,
            proven=self.node_facts.proven,
        )

    def _count_refusal(self, reason: str) -> None:
        self.metrics.report_refusals.labels(reason).inc()

    def _unready(self) -> str | None:
        if self._given.declarations.home() is None and self.leaf.state.gpus:
            return (
                "the agent has neither reached the API server nor a checkpoint, so it does not know this"
                " node's PowerDomain"
            )
        if not self.leaf.state.sampled:
            return "the agent has not sampled the GPUs yet"
        silent = [
            gpu.fault for gpu in self.leaf.state.gpus if gpu.fault is not None and gpu.fault.word in SILENT
        ]
        if silent and len(silent) == len(self.leaf.state.gpus):
            return f"no GPU answers: {silent[0].sentence}"
        standing, waits_s = self.leaf.node.standing, self._given.clock() - self._began_s
        if standing.armed and standing.holding is None and waits_s < LEASED_WITHIN_S:
            return "this node is armed, and it has not received a lease from a coordinator yet"
        return None

    def _domain_readings(self) -> Iterator[Reading]:
        coordinator = self.leadership.coordinator
        yield gauges.LEADING.reading(coordinator is not None)
        if coordinator is None:
            return
        name, state = coordinator.domain.name, coordinator.domain_state(self._given.clock())
        yield gauges.DOMAIN_WATTS.reading(state.watts, name)
        yield gauges.DOMAIN_BUDGET_WATTS.reading(coordinator.domain.budget_watts, name)
        yield gauges.DOMAIN_HEAT_RATIO.reading(state.heat, name)
        yield gauges.DOMAIN_BRAKES.reading(state.brakes, name)
        yield gauges.DOMAIN_NODES.reading(state.nodes, name)
        yield gauges.DOMAIN_SILENT_NODES.reading(len(state.silent), name)
        yield gauges.DOMAIN_RELIEVED_SERVICES.reading(len(state.relieved), name)
        yield gauges.DOMAIN_ENFORCING.reading(state.enforcing, name)
        yield gauges.DOMAIN_LEVEL.reading(1.0, name, state.level, state.policy_hash)


def _context(identity: Identity, peer: Peer) -> ssl.SSLContext:
    return client_context(identity, peer.certificate)
