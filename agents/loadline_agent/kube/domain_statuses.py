"""
What people see of a domain: the coordinator's half of its status, and Events.

The fast path hands over its latest state and goes on; a task of its own writes.
A change of level, of a condition, of the silent nodes, of the services relieved or of
the policy is written at once, at most one a second; watts alone every ten seconds, and
only when they moved by 2 % of the budget. What hasn't changed is written again every thirty,
so that calm looks different from a dead coordinator (`loadline_api.refreshes`). Events tell changes
of state, never a state. What is said, and on what evidence, is in `domain_conditions`.

The admission policy lets only the holder of the domain's Lease write, and only these
fields. `status_of` and `due` are pure.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from loadline_agent.kube import drill_statuses
from loadline_agent.kube.clients import Kube, Object
from loadline_agent.kube.domain_conditions import conditions_of, is_bad
from loadline_api.api_errors import KubeError
from loadline_api.conditions import Condition, ConditionType, merge, timestamp
from loadline_api.drills import DrillStatus
from loadline_api.names import API_VERSION, COORDINATOR_MANAGER, POWER_DOMAINS
from loadline_api.power_domains import CoordinatorDomainStatus, PowerDomain
from loadline_api.quantities import told_count, told_watts
from loadline_api.refreshes import REFRESH_SECONDS, stale_after_s
from loadline_policies.errors import InvalidInput
from loadline_policies.power.protocol.domain_states import DomainState
from loadline_policies.power.protocol.domains import Domain
from loadline_policies.power.protocol.gpu_limits import HoldReason
from loadline_policies.power.protocol.messages import Epoch

TURN_S = 1.0
"""The least time between two writes, whatever has changed. Chosen."""

WATTS_EVERY_S, WATTS_SHARE = 10.0, 0.02
"""How often, and for how much of the budget, watts alone are worth a write. From the design."""

EVENT_EVERY_S = 30.0
"""The least time between two Events of one reason, or a row at a threshold would flood. Chosen."""


@dataclass(frozen=True, slots=True)
class View:
    """One moment of a domain: who leads, what is declared, how it stands."""

    epoch: Epoch
    domain: Domain
    domain_state: DomainState


def status_of(view: View, node: str, *, now: datetime) -> CoordinatorDomainStatus:
    """The coordinator's half of the status; conditions without their times."""
    domain_state = view.domain_state
    return CoordinatorDomainStatus(
        coordinator=node,
        level=domain_state.level,
        observed_watts=told_watts(domain_state.watts),
        observed_time=timestamp(now),
        headroom_watts=told_watts(domain_state.headroom_watts),
        nodes_reporting=domain_state.nodes - len(domain_state.silent),
        silent_nodes=domain_state.silent,
        brakes=told_count(domain_state.brakes),
        heat_percent=told_count(100 * domain_state.heat),
        applied_policy_hash=domain_state.policy_hash,
        drill=drill_statuses.status_of(domain_state.drill) if domain_state.drill is not None else None,
        refresh_seconds=REFRESH_SECONDS,
        conditions=conditions_of(domain_state, enforce=view.domain.enforce),
    )


def due(
    written: CoordinatorDomainStatus | None,
    wanted: CoordinatorDomainStatus,
    *,
    budget_watts: float,
    age_s: float,
) -> bool:
    """Whether `wanted` is worth a write, `age_s` after `written` was."""
    if written is None or _state(written) != _state(wanted):
        return True
    if age_s >= REFRESH_SECONDS:
        return True
    moved_watts = abs((wanted.observed_watts or 0) - (written.observed_watts or 0))
    return age_s >= WATTS_EVERY_S and moved_watts >= WATTS_SHARE * budget_watts


def news(before: CoordinatorDomainStatus | None, after: CoordinatorDomainStatus) -> tuple[Condition, ...]:
    """Conditions that have turned, each worth an Event; also the first ones, if they are bad."""
    known = {one.type: (one.status, one.reason) for one in before.conditions} if before is not None else {}
    return tuple(
        one
        for one in after.conditions
        if known.get(one.type, () if is_bad(one) else (one.status, one.reason)) != (one.status, one.reason)
    )


