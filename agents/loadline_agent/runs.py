"""
`loadline-agent run`: a node's agent with everything that the API server tells it.

The agent proper is in `node_agents`; around it are the followers of the API server,
the election while the node is a candidate, and the writers of its objects. A node
without a driver is no failure: it publishes that it has none, and looks again.
"""

import asyncio
import gc
import random
import signal
import sys
import time
from collections.abc import Sequence

import structlog

from loadline_agent import credentials, records, settings
from loadline_agent.capacity import Capacity, Facts
from loadline_agent.declarations import Declarations
from loadline_agent.elections import Election
from loadline_agent.guard import boottime
from loadline_agent.hands import Hands
from loadline_agent.identity import Identity
from loadline_agent.journals import Entry, Journal
from loadline_agent.kube import Kube
from loadline_agent.logs import configure
from loadline_agent.node_agents import NodeAgent, Surroundings
from loadline_agent.owners import NodeOwners
from loadline_agent.settings import Settings
from loadline_agent.sole import sole
from loadline_agent.statuses import Statuses
from loadline_api.conditions import Reason
from loadline_api.names import lease_name
from loadline_policies.errors import HardwareError, LoadlineError

DRIVER_AGAIN_S = 30.0
"""How often a node without a driver looks for one. Chosen."""

STAND_EVERY_S = 1.0
"""How often it is looked whether this node is a candidate."""

SPREAD_S = 3.0
"""Over how long a row that starts at once spreads its first candidacies. Chosen."""

log = structlog.get_logger("loadline.agent")


def main(arguments: Sequence[str]) -> int:
    """Run until SIGTERM or SIGINT; 1 if the agent can't start, with the reason on stderr."""
    try:
        chosen = settings.parse(arguments)
        configure(chosen.log_level)
        records.prepare(str(chosen.state_dir))
        with sole(chosen.state_dir):
            asyncio.run(Run(chosen).run())
    except (LoadlineError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


class Run:
    """One life of the agent."""

    def __init__(self, chosen: Settings) -> None:
        self._settings = chosen
        self._identity = Identity.load_or_create(chosen.state_dir, chosen.node, chosen.address)
        self._kube = Kube(credentials.find(chosen.kubeconfig))
        self._declarations = Declarations(
            self._kube, chosen.node, chosen.namespace, state_dir=chosen.state_dir
        )
        self._owners = NodeOwners(self._kube, chosen.node)
        self._statuses = Statuses(self._kube, chosen.node, self._declarations.domain, boottime)
        self._capacity = Capacity(self._kube, self._identity, self._facts, boottime)
        self._journal = Journal(chosen.node, time.time, chosen.journal, tell=_log_entry)
        self._missing = "the driver hasn't been looked for yet"
        self._agent: NodeAgent | None = None
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Until a signal; the limits step down before anything else ends."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._stop.set)
        log.info("agent started", node=self._settings.node, address=self._identity.address)
        try:
            async with asyncio.TaskGroup() as tasks:
                works = [
                    tasks.create_task(work)
                    for work in (
                        self._declarations.run(),
                        self._owners.run(),
                        self._statuses.run(),
                        self._capacity.run(),
                    )
                ]
                await self._serve()
                for work in works:
                    work.cancel()
        finally:
            self._declarations.unlead()
            await self._kube.close()
        log.info("agent stopped", node=self._settings.node)

    async def _serve(self) -> None:
        """Run the agent proper as soon as there is a driver."""
        hands = await self._find_gpus()
        if hands is None:
            return
        self._agent = NodeAgent(
            Surroundings(
                settings=self._settings,
                identity=self._identity,
                declarations=self._declarations,
                owners=self._owners,
                hands=hands,
                journal=self._journal,
                clock=boottime,
                tell=self._statuses.tell,
            )
        )
        standing = asyncio.create_task(self._stand(self._agent))
        gc.freeze()  # what is loaded by now stays: the collector needn't walk it again
        try:
            await self._agent.run(self._stop)
        finally:
            standing.cancel()

    async def _find_gpus(self) -> Hands | None:
        """The node's GPUs; None if the agent is stopped before there are any."""
        while not self._stop.is_set():
            try:
                return Hands.open(self._settings.state_dir, boottime)
            except HardwareError as error:
                self._missing = str(error)
                log.warning("no GPUs", node=self._settings.node, error=self._missing)
            try:
                await asyncio.wait_for(self._stop.wait(), DRIVER_AGAIN_S)
            except TimeoutError:
                continue
        return None

    async def _stand(self, agent: NodeAgent) -> None:
        """Stand for election as long as this node is a candidate of its domain."""
        domain, standing = None, None
        await asyncio.sleep(random.uniform(0.0, SPREAD_S))
        try:
            while True:
                wanted = self._candidacy()
                if wanted != domain and (agent.leadership.coordinator is None or wanted is not None):
                    standing = await self._change(agent, wanted, standing)
                    domain = wanted
                await asyncio.sleep(STAND_EVERY_S)
        finally:
            if standing is not None:
                standing.cancel()

    async def _change(
        self, agent: NodeAgent, domain: str | None, standing: "asyncio.Task[None] | None"
    ) -> "asyncio.Task[None] | None":
        if standing is not None:
            standing.cancel()
            await agent.leadership.close()
            agent.leadership.election = None
        if domain is None:
            return None
        chosen = self._settings
        election = Election(self._kube, chosen.namespace, lease_name(domain), chosen.node, boottime)
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
            return Facts(faults={Reason.DRIVER_MISSING.value: self._missing})
        return self._agent.facts()


def _log_entry(entry: Entry) -> None:
    if entry["reason"] != "unmoved":
        log.info("decided", what=entry["what"], reason=entry["reason"], domain=entry.get("domain"))
