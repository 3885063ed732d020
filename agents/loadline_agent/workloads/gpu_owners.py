"""
Whose work a GPU does: the services behind each UUID, for the report's priorities.

Which pod has which GPU is told by the kubelet (`pod_resources`). Where it isn't, a GPU
is taken to belong to every service with a GPU pod on the node:
right where one engine fills a server, and erring towards the higher priority where
several share it. The same holds for a single pod whose devices can't be told, as with
claims of which the kubelet doesn't tell.

`placed` is pure; pods and services are followed in `node_workloads`.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from loadline_agent.workloads.pods import NodePod


@dataclass(slots=True)
class Share:
    """One service's part of the node: its pods, and the GPUs that they have as far as that is known.

    `unplaced` counts those of whom it isn't known which they are.
    """

    pods: int = 0
    gpus: set[str] = field(default_factory=set)
    unplaced: int = 0

    @property
    def count(self) -> int:
        """How many GPUs they are."""
        return len(self.gpus) + self.unplaced

    def among(self, uuids: Collection[str]) -> bool:
        """Whether one of its GPUs is, or may be, among these."""
        return bool(uuids) and (self.unplaced > 0 or not self.gpus.isdisjoint(uuids))


class Placement:
    """Who is where on the node; `shares` by service, `others` what pods of none have."""

    def __init__(self, shares: Mapping[str, Share], others: Share | None = None) -> None:
        self.shares = shares
        self.others = others or Share()
        self._everywhere = {service for service, share in shares.items() if share.unplaced}
        self._owners: dict[str, tuple[str, ...]] = {}

    def owners(self, uuid: str) -> tuple[str, ...]:
        """The services on a GPU, sorted; worked out once."""
        if uuid not in self._owners:
            there = {service for service, share in self.shares.items() if uuid in share.gpus}
            self._owners[uuid] = tuple(sorted(there | self._everywhere))
        return self._owners[uuid]

    def explains(self, uuid: str) -> bool:
        """Whether a pod that is known has the GPU, or may have it."""
        return bool(self.owners(uuid)) or self.others.among((uuid,))


def placed(
    pods: Mapping[str, NodePod],
    *,
    service_of: Callable[[NodePod], str | None],
    gpus: Mapping[str, frozenset[str] | None] | None,
    of_claims: frozenset[str] = frozenset(),
    renumbered: frozenset[str] = frozenset(),
) -> Placement:
    """Where the pods of services are; `gpus` is what the kubelet says, None if it doesn't.

    It tells of the claims of the pods in `of_claims`; the ids of those in `renumbered` are any of the node's.
    """
    shares: dict[str, Share] = {}
    others = Share()
    for key, pod in pods.items():
        service = service_of(pod)
        if not pod.draws:
            continue
        share = shares.setdefault(service, Share()) if service is not None else others
        share.pods += 1
        found = gpus.get(key, frozenset()) if gpus is not None else None
        if pod.claims and key not in of_claims:
            found = None
        if pod.shares and key in renumbered:
            found = pod.shares
        if found is None:
            share.unplaced += pod.gpus
        else:
            share.gpus |= found
    return Placement(shares, others)
