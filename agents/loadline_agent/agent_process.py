"""
`loadline-agent run`: a node's agent with everything that the API server tells it.

The agent proper is in `agent`; around it are the informers of the API server,
the election while the node is a candidate, and the writers of its objects. A node
without GPUs is a member like any other, that draws its host's watts. Nor is one without a driver a
failure: its agent is ready, publishes that, and looks again.
"""

import asyncio
import gc
import random
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NoReturn

import structlog

from loadline_agent import settings
from loadline_agent.agent import AgentParts, NodeAgent
from loadline_agent.boot_clock import boottime
from loadline_agent.domain.tls_identity import Identity
from loadline_agent.driver_searches import NOT_LOOKED, DriverSearch
from loadline_agent.hardware import armed_records
from loadline_agent.hardware.node_gpus import NodeGpus
from loadline_agent.journals import MIB, JournalFile
from loadline_agent.kube import credentials
from loadline_agent.kube.clients import Kube
from loadline_agent.kube.declarations import Declarations
from loadline_agent.kube.domain_statuses import DomainStatusWriter
from loadline_agent.kube.elections import Election
from loadline_agent.kube.node_capacities import Facts, NodeCapacityWriter
from loadline_agent.locks import exclusive
from loadline_agent.logs import configure
from loadline_agent.problem_logs import ProblemLog
from loadline_agent.settings import Settings
from loadline_agent.status_servers import StatusServer
from loadline_agent.workers.node_workers import NodeWorkers
from loadline_agent.workloads.node_workloads import NodeWorkloads
from loadline_api.bounded_listeners import ask_for_descriptors, ask_for_small_buffers
from loadline_api.journals import Component, Journal, JournalEntry
from loadline_api.names import lease_name
from loadline_api.node_capacities import NodeCapacityStatus
from loadline_api.power_journals import UNMOVED
from loadline_policies.errors import LoadlineError

PREDECESSOR_S = 45.0
"""How long a successor waits for its predecessor: longer than a pod has to end, shorter than probes allow."""

STAND_EVERY_S = 1.0
"""How often it is looked whether this node is a candidate."""

SPREAD_S = 3.0
"""Over how long a row that starts at once spreads its first candidacies. Chosen."""

log = structlog.get_logger("loadline.agent")


