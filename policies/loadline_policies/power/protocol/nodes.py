"""
A node's half of the protocol: report, take the lease, have it carried out, report again.

No clock, no socket and no driver is here. Time, looks at the GPUs, answers and what came of
orders go in; reports to send and orders for the hardware come out. The agent carries them
over TLS and NVML, the simulator in virtual time, and both run these lines.

A report is always under way, and its answer is the next lease. A draw past the lease's
trigger, or as far below what was last told, is reported at once, out of turn. Whom to obey
is decided by `leases`. A lease is stood by only once its order was carried out, which begins
with its promise in the record that the guard reads; orders are carried out one at a time.

The deadline isn't kept here: whoever holds the record does that, also while this object hangs.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from loadline_policies.errors import LeaseRefused
from loadline_policies.power.protocol.leases import Standing, accept, released
from loadline_policies.power.protocol.messages import Act, Lease
from loadline_policies.power.protocol.node_exchanges import NEVER, Exchange
from loadline_policies.power.protocol.node_outputs import (
    CarryOut,
    Output,
    ReadBack,
    Refused,
    Restore,
    Send,
    Taken,
)
from loadline_policies.power.protocol.node_reports import (
    SETTLED,
    Heard,
    NodeWorkloads,
    UnsettledLimits,
    report_of,
)
from loadline_policies.power.protocol.node_states import Home, NodeState
from loadline_policies.power.protocol.triggers import worth_telling

RETRY_S: Final = (0.2, 0.4)
"""After an exchange that failed, or a lease that is refused: all candidates are asked within one lease."""

UNPLANNED_AGAIN_S: Final = 1.0
"""After how long an orphan reports again to a domain that hasn't planned for it yet. Chosen: it takes no
lease meanwhile, so its coordinator would answer every report at once."""

LAST_REPORTS: Final = 3
"""How often a released node reports to a coordinator that isn't its own any more. Chosen."""

BROKEN_FOR_S: Final = 60.0
"""How long a failed promise is told, and keeps a node from being armed. Chosen: people fix disks."""


@dataclass(slots=True)
class _Answer:
    """A lease that has come and isn't stood by yet."""

    exchange: Exchange
    lease: Lease
    standing: Standing = field(default_factory=Standing)
    unsettled: UnsettledLimits = SETTLED
    """What was unsettled before its order."""


