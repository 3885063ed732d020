"""
What the domain asks of the rest of the agent: declarations, an election, owners, services.

Protocols, so that nothing in `domain` knows the API server or the kubelet: `kube` and
`workloads` fulfil them in a pod, a row's file does in the tests.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from loadline_agent.domain.peers import Peer
from loadline_api.node_capacities import ServiceOnNode
from loadline_policies.power.protocol.domains import Domain
from loadline_policies.power.protocol.messages import Epoch, ServiceReport
from loadline_policies.power.protocol.node_states import Home


class Declarations(Protocol):
    """What the API server declares, or what is remembered of it while it is away."""

    def keep(self, armed_for: Callable[[], str | None]) -> None:
        """Be told which domain the node is armed for: no other one takes it out of that."""

    def home(self) -> Home | None:
        """Where this node belongs; None while neither the API server nor a memory of it has told."""

    def candidates(self, domain: str) -> tuple[Peer, ...]:
        """The members that may lead `domain`, with their addresses and certificates."""

    @property
    def certificates(self) -> Mapping[bytes, str]:
        """Everyone who may connect: nodes by their certificates; the same object until it changes."""

    def node_of(self, certificate: bytes) -> str | None:
        """The member whose certificate this is, in DER; None for a stranger."""

    async def relist(self) -> None:
        """Look again for certificates and addresses, where those of others aren't followed anyway."""

    def lead(self) -> None:
        """Begin to follow what a coordinator needs; `domain` answers when it is there."""

    def stop_leading(self) -> None:
        """Stop following it."""

    def domain(self) -> Domain | None:
        """The domain to lead, the same object until something changes; None while unknown."""


class Election(Protocol):
    """The contest for a domain's Kubernetes Lease, as far as this node sees it."""

    @property
    def epoch(self) -> Epoch | None:
        """The epoch that this node leads; it stays through an outage, until another holder is seen."""

    @property
    def renewed_sent_s(self) -> float:
        """When the last good renewal was *sent*, in seconds of CLOCK_BOOTTIME."""

    @property
    def holder(self) -> str:
        """The node that was last seen to hold the Lease; empty if nobody."""

    @property
    def others(self) -> int:
        """How many candidates there are beside this node; 0 while unknown."""

    async def resign(self, rest_s: float = 0.0) -> None:
        """Give this epoch up, and leave the Lease to others for some seconds; a later win is a higher one."""


class Owners(Protocol):
    """Which services run on a GPU."""

    def owners(self, uuid: str) -> tuple[str, ...]:
        """`namespace/name` of the services, sorted; empty when nobody's work is there."""


class ServicesHere(Protocol):
    """How the services on a node do."""

    def reports(self) -> tuple[ServiceReport, ...]:
        """Against their objectives, for the coordinator; those that have any."""

    def facts(self, held_back: Collection[str]) -> tuple[ServiceOnNode, ...] | None:
        """What seldom turns, for the NodeCapacity; None while nothing is known.

        `held_back` are the GPUs below their maximum.
        """

    def unowned(self) -> tuple[str, ...] | None:
        """GPUs in use by no pod that is known; None while no pod is."""


class NoWorkloads:
    """A node on which nothing is known of services."""

    def reports(self) -> tuple[ServiceReport, ...]:
        """None."""
        return ()

    def facts(self, held_back: Collection[str]) -> tuple[ServiceOnNode, ...]:
        """None."""
        return ()

    def unowned(self) -> tuple[str, ...] | None:
        """Not known."""
        return None