class DomainStatusWriter:
    """Writes one domain's status while this node leads it. `problem` says why the last write failed."""

    def __init__(
        self,
        kube: Kube,
        node: str,
        *,
        domain: Callable[[], Domain | None],
        clock: Callable[[], float],
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.problem: str | None = None
        self._kube, self._node, self._domain, self._clock, self._wall = kube, node, domain, clock, wall
        self._latest: View | None = None
        self._epoch: Epoch | None = None
        self._inherited: DrillStatus | None = None
        self._written: CoordinatorDomainStatus | None = None
        self._written_s = float("-inf")
        self._said_s: dict[str, float] = {}

    def tell(self, epoch: Epoch, domain_state: DomainState) -> None:
        """Take the latest state; nothing waits for it to be written.

        A new coordinator has heard nobody, and counts everybody as silent, at the most that they may
        draw. For these two seconds it says nothing: what was said before stays.
        """
        domain = self._domain()
        if domain is not None and domain_state.held is not HoldReason.NEW:
            self._latest = View(epoch, domain, domain_state)

    async def run(self) -> None:
        """Write what is due until cancelled; without a word from `tell`, nothing is."""
        while True:
            await self.step()
            await asyncio.sleep(TURN_S)

    async def step(self) -> None:
        """Write the latest state if it is due, once."""
        view, self._latest = self._latest, None
        if view is None:
            return
        try:
            await self._step(view)
            self.problem = None
        except (KubeError, InvalidInput) as error:
            self.problem = str(error)

    async def _step(self, view: View) -> None:
        path = POWER_DOMAINS.path(view.domain.name)
        now, wall = self._clock(), self._wall()
        late = now - self._written_s >= stale_after_s(REFRESH_SECONDS)  # the operator may have written
        if view.epoch != self._epoch or late:  # what others wrote is what has changed, or not
            status = PowerDomain.parse(await self._kube.get(path)).status
            self._written = CoordinatorDomainStatus(conditions=status.conditions)
            if view.epoch != self._epoch:
                self._inherited = drill_statuses.ended(status.drill)
            self._epoch = view.epoch
        wanted = status_of(view, self._node, now=wall)
        wanted = wanted.model_copy(update={"drill": drill_statuses.inherited(wanted.drill, self._inherited)})
        age_s = now - self._written_s
        if not due(self._written, wanted, budget_watts=view.domain.budget_watts, age_s=age_s):
            return
        before = self._written.conditions if self._written is not None else ()
        wanted = wanted.model_copy(update={"conditions": merge(before, wanted.conditions, now=wall)})
        body = _body(view.domain.name, {"status": wanted.to_api()})
        await self._kube.apply(path, body, manager=COORDINATOR_MANAGER, subresource="status")
        turned = news(self._written, wanted)
        self._written, self._written_s = wanted, now
        for one in turned:
            await self._say(view.domain.name, one, now=now)

    async def _say(self, domain: str, one: Condition, *, now: float) -> None:
        if now - self._said_s.get(one.reason, float("-inf")) < EVENT_EVERY_S:
            return
        self._said_s[one.reason] = now
        await self._kube.create("/api/v1/namespaces/default/events", self._event(domain, one))

    def _event(self, domain: str, one: Condition) -> Object:
        """A core Event; those of cluster-scoped objects live in the namespace `default`."""
        at = timestamp(self._wall())
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": f"{domain}.", "namespace": "default"},
            "involvedObject": {"apiVersion": API_VERSION, "kind": POWER_DOMAINS.kind, "name": domain},
            "type": "Warning" if is_bad(one) else "Normal",
            "reason": one.reason,
            "message": one.message,
            "firstTimestamp": at,
            "lastTimestamp": at,
            "count": 1,
            "source": {"component": COORDINATOR_MANAGER, "host": self._node},
        }


def _state(status: CoordinatorDomainStatus) -> tuple[object, ...]:
    """What is written at once when it changes."""
    turned = sorted((one.type, one.status, one.reason, _told(one)) for one in status.conditions)
    drill = status.drill
    drilled = (drill.order, drill.outcome, drill.gpus_at_safe) if drill is not None else None
    return status.coordinator, status.level, status.silent_nodes, status.applied_policy_hash, turned, drilled


def _told(one: Condition) -> str:
    """The message, where it names what the reason doesn't: who is relieved."""
    return one.message if one.type == ConditionType.POWER_CAPPED else ""


def _body(name: str, part: Object) -> Object:
    return {"apiVersion": API_VERSION, "kind": POWER_DOMAINS.kind, "metadata": {"name": name}, **part}