class Node:
    """One node of a domain. `standing` is where it stands in the protocol, `state` its newest look.

    `uniform(least, most)` spreads retries. Every method but `is_news` is for one thread.
    """

    def __init__(
        self,
        name: str,
        state: NodeState,
        *,
        now: float,
        uniform: Callable[[float, float], float],
        workloads: NodeWorkloads | None = None,
    ) -> None:
        self.name, self.state = name, state
        self.home = Home()
        self.domain: str | None = None
        self._heard: Heard | None = None
        self.standing = _found(state)
        self._uniform, self._workloads = uniform, workloads or NodeWorkloads()
        self._sequence = int(now * 1000)  # above a predecessor's: it counted from an earlier moment
        self._told_watts, self._slack_watts = 0.0, NEVER
        self._regular: Exchange | None = None
        self._urgent: Exchange | None = None
        self._answers: deque[_Answer] = deque()
        self._carrying: _Answer | None = None
        self._unsettled = SETTLED
        self._last_reports = 0
        self._to_restore = self._restoring = False
        self._broken: tuple[float, str, str] = (-NEVER, "", "")

    def settle(self, home: Home | None) -> None:
        """Take what is declared; None while neither the API server nor a memory of it has told.

        A node that lost its domain keeps its host model until it is released. One that was found armed was
        at home where its record says, and `home` tells that domain's model.
        """
        if home is not None:
            mine = self.home
            if self.armed_for is not None and mine.host_max_watts <= 0.0:
                mine = replace(home, domain=self.armed_for)
            kept = replace(mine, conflict=home.conflict, enforced=False, gone=home.gone)
            self.home = home if home.domain is not None else kept
        self.domain = self.reports_to(home)

    @property
    def armed_for(self) -> str | None:
        """The domain that armed the node; None where it isn't, or nobody has written down which."""
        held = self.standing.holding
        if not self.standing.armed:
            return None
        return held.lease.domain if held is not None else self.state.domain or None

    def reports_to(self, home: Home | None) -> str | None:
        """The domain to report to: while armed the one that armed it, so that it can be released.

        And once more after that: until it has heard so, that domain counts the node as armed. Where it
        is gone, the domain that selects the node now, if that is to hold it.
        """
        armed_for = self.armed_for
        if armed_for is not None:
            heir = home.domain if home is not None and home.gone == armed_for and home.enforced else None
            return heir or armed_for
        if self._last_reports and self.standing.holding is not None:
            return self.standing.holding.lease.domain
        return home.domain if home is not None else self.domain

    @property
    def orphan_of(self) -> str | None:
        """The domain that armed the node and is gone; None where none is."""
        return self.home.gone if self.home.gone is not None and self.home.gone == self.armed_for else None

    def looked(self, state: NodeState) -> None:
        """A new look at the GPUs."""
        self.state = state
        self._unsettled = self._unsettled.seen(state)

    def is_news(self, state: NodeState, now: float) -> bool:
        """Whether a look can't wait for its turn. Changes nothing, so that any thread may ask."""
        held = self.standing.holding
        if held is None or now >= held.deadline_s:
            return False
        watts = state.watts(self.home)
        return worth_telling(watts, told_watts=self._told_watts, slack_watts=self._slack_watts)

    def poll(self, now: float) -> tuple[Output, ...]:
        """What is due. To be asked after every input, and at `wake_s`."""
        out: list[Output] = []
        if any([exchange.look(now) for exchange in self._under_way]):
            out.append(ReadBack())
        self._regular, self._urgent = self._still(self._regular, now), self._still(self._urgent, now)
        if self.domain is None or not self.state.sampled:
            return tuple(out)
        if self._regular is None and self._urgent is None:
            self._regular = self._begin(self.domain, now)
            out.append(Send(self._regular.report))
        elif self._urgent is None and self.is_news(self.state, now):
            self._urgent = self._begin(self.domain, now)
            out.append(Send(self._urgent.report, out_of_turn=True))
        return tuple(out)

    @property
    def wake_s(self) -> float:
        """When `poll` is next worth asking if nothing happens before."""
        return min((exchange.wake_s for exchange in self._under_way), default=NEVER)

    def awaits(self, sequence: int) -> bool:
        """Whether a report still waits for its answer."""
        return self._awaited(sequence) is not None

    def answered(self, sequence: int, lease: Lease, now: float) -> tuple[Output, ...]:
        """A lease has come as the answer to a report."""
        exchange = self._awaited(sequence)
        if exchange is None:
            return ()
        exchange.waits = False
        self._answers.append(_Answer(exchange, lease))
        return tuple(self._take_next(now))

    def superseded(self, sequence: int) -> None:
        """A later report was answered instead."""
        exchange = self._awaited(sequence)
        if exchange is not None:
            exchange.end()

    def unanswered(self, sequence: int, now: float) -> None:
        """No lease will come of a report: the next follows after a pause."""
        exchange = self._awaited(sequence)
        if exchange is not None:
            self._last_reports -= self._last_reports > 0 and not exchange.report.armed
            exchange.end(now + self._uniform(*RETRY_S))

    def carried_out(self, state: NodeState, now: float, *, writes: int) -> tuple[Output, ...]:
        """The order under way was carried out, with so many writes, and left the node so."""
        answer = self._done()
        self._unsettled = UnsettledLimits(self._unsettled.watts, now) if writes else answer.unsettled
        self.looked(state)
        taken = self._stand_by(answer, answer.standing if state.armed else released(answer.standing))
        self._conclude(answer, now, settles=writes > 0)
        return (taken, *self._take_next(now))

    def failed(self, reason: str, sentence: str, now: float) -> tuple[Output, ...]:
        """The order under way couldn't be promised, and nothing of it was done."""
        answer = self._done()
        self._broken = (now, reason, sentence)
        self._unsettled = answer.unsettled
        self._conclude(answer, now, settles=False)
        return tuple(self._take_next(now))

    def release(self, now: float) -> tuple[Output, ...]:
        """A person has the node released, without its domain's word, once no order is under way."""
        self._to_restore = self.standing.armed
        return tuple(self._take_next(now))

    def restored(self, state: NodeState, now: float) -> tuple[Output, ...]:
        """What was found has been given back as far as it could be, and left the node so.

        If it is disarmed, no answer to a report that called it armed is taken any more: that could
        arm it again. The next report says how it is, and its domain decides by that.
        """
        self._restoring = False
        self._unsettled = UnsettledLimits(self._unsettled.watts, now)
        self.looked(state)
        if not state.armed:
            self._to_restore = False
            for exchange in self._under_way:
                exchange.end()
            self._answers.clear()
            self._last_reports = LAST_REPORTS
            self.standing = released(self.standing)
        return tuple(self._take_next(now))

    def faults(self, now: float) -> dict[str, str]:
        """Why this node shouldn't be armed: reasons, each with a sentence. They disarm nobody."""
        broken_s, reason, sentence = self._broken
        found = {reason: sentence} if now - broken_s < BROKEN_FOR_S else {}
        return found | self.state.faults

    @property
    def _under_way(self) -> tuple[Exchange, ...]:
        return tuple([one for one in (self._regular, self._urgent) if one is not None])

    def _awaited(self, sequence: int) -> Exchange | None:
        return next((one for one in self._under_way if one.waits and one.report.sequence == sequence), None)

    def _still(self, exchange: Exchange | None, now: float) -> Exchange | None:
        return None if exchange is None or exchange.over(self.state, now) else exchange

    def _begin(self, domain: str, now: float) -> Exchange:
        self._sequence += 1
        self._told_watts = self.state.watts(self.home)
        others = self.armed_for if self.armed_for != domain else None
        report = report_of(
            self.name,
            self.state,
            self.standing,
            domain=domain,
            home=self.home,
            sequence=self._sequence,
            now=now,
            armed_for=others,
            heard=self._heard if others is None else None,
            faults=tuple(sorted(self.faults(now))),
            unsettled=self._unsettled,
            workloads=self._workloads,
        )
        return Exchange(report, now)

    def _take_next(self, now: float) -> Iterator[Output]:
        """Judge answers until one of them has to be carried out; a person's order goes first."""
        if self._to_restore and self._carrying is None and not self._restoring:
            self._to_restore, self._restoring = False, True
            self._unsettled = self._unsettled.released(self.state)
            yield Restore()
        while self._carrying is None and not self._restoring and self._answers:
            answer = self._answers.popleft()
            if answer.lease.act is Act.OBSERVE and answer.exchange.report.orphaned:
                answer.exchange.end(now + UNPLANNED_AGAIN_S)
                continue
            try:
                answer.standing = self._accepted(answer, now)
            except LeaseRefused as error:
                answer.exchange.end(now + self._uniform(*RETRY_S))
                yield Refused(error)
                continue
            lease = answer.lease
            if lease.act is Act.ENFORCE or (lease.act is Act.RELEASE and self.standing.armed):
                self._carrying, answer.unsettled = answer, self._unsettled
                self._unsettled = self._unsettled.ordered(lease, self.state)
                yield CarryOut(lease, answer.exchange.sent_s + lease.lease_s)
            else:
                yield self._stand_by(answer, answer.standing)
                self._conclude(answer, now, settles=False)

    def _accepted(self, answer: _Answer, now: float) -> Standing:
        report = answer.exchange.report
        return accept(
            self.standing,
            answer.lease,
            domain=report.domain,
            gpus=report.gpus,
            sequence=report.sequence,
            sent_s=answer.exchange.sent_s,
            now=now,
            takes_over=report.orphaned,
        )

    def _done(self) -> _Answer:
        answer, self._carrying = self._carrying, None
        assert answer is not None, "no order is under way"
        return answer

    def _stand_by(self, answer: _Answer, standing: Standing) -> Taken:
        before = self.standing.holding
        self._last_reports = LAST_REPORTS if self.standing.armed and not standing.armed else 0
        self.standing = standing
        lease = answer.lease
        self._heard = Heard(lease.heat, lease.policy_level, answer.exchange.sent_s)
        return Taken(lease, before.lease if before is not None else None)

    def _conclude(self, answer: _Answer, now: float, *, settles: bool) -> None:
        self._slack_watts = answer.lease.trigger_watts - answer.exchange.report.watts
        if settles:
            answer.exchange.settle(now)
        else:
            answer.exchange.end()


def _found(state: NodeState) -> Standing:
    """Where a node begins: nowhere, or under an armed record, until the deadline that its guard goes by.

    That is at most one lease time; a longer one of our own making would let an agent
    that is restarted again and again never step down.
    """
    return Standing(armed=True, inherited_until_s=state.deadline_s) if state.armed else Standing()
