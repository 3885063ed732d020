"""
How sure a coordinator can be that it still leads, and leads alone.

Two proofs count: renewals at the API server, by when they were *sent*, and members
that report its own epoch. Fresh renewals let it go on; to raise anybody above safe it
needs the members' word too, or so much time that no older coordinator's lease can be
alive. Without renewals it lives on only while every member still reports its epoch.

Whoever is unsure steps down: `over` never becomes false again. And whoever hears too few of
its members, for too long, may not be the right one to lead: `hears_too_few` says so.

A member that tells of a higher epoch may be broken or hostile, and would end every coordinator in
turn. So of a single one it is only a claim: while it stands nobody is raised, and the next renewal
that was sent after it proves that nobody else leads. Two don't lie at once: they end it.
"""

from typing import Final

from loadline_policies.power.protocol.gpu_limits import Raising
from loadline_policies.power.protocol.messages import Epoch, Report
from loadline_policies.power.protocol.rosters import Roster
from loadline_policies.power.safety.safe_states import Timings

CLAIMS: Final = 2
"""How many members that tell of a higher epoch are believed. One may say anything."""

FEW_S: Final = 30.0
"""How long fewer than half of the members may be heard before another candidate may hear more."""


class Tenure:
    """One coordinator's time in one epoch; it leads by a renewal that was sent at `renewed_sent_s`."""

    def __init__(self, epoch: Epoch, *, now: float, renewed_sent_s: float) -> None:
        self.epoch = epoch
        self.over = False
        self._renewed_sent_s = renewed_sent_s
        self._first_ack_s: float | None = None
        self._began_s = now
        self._half_heard_s = self._any_heard_s = now
        self._claims: dict[str, float] = {}
        self._refuted: set[str] = set()

    def renewed(self, sent_s: float) -> None:
        """The API server has renewed the Kubernetes Lease; the request was sent at `sent_s`."""
        self._renewed_sent_s = max(self._renewed_sent_s, sent_s)
        refuted = {node for node, claimed_s in self._claims.items() if claimed_s < sent_s}
        self._refuted |= refuted
        for node in refuted:
            del self._claims[node]

    def hear(self, report: Report, now: float) -> None:
        """A member acknowledges this epoch, or tells of a higher one."""
        if report.epoch == self.epoch:
            self._first_ack_s = now if self._first_ack_s is None else self._first_ack_s
            self._claims.pop(report.node, None)
        elif report.epoch is not None and report.epoch > self.epoch and report.node not in self._refuted:
            self._claims.setdefault(report.node, now)
            self.over |= len(self._claims) >= CLAIMS

    def refutes(self, report: Report) -> bool:
        """Whether the report tells of a higher epoch although this one was renewed after it first did."""
        return report.node in self._refuted and report.epoch is not None and report.epoch > self.epoch

    def young(self, timings: Timings, now: float) -> bool:
        """Whether members that haven't been heard yet may only not have had the time."""
        return now - self._began_s < timings.silent_after_s

    def patient(self, timings: Timings, now: float) -> bool:
        """Whether a lease of an older coordinator could still bind a member that wasn't heard."""
        return now - self._began_s < _patience_s(timings)

    def raising(self, members: Roster, timings: Timings, *, now: float) -> Raising:
        """How far limits may rise."""
        if self.over or self._claims or self._stale(timings, now):
            return Raising.NOT
        if members.report_epoch(self.epoch):
            return Raising.FREELY
        if self._first_ack_s is not None and now - self._first_ack_s >= _patience_s(timings):
            return Raising.FREELY
        return Raising.TO_SAFE

    def check_alone(self, members: Roster, timings: Timings, *, now: float) -> None:
        """Stale at the API server, go on only while every member still reports this epoch."""
        if self._stale(timings, now) and (members.silent_count(now) or not members.report_epoch(self.epoch)):
            self.over = True

    def follow(self, members: Roster, now: float, *, enforced: bool) -> None:
        """Note whether half of the members, and whether any, are heard now.

        Those that matter are armed, or where the domain is `enforced` may be: who was never heard, and who is
        heard now and waits for the others to be armed with them.
        """
        fresh = {name for name, one in members.items() if one.fresh(now, members.silent_after_s)}
        bound = [
            name
            for name, one in members.items()
            if one.armed or (enforced and (one.report is None or name in fresh))
        ]
        heard = sum(name in fresh for name in bound)
        self._half_heard_s = now if 2 * heard >= len(bound) else self._half_heard_s
        self._any_heard_s = now if heard or not bound else self._any_heard_s

    def hears_too_few(self, timings: Timings, now: float) -> bool:
        """Whether fewer than half of the members, or none of them, were heard for too long."""
        none_s = timings.lease_s + timings.silent_after_s
        return now - self._half_heard_s >= FEW_S or now - self._any_heard_s >= none_s

    def _stale(self, timings: Timings, now: float) -> bool:
        return now - self._renewed_sent_s > timings.raise_within_s


def _patience_s(timings: Timings) -> float:
    """How long an older coordinator's leases may outlive its end."""
    return timings.silent_after_s + timings.lease_s + timings.slack_s