def main(arguments: Sequence[str]) -> int:
    """Run until SIGTERM or SIGINT; 1 if the agent can't start, with the reason on stderr."""
    signal.signal(signal.SIGTERM, _leave)  # the first process of a container has no default for it
    try:
        chosen = settings.parse(arguments)
        configure(chosen.log_level)
        ask_for_descriptors()
        ask_for_small_buffers()
        armed_records.prepare(str(chosen.state_dir))
        with exclusive(chosen.state_dir, patience_s=PREDECESSOR_S):
            # One that can't be understood may be armed: it ends the agent before anything is done.
            armed_records.ArmedRecordFile(str(chosen.state_dir), armed_records.boot_id()).read()
            asyncio.run(AgentProcess(chosen).run())
    except (LoadlineError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except ExceptionGroup as group:  # as tasks raise it
        known, unforeseen = group.split((LoadlineError, OSError))
        if known is None or unforeseen is not None:
            raise
        print(f"error: {'; '.join(map(str, _leaves(known)))}", file=sys.stderr)
        return 1
    return 0


class AgentProcess:
    """One life of the agent."""

    def __init__(self, chosen: Settings) -> None:
        self._settings = chosen
        self._identity = Identity.load_or_create(chosen.state_dir, node=chosen.node, address=chosen.address)
        self._kube = Kube(credentials.find(chosen.kubeconfig))
        self._declarations = Declarations(
            self._kube, chosen.node, chosen.namespace, state_dir=chosen.state_dir
        )
        self._journal_file = _journal_file(chosen)
        self._journal = _journal(chosen, self._journal_file)
        self._status_server = StatusServer(chosen, self._journal)
        if self._journal_file is not None:
            self._journal_file.lost = self._status_server.metrics.journal_lost_lines.inc
        self._status_server.unready = self._unready
        self._workloads = NodeWorkloads(
            self._kube,
            chosen.node,
            socket=chosen.pod_resources,
            clock=boottime,
            metrics=self._status_server.metrics,
            gpu_resource=chosen.gpu_resource,
        )
        self._workers = NodeWorkers(
            self._kube,
            chosen,
            self._workloads,
            journal=self._journal,
            metrics=self._status_server.metrics,
            clock=boottime,
        )
        self._workloads.experts = self._workers.experts
        self._workloads.kv_cache = self._workers.kv_cache
        self._status_server.workers = self._workers.shown
        self._status_writer = DomainStatusWriter(
            self._kube, chosen.node, domain=self._declarations.domain, clock=boottime
        )
        self._capacity_writer = NodeCapacityWriter(
            self._kube, self._identity, facts=self._facts, clock=boottime, found=self._recall
        )
        self._problem_log = ProblemLog(lambda: (*self._declarations.problems, *self._workers.problems))
        gpus = partial(NodeGpus.open, chosen.state_dir, boottime)
        self._search = DriverSearch(gpus, chosen.node, clock=boottime)
        self._agent: NodeAgent | None = None
        self._stop = asyncio.Event()

    def _recall(self, status: NodeCapacityStatus) -> None:
        """Take over what a predecessor has written of the node's services."""
        self._workloads.recall(status)
        self._workers.recall(status)

    async def run(self) -> None:
        """Until a signal; the limits step down before anything else ends."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._stop.set)
        log.info("agent started", node=self._settings.node, address=self._identity.address)
        await self._status_server.open()
        try:
            await self._workers.open()
            async with asyncio.TaskGroup() as tasks:
                works = [
                    tasks.create_task(work)
                    for work in (
                        self._declarations.run(),
                        self._workloads.run(),
                        self._workers.run(),
                        self._status_writer.run(),
                        self._capacity_writer.run(),
                        self._problem_log.run(),
                    )
                ]
                await self._serve()
                for work in works:
                    work.cancel()
        finally:
            self._declarations.stop_leading()
            await self._workers.close()
            await self._status_server.close()
            await self._kube.close()
            if self._journal_file is not None:
                self._journal_file.close()
        log.info("agent stopped", node=self._settings.node)

    async def _serve(self) -> None:
        """Run the agent proper as soon as it is known which GPUs there are."""
        node_gpus = await self._search.run(self._stop)
        if node_gpus is None:
            return
        self._agent = NodeAgent(
            AgentParts(
                settings=self._settings,
                identity=self._identity,
                declarations=self._declarations,
                owners=self._workloads,
                node_gpus=node_gpus,
                journal=self._journal,
                clock=boottime,
                tell=self._status_writer.tell,
                services=self._workloads,
                status_server=self._status_server,
            )
        )
        standing = asyncio.create_task(self._run_for_election(self._agent))
        gc.freeze()  # what is loaded by now stays: the collector needn't walk it again
        try:
            await self._agent.run(self._stop)
        finally:
            standing.cancel()

    async def _run_for_election(self, agent: NodeAgent) -> None:
        """Stand for election as long as this node is a candidate of its domain."""
        domain, standing = None, None
        await asyncio.sleep(random.uniform(0.0, SPREAD_S))
        try:
            while True:
                wanted = self._candidacy()
                if wanted != domain and (agent.leadership.coordinator is None or wanted is not None):
                    standing = await self._change(agent, wanted, standing=standing)
                    domain = wanted
                await asyncio.sleep(STAND_EVERY_S)
        finally:
            if standing is not None:
                standing.cancel()

    async def _change(
        self, agent: NodeAgent, domain: str | None, *, standing: "asyncio.Task[None] | None"
    ) -> "asyncio.Task[None] | None":
        if standing is not None:
            standing.cancel()
            await agent.leadership.close()
            agent.leadership.election = None
        if domain is None:
            return None
        chosen = self._settings
        election = Election(
            self._kube,
            namespace=chosen.namespace,
            lease_name=lease_name(domain),
            node=chosen.node,
            clock=boottime,
        )
        agent.leadership.election = election
        return asyncio.create_task(election.run())

    def _candidacy(self) -> str | None:
        home = self._declarations.home()
        if home is None or home.domain is None:
            return None
        names = (peer.node for peer in self._declarations.candidates(home.domain))
        return home.domain if self._settings.node in names else None

    def _facts(self) -> Facts:
        if self._agent is None:
            return Facts(services=self._workloads.facts(()), faults=self._search.missing)
        self._workloads.see_gpus(self._agent.leaf.state.gpus)
        return self._agent.facts()

    def _unready(self) -> str | None:
        """Until GPUs are found: a node without a driver is as ready as it will be."""
        return None if self._search.looked else NOT_LOOKED


def _leaves(group: ExceptionGroup[Exception]) -> Iterator[Exception]:
    for error in group.exceptions:
        if isinstance(error, ExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _leave(number: int, frame: object) -> NoReturn:
    """End at once: nothing has been touched yet."""
    raise SystemExit(0)


def _journal_file(chosen: Settings) -> JournalFile | None:
    if chosen.journal is None:
        return None
    return JournalFile(chosen.journal, most_bytes=chosen.journal_mib * MIB)


def _journal(chosen: Settings, file: JournalFile | None) -> Journal:
    def written(entry: JournalEntry, line: str) -> None:
        if file is not None:
            file.keep(line)
        if entry.reason != UNMOVED:
            log.info("decided", decider=entry.decider, reason=entry.reason, object=entry.name)

    return Journal(Component.AGENT, node=chosen.node, wall=time.time, written=written)
