"""
The policies of the services whose engines report to this agent, followed while they do.

Policy documents lie in ConfigMaps of the system namespace, and of namespaces that the chart lists. An agent
watches such a namespace from the first report on that concerns it, so a node without engines watches none.
What was in force for a service is kept, in memory and in a file of the state directory (`kept_policies`):
the operator knows only hashes, and the API server only the last edit.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from loadline_agent.kube.clients import Kube
from loadline_agent.kube.informers import Informer
from loadline_agent.workers import kept_policies
from loadline_agent.workers.kept_policies import MOST_SERVICES, Policies
from loadline_agent.workers.policy_choices import Documents, InForce, chosen, policy_in
from loadline_api.names import POLICY_LABEL
from loadline_policies.documents import ServiceDocument
from loadline_policies.loops import OF_WORKERS, Loop

LABELS: Final = f"{POLICY_LABEL} in ({','.join(OF_WORKERS)})"

Named = Mapping[Loop, str | None]
"""Loops that a service asks for, each with the name of its policy, if the service names one."""


class ServicePolicies:
    """What is in force for each service. `own` are the namespaces that may have policies of their own.

    `named` gives the loops that a service (`namespace/name`) asks for; None while the service isn't known.
    """

    def __init__(
        self,
        kube: Kube,
        system_namespace: str,
        *,
        named: Callable[[str], Named | None],
        own: frozenset[str] = frozenset(),
        state_dir: Path | None = None,
    ) -> None:
        self._kube, self._system_namespace, self._own = kube, system_namespace, own
        self._named, self._state_dir = named, state_dir
        self._before = kept_policies.recall(state_dir) if state_dir is not None else {}
        self._informers: dict[str, Informer[InForce]] = {}
        self._wanted: asyncio.Queue[str] = asyncio.Queue()
        self._file_problem: str | None = None

    async def run(self) -> None:
        """Follow the namespaces that reports ask for, until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                group.create_task(self._informers[await self._wanted.get()].run())

    def of(self, service: str) -> tuple[ServiceDocument, ...] | None:
        """The document in force for each loop that a service asks for; None while it isn't known."""
        named = self._named(service)
        if named is None:
            return None
        namespace = service.partition("/")[0]
        places = (*((namespace,) if namespace in self._own else ()), self._system_namespace)
        listed = all([self._follow(place) for place in places])
        before = self._before.get(service, {})
        if not listed and not before.keys() >= named.keys():
            return None
        policies = self._chosen(named, places, before) if listed else {loop: before[loop] for loop in named}
        if policies != before:
            self._keep(service, policies)
        return tuple(policy.document for policy in policies.values())

    @property
    def problems(self) -> Iterator[str]:
        """What isn't as it should be, a sentence each: for the log."""
        for informer in self._informers.values():
            yield from (f"{key}: {why}" for key, why in informer.refused.items())
            if informer.problem is not None:
                yield informer.problem
        if self._file_problem is not None:
            yield self._file_problem

    def _follow(self, namespace: str) -> bool:
        """Have a namespace followed from now on; whether its policies are known."""
        if namespace not in self._informers:
            path = f"/api/v1/namespaces/{namespace}/configmaps"
            self._informers[namespace] = Informer(
                self._kube, path, parse=policy_in, on_change=lambda: None, labels=LABELS
            )
            self._wanted.put_nowait(namespace)
        return self._informers[namespace].listed

    def _chosen(self, named: Named, places: tuple[str, ...], before: Policies) -> Policies:
        informers = [self._informers[place] for place in places]
        documents = Documents(
            good={key: policy for informer in informers for key, policy in informer.items.items()},
            refused={key: why for informer in informers for key, why in informer.refused.items()},
        )
        return {
            loop: chosen(loop, name, places=places, documents=documents, before=before.get(loop))
            for loop, name in named.items()
        }

    def _keep(self, service: str, policies: Policies) -> None:
        self._before.pop(service, None)
        self._before[service] = policies
        while len(self._before) > MOST_SERVICES:
            del self._before[next(iter(self._before))]
        if self._state_dir is None:
            return
        try:
            kept_policies.keep(self._state_dir, self._before)
            self._file_problem = None
        except OSError as error:
            self._file_problem = f"{self._state_dir} can't be written: {error}"
