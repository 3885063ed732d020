"""
What the API server declares about this node and its domain, kept at hand.

Every agent knows its `memberships`. A candidate follows the policies too: where one is edited so
that it can't be used, and then the coordinator dies, its successor must have seen the last good one.
A coordinator needs more, and follows it only between `lead` and `stop_leading`: services' terms, and
the capacities and certificates of all nodes. `object_parsers` says what is kept of each kind; the
interface that leaf and leadership lean on is `ports.Declarations`.

Nothing here is lost with the API server: the last state stays, also over a restart,
from `checkpoint_files`. A policy that can't be used keeps the last good one, whoever saw it
good; a coordinator that never saw one decides by the policy that the product ships,
since a row without a coordinator would fall to its safe limits.
"""

import asyncio
import ssl
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from importlib import resources
from pathlib import Path

from loadline_agent.boot_clock import boottime
from loadline_agent.domain.peers import Peer
from loadline_agent.kube import checkpoint_files, object_parsers
from loadline_agent.kube.checkpoint_files import Checkpoint, RememberedPeer
from loadline_agent.kube.clients import Kube
from loadline_agent.kube.informers import Informer
from loadline_agent.kube.memberships import Memberships
from loadline_agent.kube.object_parsers import Declared
from loadline_api.names import INFERENCE_SERVICES, NODE_CAPACITIES, POLICY_LABEL, POWER_DOMAINS
from loadline_policies.documents import parse_power
from loadline_policies.errors import InvalidInput
from loadline_policies.power.documents import PowerDocument
from loadline_policies.power.protocol.domains import Domain
from loadline_policies.power.protocol.drill_states import DrillOrder
from loadline_policies.power.protocol.node_states import Home


