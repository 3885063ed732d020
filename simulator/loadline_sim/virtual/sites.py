"""What all agents of a domain share: the world, the network, the API server and its objects."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from loadline_api.journals import Journal
from loadline_policies.power.protocol.domains import Domain
from loadline_policies.power.protocol.elections import Record
from loadline_policies.power.protocol.messages import Report, ServiceReport
from loadline_sim.virtual.kube_leases import KubeLease
from loadline_sim.virtual.links import Link, Reply
from loadline_sim.virtual.worlds import World


class Peer(Protocol):
    """An agent as the others meet it."""

    @property
    def armed(self) -> bool:
        """Whether its NodeCapacity says that it enforces."""

    def declared(self) -> None:
        """The API server's watch brings a change of the domain."""

    def reported(self, report: Report, reply: Reply) -> None:
        """A report arrives from a member."""


@dataclass(slots=True)
class Site:
    """A domain's place; `owners` are the services on each node, `services` what it tells of them.

    `rivals` are other domains that select a node as well, a sentence by node; `gone` is by node the domain
    of which it knows that it is gone; `cut_off` are nodes that don't reach the API server. `journal_of`
    makes the journal of a node's agent; nothing is written down without it.
    """

    world: World
    link: Link
    domain: Domain
    candidates: tuple[str, ...]
    owners: dict[str, tuple[str, ...]] = field(default_factory=dict)
    services: dict[str, tuple[ServiceReport, ...]] = field(default_factory=dict)
    rivals: dict[str, str] = field(default_factory=dict)
    gone: dict[str, str] = field(default_factory=dict)
    peers: dict[str, Peer] = field(default_factory=dict)
    cut_off: set[str] = field(default_factory=set)
    journal_of: Callable[[str], Journal] | None = None
    lease: KubeLease = field(init=False)

    def __post_init__(self) -> None:
        self.lease = KubeLease(Record(uid=f"lease-{self.domain.name}", candidates=self.candidates))

    def reaches(self, node: str) -> bool:
        """Whether a node reaches the API server now."""
        return self.lease.available and node not in self.cut_off

    def declare(self, domain: Domain) -> None:
        """Change the domain's objects; a coordinator hears of it while the API server is there."""
        armed = {name for name, peer in self.peers.items() if peer.armed}
        self.domain = replace(domain, leaving=frozenset(armed - domain.members))
        for peer in self.peers.values():
            peer.declared()
