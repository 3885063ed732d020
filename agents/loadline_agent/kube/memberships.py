"""
Where this node belongs, and who may lead there.

The node's labels say which PowerDomain selects it. An agent may read its own Node but
not watch it, and reads only the candidates' NodeCapacities, so both are asked for:
when the PowerDomains change, when somebody asks, and now and then besides. The domain
that the node left last is kept in view, and so is, also after a restart, the one that armed
it, since only its coordinator may release what it has armed. All that a leaf needs to report
is here; what a coordinator needs more is in `declarations`.
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace

from loadline_agent.domain.peers import Peer
from loadline_agent.kube.clients import Kube
from loadline_agent.kube.gone_domains import GoneDomain
from loadline_agent.kube.informers import Informer, pause_s
from loadline_agent.kube.object_parsers import Declared, home_of, host_problem, known_of
from loadline_api.api_errors import KubeError, NotFound
from loadline_api.names import NODE_CAPACITIES
from loadline_policies.errors import InvalidInput
from loadline_policies.power.protocol.node_states import Home

LOOK_AGAIN_S = 60.0
"""How often the own Node is read without a reason: its labels hardly ever change. Chosen."""

LOOKS_UNTIL_MET_AGAIN = 5
"""How many such looks until the candidates' certificates are read again without a reason. Chosen."""


class Memberships:
    """The node's home and its candidates' peers, as far as the API server has told them.

    `home` is None until it has. `problem` says what was missing at the last look, `armed_for` tells
    the domain that the node is armed for.
    """

    def __init__(
        self,
        kube: Kube,
        node: str,
        *,
        domains: Informer[Declared],
        on_change: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self.home: Home | None = None
        self.peers: dict[str, Peer] = {}
        self.problem: str | None = None
        self.armed_for: Callable[[], str | None] = lambda: None
        self._kube, self._node, self._domains, self._on_change = kube, node, domains, on_change
        self._gone = GoneDomain(kube, clock)
        self._labels: Mapping[str, str] | None = None
        self._left: str | None = None
        self._woken = asyncio.Event()
        self._unusable: dict[str, str] = {}
        self._looks = 0
        self._failures = 0

    async def run(self) -> None:
        """Look, sleep until woken or for a minute, and look again; until cancelled."""
        while True:
            self._woken.clear()
            await self.look()
            wait_s = pause_s(self._failures) if self._failures else LOOK_AGAIN_S * random.uniform(0.9, 1.1)
            if self._gone.pending_s is not None:
                wait_s = min(wait_s, self._gone.pending_s)
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._woken.wait()

    def wake(self) -> None:
        """Look now; call it when the PowerDomains have changed."""
        self._settle()
        self._woken.set()

    async def look(self, *, anew: bool = False) -> None:
        """Read the own Node and the candidates not met yet; with `anew`, all candidates."""
        self._looks += 1
        try:
            await self._look(anew or self._looks % LOOKS_UNTIL_MET_AGAIN == 0)
            unusable = [self._unusable[name] for name in sorted(self._unusable.keys() & self._wanted)]
            host = host_problem(self._labels or {})
            self._failures, self.problem = 0, "; ".join([*([host] if host else []), *unusable]) or None
        except (KubeError, InvalidInput) as error:
            self._failures, self.problem = self._failures + 1, str(error)

    def candidates(self, domain: str | None) -> tuple[str, ...]:
        """Names of those who may lead a domain; empty if the API server knows none of that name."""
        declared = self._domains.items.get(domain) if domain is not None else None
        return declared.candidates if declared is not None else ()

    @property
    def _wanted(self) -> set[str]:
        return {*self._at_home, *self._elsewhere}

    @property
    def _at_home(self) -> tuple[str, ...]:
        """Who may lead the node's own domain."""
        return self.candidates(self.home.domain if self.home is not None else None)

    @property
    def _elsewhere(self) -> list[str]:
        """Who else has to be reached, since they may lead a domain that the node has left."""
        left = {*self.candidates(self._left), *self.candidates(self.armed_for())}
        return sorted(left.difference(self._at_home))

    async def _look(self, anew: bool) -> None:
        node = await self._kube.get(f"/api/v1/nodes/{self._node}")
        self._labels = node.get("metadata", {}).get("labels") or {}
        await self._look_for_owner()
        self._settle()
        for name in self._elsewhere:
            await self._meet(name, anew)
        absent = [name for name in self._at_home if not await self._meet(name, anew)]
        if absent:
            raise NotFound(f"no NodeCapacity of {', '.join(absent)} yet; check that an agent runs there")

    async def _look_for_owner(self) -> None:
        """Ask for the domain that the node is armed for, where it isn't among those that are followed."""
        owner = self.armed_for()
        if owner is None or not self._domains.listed or owner in self._domains.items:
            self._gone.forget()
        else:
            await self._gone.look(owner)

    async def _meet(self, name: str, anew: bool) -> bool:
        """Get to know a candidate; False if it has no NodeCapacity yet.

        One that can't be used is no reason to look again sooner, or to know the others less: a whole row
        would ask for it every few seconds.
        """
        if name in self.peers and not anew:
            return True
        try:
            known = known_of(await self._kube.get(NODE_CAPACITIES.path(name)))
        except NotFound:
            return False
        except InvalidInput as error:
            self._unusable[name] = f"{name}: {error}"
            return True
        if known.peer is None:
            self._unusable[name] = f"{name}: {known.problem}"
            return True
        self._unusable.pop(name, None)
        if self.peers.get(name) != known.peer:
            self.peers[name] = known.peer
            self._on_change()
        return True

    def _settle(self) -> None:
        """Say where the node belongs, once both its labels and the PowerDomains are known."""
        if self._labels is None or not self._domains.listed:
            return
        home = home_of(self._labels, self._domains.items.values(), armed_for=self.armed_for())
        if self._gone.name is not None and self._gone.name not in self._domains.items:
            home = replace(home, gone=self._gone.name)
        if home != self.home:
            left = self.home.domain if self.home is not None else None
            self._left = left if left not in (None, home.domain) else self._left
            self.home = home
            self._on_change()