class Declarations:
    """The declarations that concern one node.

    `on_change` is called after home, candidates or certificates have changed. Without a
    `state_dir` nothing is remembered.
    """

    def __init__(
        self,
        kube: Kube,
        node: str,
        system_namespace: str,
        *,
        state_dir: Path | None = None,
        on_change: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = boottime,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._kube, self._node, self._state_dir, self._on_change = kube, node, state_dir, on_change
        self._clock, self._wall = clock, wall
        self._drill: DrillOrder | None = None
        self._drill_text: str | None = None
        self._checkpoint, self._checkpoint_problem = _recalled(state_dir)
        self._domain: Domain | None = None
        self._domain_problem: str | None = None
        self._stale = True
        self._certificates: Mapping[bytes, str] | None = None
        self._group: asyncio.TaskGroup | None = None
        self._leading: asyncio.Task[None] | None = None
        self._policing: asyncio.Task[None] | None = None
        self._leads = False
        self._domains = Informer(
            kube, POWER_DOMAINS.path(), parse=object_parsers.declared_of, on_change=self._domains_changed
        )
        self._capacities = Informer(
            kube, NODE_CAPACITIES.path(), parse=object_parsers.known_of, on_change=self._capacities_changed
        )
        self._services = Informer(
            kube, INFERENCE_SERVICES.path(), parse=object_parsers.terms_of, on_change=self._outdate
        )
        self._policies = Informer(
            kube,
            f"/api/v1/namespaces/{system_namespace}/configmaps",
            parse=object_parsers.policy_of,
            on_change=self._policies_changed,
            labels=f"{POLICY_LABEL}=power",
        )
        self._coordinators_informers = (self._capacities, self._services, self._policies)
        self._namespace = system_namespace
        self._memberships = Memberships(
            kube, node, domains=self._domains, on_change=self._membership_changed, clock=clock
        )

    async def run(self) -> None:
        """Follow what every agent needs, and a coordinator's part while it leads; until cancelled."""
        try:
            async with asyncio.TaskGroup() as self._group:
                self._group.create_task(self._domains.run())
                self._group.create_task(self._memberships.run())
                self._follow()
                self._follow_policies()
        finally:
            self._group = self._policing = None

    def lead(self) -> None:
        """Begin to follow what a coordinator needs; `domain` answers when it is there."""
        if not self._leads:
            self._leads, self._stale = True, True
            self._capacities.start_over()
            self._services.start_over()
            self._follow()
            self._follow_policies()

    def stop_leading(self) -> None:
        """Stop following it; what was known is kept as it was."""
        self._leads = False
        if self._leading is not None:
            self._leading.cancel()
            self._leading = None
        self._follow_policies()

    def keep(self, armed_for: Callable[[], str | None]) -> None:
        """Be told which domain the node is armed for: no other one takes it out of that."""
        self._memberships.armed_for = armed_for

    def home(self) -> Home | None:
        """Where this node belongs; None while neither the API server nor a memory of it has told."""
        return self._memberships.home or self._checkpoint.home

    def candidates(self, domain: str) -> tuple[Peer, ...]:
        """The members that may lead `domain`; those of whom more is known than a name.

        Not only of the node's own: one that has left a domain while armed is released by its coordinator.
        """
        remembered = {one.node: _peer(one) for one in self._checkpoint.candidates}
        peers = {**remembered, **self._memberships.peers}
        followed = self._capacities.items if self._follows_capacities else {}
        if self._memberships.home is not None:
            names = self._memberships.candidates(domain)
        else:
            home = self._checkpoint.home
            names = tuple(remembered) if home is not None and home.domain == domain else ()
        for name in followed.keys() & set(names):
            peer = followed[name].peer
            if peer is not None:
                peers[name] = peer
        return tuple(peers[name] for name in names if name in peers)

    def node_of(self, certificate: bytes) -> str | None:
        """The node whose certificate this is, in DER; None for a stranger and for one that two nodes show."""
        return self.certificates.get(certificate)

    @property
    def certificates(self) -> Mapping[bytes, str]:
        """Nodes by their certificates in DER; the same object until something changes."""
        if self._certificates is None:
            capacities = self._capacities.items.items()
            peers = {name: known.peer for name, known in capacities if known.peer is not None}
            known = {**self._memberships.peers, **peers}
            times = Counter(peer.certificate for peer in known.values())
            self._certificates = {
                peer.certificate: name for name, peer in known.items() if times[peer.certificate] == 1
            }
        return self._certificates

    async def relist(self) -> None:
        """Look again for the candidates' certificates and addresses.

        A coordinator follows those of all nodes: whatever is published it is told, and asking for it would
        only cost. Nothing is raised: whether it helped is seen in `certificates`.
        """
        if not self._follows_capacities:
            await self._memberships.look(anew=True)

    @property
    def _follows_capacities(self) -> bool:
        return self._leads and self._capacities.listed

    def domain(self) -> Domain | None:
        """The domain to lead, the same object until something changes; None while unknown."""
        if not all(informer.listed for informer in self._coordinators_informers):
            return None
        if self._stale:
            self._compose()
        return self._domain

    @property
    def problems(self) -> tuple[str, ...]:
        """What isn't as it should be, a sentence each: for the log."""
        informers = (self._domains, *self._coordinators_informers)
        sentences = [informer.problem for informer in informers]
        sentences += [self._memberships.problem, self._checkpoint_problem, self._domain_problem]
        refused = (f"{key}: {why}" for informer in informers for key, why in informer.refused.items())
        capacities = self._capacities.items.items()
        unknown = (f"{node}: {known.problem}" for node, known in capacities if known.problem)
        return tuple(sentence for sentence in (*sentences, *refused, *unknown) if sentence)

    def _follow(self) -> None:
        if self._leads and self._group is not None:
            self._leading = self._group.create_task(self._follow_all())

    async def _follow_all(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._capacities.run())
            group.create_task(self._services.run())

    def _follow_policies(self) -> None:
        """Follow them while this node leads or is a candidate; from the beginning where it wasn't."""
        home = self.home()
        candidates = self._memberships.candidates(home.domain) if home is not None else ()
        wanted = self._leads or self._node in candidates
        if not wanted and self._policing is not None:
            self._policing.cancel()
            self._policing = None
        elif wanted and self._policing is None and self._group is not None:
            self._policies.start_over()
            self._policing = self._group.create_task(self._policies.run())

    def _compose(self) -> None:
        self._stale = False
        home = self.home()
        declared = self._domains.items.get(home.domain) if home is not None and home.domain else None
        if declared is None:
            return
        document, self._domain_problem = self._document(declared.spec.policy_ref.name)
        try:
            domain = object_parsers.domain_of(
                declared,
                document,
                capacities=self._capacities.items,
                services=self._services.items,
                drill=self._ordered(declared),
            )
        except InvalidInput as error:
            self._domain_problem = str(error)
            return
        if domain != self._domain:
            self._domain = domain

    def _ordered(self, declared: Declared) -> DrillOrder | None:
        """The order for a drill, with its age when it was first seen; the same one until it is rewritten."""
        if declared.drill != self._drill_text:
            self._drill_text = declared.drill
            text, wall_s, now = declared.drill, self._wall(), self._clock()
            self._drill = None if text is None else object_parsers.drill_of(text, wall_s=wall_s, now=now)
        return self._drill

    def _document(self, name: str) -> tuple[PowerDocument, str | None]:
        """The policy of that name, or what stands in for it and why."""
        key = f"{self._namespace}/{name}"
        if key in self._policies.items:
            return self._policies.items[key].document, None
        missing = f"no ConfigMap {key} labelled {POLICY_LABEL}: power has a valid policy"
        if key in self._checkpoint.policies:
            try:
                good = parse_power(self._checkpoint.policies[key])
            except InvalidInput as error:  # another version of the agent took it
                missing = f"{missing}, and this version can't use the last good one ({error})"
            else:
                return good, f"{missing}; the last good one stays in force"
        shipped = resources.files("loadline_policies") / "defaults" / "power.yaml"
        return parse_power(shipped.read_text()), f"{missing}; the policy shipped with Loadline is in force"

    def _outdate(self) -> None:
        self._stale = True

    def _domains_changed(self) -> None:
        self._outdate()
        self._memberships.wake()
        self._follow_policies()
        self._on_change()

    def _capacities_changed(self) -> None:
        self._outdate()
        self._certificates = None
        self._on_change()

    def _membership_changed(self) -> None:
        self._outdate()
        self._certificates = None
        self._follow_policies()
        self._remember()
        self._on_change()

    def _policies_changed(self) -> None:
        self._outdate()
        self._remember()

    def _remember(self) -> None:
        """Keep on disk what has changed; a policy once good is kept until a better one comes."""
        home = self._memberships.home
        peers = self.candidates(home.domain) if home is not None and home.domain else ()
        policies = {key: policy.text for key, policy in self._policies.items.items()}
        checkpoint = Checkpoint(
            home=replace(home, gone=None) if home is not None else self._checkpoint.home,
            candidates=tuple(map(_remembered, peers)) if home is not None else self._checkpoint.candidates,
            policies={**self._checkpoint.policies, **policies},
        )
        if checkpoint == self._checkpoint:
            return
        self._checkpoint = checkpoint
        if self._state_dir is not None:
            try:
                checkpoint_files.keep(self._state_dir, checkpoint)
                self._checkpoint_problem = None
            except OSError as error:
                self._checkpoint_problem = f"{self._state_dir} can't be written: {error}"


def _recalled(state_dir: Path | None) -> tuple[Checkpoint, str | None]:
    try:
        return (checkpoint_files.recall(state_dir) if state_dir is not None else Checkpoint()), None
    except InvalidInput as error:
        return Checkpoint(), str(error)


def _remembered(peer: Peer) -> RememberedPeer:
    pem = ssl.DER_cert_to_PEM_cert(peer.certificate)
    return RememberedPeer(node=peer.node, address=peer.address, certificate=pem)


@lru_cache(maxsize=64)  # asked with every report, and a certificate is long
def _peer(remembered: RememberedPeer) -> Peer:
    return Peer(remembered.node, remembered.address, ssl.PEM_cert_to_DER_cert(remembered.certificate))
