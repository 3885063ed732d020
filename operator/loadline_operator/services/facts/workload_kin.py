"""
Workloads that bear on each other, and the services on them.

A controller makes one workload of another, as KServe makes a Deployment of its service: both
have the same pods, so a service on each would act on them twice. And workloads beside each other
may give their pods the same labels. Both are found here, from the facts of workloads and the
claims of services; what follows is in `attachments`.
"""

from collections.abc import Iterator, Mapping, Sequence

from loadline_operator.kube.fact_tables import FactTable, Groups
from loadline_operator.kube.kinds import Key, Kind
from loadline_operator.services.facts.claimed_workloads import WorkloadClaim, claim_on_owner
from loadline_operator.services.facts.foreign_workloads import COMPANIONS, ForeignWorkload
from loadline_operator.services.facts.service_facts import ServiceFact


class WorkloadKin:
    """Owners and neighbours of the workloads that services claim."""

    def __init__(
        self,
        services: Groups[ServiceFact, WorkloadClaim],
        foreign: Mapping[Kind, FactTable[ForeignWorkload]],
    ) -> None:
        self._services, self._foreign = services, foreign

    def of(self, claim: WorkloadClaim) -> list[WorkloadClaim]:
        """The claim, if a service has it, and all others of which one is on what the other owns."""
        above = self._lineage(claim)
        near = (one for one in self._services.groups() if one.namespace == claim.namespace)
        return [one for one in near if one in above or claim in self._lineage(one)]

    def claiming(self, claim: WorkloadClaim) -> Iterator[Key]:
        """Services that claim a workload, what owns it, or what it owns."""
        for one in self.of(claim):
            yield from self._services.of(one)

    def beside(self, there: ForeignWorkload) -> list[ForeignWorkload]:
        """Workloads of the same kind and namespace as this one."""
        namespace = there.key.namespace
        near = (one for key, one in self._foreign[there.kind].items() if key.namespace == namespace)
        return [one for one in near if one.key != there.key]

    def concerned(self, kind: Kind, key: Key, facts: Sequence[ForeignWorkload]) -> set[Key]:
        """Services on a workload, on its kin if its owner moved, and beside it if its pods' labels did.

        `facts` are those of before and after, one alone where it came or went.
        """
        if kind in COMPANIONS.values():
            owners = {claim_on_owner(fact) for fact in facts}
            return {one for owner in owners if owner is not None for one in self._services.of(owner)}
        concerned = set(self._services.of(WorkloadClaim(kind.group, kind.kind, key.namespace, key.name)))
        alone = len(facts) == 1
        owners = {claim_on_owner(fact) for fact in facts}
        if alone or len(owners) > 1:
            concerned.update(one for owner in owners if owner is not None for one in self.claiming(owner))
        labels = {fact.pods for fact in facts}
        if len(labels) > 1 or (alone and labels != {()}):
            concerned.update(self._attached_in(kind, key.namespace))
        return concerned

    def told_of(self, claim: WorkloadClaim) -> WorkloadClaim:
        """The claim on the workload of which an object tells: its owner if it is a companion, or itself."""
        companion = next((kind for kind in COMPANIONS.values() if (kind.group, kind.kind) == claim[:2]), None)
        there = self._claimed(claim) if companion is not None else None
        return (claim_on_owner(there) if there is not None else None) or claim

    def _attached_in(self, kind: Kind, namespace: str) -> Iterator[Key]:
        for claim in self._services.groups():
            if (claim.group, claim.kind, claim.namespace) == (kind.group, kind.kind, namespace):
                yield from self._services.of(claim)

    def _lineage(self, claim: WorkloadClaim) -> list[WorkloadClaim]:
        """The claim, then those on its owner, the owner's owner and so on, as far as they are known."""
        found: list[WorkloadClaim] = []
        above: WorkloadClaim | None = claim
        while above is not None and above not in found:
            found.append(above)
            there = self._claimed(above)
            above = claim_on_owner(there) if there is not None else None
        return found

    def _claimed(self, claim: WorkloadClaim) -> ForeignWorkload | None:
        """The workload that a claim names, by whichever version of its API it is followed."""
        key = Key(claim.namespace, claim.name)
        tables = (table for kind, table in self._foreign.items() if (kind.group, kind.kind) == claim[:2])
        return next((fact for table in tables if (fact := table.get(key)) is not None), None)
