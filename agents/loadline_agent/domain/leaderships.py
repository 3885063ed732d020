"""
One node's turn at leading its domain: what it is told, and what is written down of it.

A Kubernetes Lease elects a coordinator (`Election`), the API server declares the
domain (`Declarations`); the pure `Leader` begins, decides, answers and ends. This
module brings the three together, lets it decide once a second even if nobody reports,
and gives up an epoch that is over.

What of its decisions the journal gets is `power_journals`' to choose.
"""

import asyncio
import random
from collections.abc import Callable

from loadline_agent.domain.ports import Declarations, Election
from loadline_api.journals import Journal
from loadline_api.names import POWER_DOMAINS
from loadline_api.power_journals import PowerJournal
from loadline_policies.power.protocol.coordinators import Coordinator
from loadline_policies.power.protocol.domain_states import DomainState
from loadline_policies.power.protocol.domains import Domain
from loadline_policies.power.protocol.leaders import (
    DECIDE_EVERY_S,
    Began,
    ElectionState,
    Ended,
    Leader,
    Output,
)
from loadline_policies.power.protocol.messages import Epoch, Report


class Leadership:
    """This node as a coordinator: `coordinator` is None while it isn't one.

    `election` is None while the node is no candidate. `carry` gets what becomes of members' reports,
    `tell` the state of the domain after every decision of the clock, for status and metrics. With
    `observations` the journal's file gets enough of the row's loads to replay another policy on them.
    """

    def __init__(
        self,
        declarations: Declarations,
        journal: Journal,
        *,
        clock: Callable[[], float],
        tell: Callable[[Epoch, DomainState], None] = lambda epoch, domain_state: None,
        observations: bool = False,
    ) -> None:
        self.election: Election | None = None
        self.carry: Callable[[tuple[Output, ...]], None] = lambda outputs: None
        self._power_journal = PowerJournal(journal, observations=observations)
        self._leader = Leader(random.uniform, self._power_journal.relieve, self._power_journal.decided)
        self._declarations = declarations
        self._journal, self._clock, self._tell = journal, clock, tell
        self._declared: Domain | None = None
        self._following = False
        self._resigning: asyncio.Task[None] | None = None

    @property
    def coordinator(self) -> Coordinator | None:
        """What leads the domain from here."""
        return self._leader.coordinator

    @property
    def holder(self) -> str:
        """Who is believed to lead the domain; empty if unknown."""
        return self.election.holder if self.election is not None else ""

    async def run(self) -> None:
        """Step once a second, for ever."""
        while True:
            self.step()
            await asyncio.sleep(DECIDE_EVERY_S)

    def step(self) -> None:
        """Begin, go on or end as election and declarations say; decide."""
        now, election = self._clock(), self._election_state()
        self._follow(election.epoch is not None)
        self._note(self._leader.step(election, self._domain(), now))
        if self.coordinator is not None:
            self._tell(self.coordinator.epoch, self.coordinator.domain_state(now))

    def receive(self, report: Report) -> None:
        """Take a member's report; it is answered now or later."""
        self._note(self._leader.report(report, self._election_state(), self._clock()))

    def due(self) -> None:
        """Answer the reports whose time is over."""
        self._note(self._leader.due(self._clock()))

    @property
    def wait_s(self) -> float:
        """In how many seconds `due` is next worth asking."""
        return max(0.0, self._leader.wake_s - self._clock())

    def forget(self, report: Report) -> None:
        """Nobody waits for the answer to a report any more."""
        self._leader.forget(report)

    @property
    def reporting(self) -> int:
        """How many members have reported lately; 0 where nobody leads here."""
        if self.coordinator is None:
            return 0
        return len(self.coordinator.members) - self.coordinator.members.silent_count(self._clock())

    def fanned_out(self, level: str, members: int, seconds: float) -> None:
        """Journal how long it took until so many members, all that report, were told of a level."""
        self._journal.write(
            "leadership/fan-out",
            kind=POWER_DOMAINS.kind,
            name=self._domain_name,
            observation={"members": members},
            decision={"seconds": round(seconds, 4)},
            reason=level,
        )

    async def close(self) -> None:
        """Lead no more, and let the next coordinator be found without waiting."""
        self._note(self._leader.close())
        if self._resigning is not None:
            await self._resigning

    def _election_state(self) -> ElectionState:
        if self.election is None:
            return ElectionState()
        return ElectionState(self.election.epoch, self.election.renewed_sent_s, self.election.others)

    def _follow(self, leads: bool) -> None:
        if leads is self._following:
            return
        self._following = leads
        if leads:
            self._declarations.lead()
        else:
            self._declarations.stop_leading()

    def _domain(self) -> Domain | None:
        """What is declared; the same object until something changes."""
        declared = self._declarations.domain() if self._following else None
        if declared is not None:
            self._declared = declared
        return declared

    def _note(self, outputs: tuple[Output, ...]) -> None:
        """Journal each beginning and end, give up an epoch that is over, and have the answers carried."""
        for output in outputs:
            if isinstance(output, Began):
                self._write(output.epoch, leads=True, reason="elected")
            elif isinstance(output, Ended):
                self._power_journal.flush()
                self._write(output.epoch, leads=False, reason=output.reason)
                if self.election is not None and self.election.epoch == output.epoch:
                    self._resigning = asyncio.ensure_future(self.election.resign(output.rest_s))
        self.carry(outputs)

    def _write(self, epoch: Epoch, *, leads: bool, reason: str) -> None:
        self._journal.write(
            "leadership",
            kind=POWER_DOMAINS.kind,
            name=self._domain_name,
            observation={"epoch": epoch},
            decision={"leads": leads},
            reason=reason,
        )

    @property
    def _domain_name(self) -> str:
        return self._declared.name if self._declared is not None else ""
