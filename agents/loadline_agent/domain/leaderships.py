"""
One node's turn at leading its domain: when it begins, what it knows, when it ends.

A Kubernetes Lease elects a coordinator (`Election`), the API server declares the
domain (`Declarations`); the pure `Coordinator` decides. This module ties the
three: it makes a coordinator for each epoch won, tells it of renewals and new
declarations, lets it decide once a second even if nobody reports, and drops it
for good when it says that it is over. An epoch that has ended is never led again:
its successor must be a higher one, or nodes would refuse its first leases.

The policy is wrapped so that the journal gets each row and its decision in full,
as often as the policy's state moves and once in a while besides: whatever is
left out changed nothing, so a replay of the journal meets the same states. Reliefs
are written down in the same way, whenever one begins, waits or ends.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

from loadline_agent.domain.ports import Declarations, Election
from loadline_agent.journals import Journal, plain
from loadline_policies.decisions import Decision
from loadline_policies.power.protocol.coordinators import Coordinator
from loadline_policies.power.protocol.domain_states import DomainState
from loadline_policies.power.protocol.domains import Domain
from loadline_policies.power.protocol.messages import Epoch, Report
from loadline_policies.power.relief import reliefs
from loadline_policies.power.relief.claims import Claim
from loadline_policies.power.relief.reliefs import Relief, Room, State
from loadline_policies.power.rows import Caps, Row

DECIDE_EVERY_S = 1.0
"""How often a coordinator decides without being asked: the `decision_s` of S2's sum."""

RECORD_EVERY_S = 10.0
"""How often a row that changes nothing is written into the journal all the same. Chosen."""


class Leadership:
    """This node as a coordinator: `coordinator` is None while it isn't one.

    `election` is None while the node is no candidate. `tell` gets the state of the domain after
    every decision of the clock, for status and metrics.
    """

    def __init__(
        self,
        declarations: Declarations,
        journal: Journal,
        *,
        clock: Callable[[], float],
        tell: Callable[[Epoch, DomainState], None] = lambda epoch, domain_state: None,
    ) -> None:
        self.coordinator: Coordinator | None = None
        self.election: Election | None = None
        self._declarations = declarations
        self._journal, self._clock, self._tell = journal, clock, tell
        self._declared: Domain | None = None
        self._following = False
        self._ended: Epoch | None = None
        self._resigning: asyncio.Task[None] | None = None
        self._recorded_s = float("-inf")

    @property
    def holder(self) -> str:
        """Who is believed to lead the domain; empty if unknown."""
        return self.election.holder if self.election is not None else ""

    async def steps(self) -> AsyncIterator[None]:
        """Step once a second, for ever; after each, members may have to hear at once."""
        while True:
            self.step()
            yield
            await asyncio.sleep(DECIDE_EVERY_S)

    def now(self) -> float:
        """The boot clock that the coordinator goes by."""
        return self._clock()

    def step(self) -> None:
        """Begin, go on or end as election and declarations say; decide."""
        now, epoch = self._clock(), self._epoch()
        self._follow(epoch is not None)
        if self.coordinator is not None and self.coordinator.epoch != epoch:
            self._end("lost")
        if self.coordinator is None and epoch is not None and epoch != self._ended:
            self._begin(epoch, now)
        if self.coordinator is not None:
            self._go_on(self.coordinator, now)

    def receive(self, report: Report) -> Coordinator | None:
        """Take a member's report; None if this node doesn't lead, or not any more because of it."""
        if self.coordinator is None or self.coordinator.epoch != self._epoch():
            return None
        self._renew(self.coordinator)
        self.coordinator.receive(report, self._clock())
        if self.coordinator.over:
            self._end("over")
        return self.coordinator

    async def close(self) -> None:
        """Lead no more, and let the next coordinator be found without waiting."""
        if self.coordinator is not None:
            self._end("stopped")
        if self._resigning is not None:
            await self._resigning

    def _epoch(self) -> Epoch | None:
        return self.election.epoch if self.election is not None else None

    def _renew(self, coordinator: Coordinator) -> None:
        assert self.election is not None
        coordinator.renewed(self.election.renewed_sent_s)

    def _follow(self, leads: bool) -> None:
        if leads is self._following:
            return
        self._following = leads
        if leads:
            self._declarations.lead()
        else:
            self._declarations.stop_leading()

    def _begin(self, epoch: Epoch, now: float) -> None:
        declared = self._declarations.domain()
        if declared is None:
            return
        self._declared = declared
        assert self.election is not None
        self.coordinator = Coordinator(
            self._recorded(declared),
            epoch,
            now=now,
            renewed_sent_s=self.election.renewed_sent_s,
            relieve=self._relieve,
        )
        self._journal.write(
            "leadership", observation={"epoch": plain(epoch)}, decision={"leads": True}, reason="elected"
        )

    def _go_on(self, coordinator: Coordinator, now: float) -> None:
        self._renew(coordinator)
        declared = self._declarations.domain()
        if declared is not None and declared is not self._declared:
            self._declared = declared
            coordinator.configure(self._recorded(declared), now)
        else:
            coordinator.decide(now)
        if coordinator.over:
            self._end("over")
            return
        self._tell(coordinator.epoch, coordinator.domain_state(now))

    def _end(self, reason: str) -> None:
        assert self.coordinator is not None
        epoch = self.coordinator.epoch
        self._journal.write(
            "leadership", observation={"epoch": plain(epoch)}, decision={"leads": False}, reason=reason
        )
        self.coordinator, self._declared, self._ended = None, None, epoch
        if self.election is not None and self.election.epoch == epoch:
            self._resigning = asyncio.ensure_future(self.election.resign())

    def _relieve(  # noqa: PLR0917
        self, claims: tuple[Claim, ...], room: Room, state: State, now: float
    ) -> Decision[Relief, State]:
        decision = reliefs.decide(claims, room, state, now)
        changes = reliefs.changes(state, decision.state)
        if changes:
            assert self._declared is not None
            self._journal.write(
                "power/relief",
                observation={
                    "claims": plain(claims),
                    "room": plain(room),
                    "now_s": now,
                    "state": plain(state),
                },
                decision={"relief": plain(decision.actions), "state": plain(decision.state)},
                reason="; ".join(changes),
                domain=self._declared.name,
            )
        return decision

    def _recorded(self, domain: Domain) -> Domain:
        """The domain with a policy that writes what it sees and decides into the journal."""
        policy = domain.document.policy

        def decide(row: Row, state: Any, config: Any, now: float) -> Decision[Caps, Any]:  # noqa: PLR0917
            decision = policy.decide(row, state, config, now)
            moved = decision.state != state
            if moved or now - self._recorded_s >= RECORD_EVERY_S:
                self._recorded_s = now
                self._journal.write(
                    f"power/{policy.name}",
                    observation={"row": plain(row), "now_s": now, "state": plain(state)},
                    decision={"caps": plain(decision.actions), "state": plain(decision.state)},
                    reason="moved" if moved else "unmoved",
                    domain=domain.name,
                    policy_hash=domain.document.hash,
                )
            return decision

        return replace(domain, document=replace(domain.document, policy=replace(policy, decide=decide)))
