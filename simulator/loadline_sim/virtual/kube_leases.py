"""
A Kubernetes Lease and its API server, as far as an election needs them.

What a candidate does about it is `loadline_policies.power.protocol.elections`, the same rule as
the real agent's. The API server can be away: then nobody reads or writes.
"""

from dataclasses import dataclass, replace

from loadline_policies.power.protocol.elections import Record, Sighting, Step, next_step, sight
from loadline_policies.power.protocol.messages import Epoch


@dataclass(slots=True)
class KubeLease:
    """The record at the API server; `available` says whether that is there."""

    record: Record
    available: bool = True
    _writes: int = 0

    def write(self, holder: str, transitions: int) -> Epoch:
        """Write a holder and a count, as a renewal or a take-over; the epoch that stands then."""
        self._writes += 1
        self.record = replace(self.record, holder=holder, transitions=transitions, renewed=str(self._writes))
        return self.record.epoch

    def take(self, node: str) -> Epoch:
        """Make a node the holder, with a transition."""
        return self.write(node, self.record.transitions + 1)


@dataclass(slots=True)
class LeaseView:
    """One candidate's look at the Lease, on its own clock."""

    lease: KubeLease
    node: str
    _sighting: Sighting | None = None

    def step(self, held: Epoch | None, now: float) -> Step:
        """What to do, given the epoch that this process leads in."""
        self._sighting = sight(self._sighting, self.lease.record, now=now)
        unchanged_s = self._sighting.unchanged_s
        return next_step(self.lease.record, node=self.node, held=held, unchanged_s=unchanged_s)
