"""
A Kubernetes Lease, and how candidates take it.

As client-go does: whoever sees a record unchanged for the lease's duration, on his
own clock, may take it; each change of holder, and each return of one who had given
up, counts as a transition. The API server can be away: then nobody reads or writes.
"""

from dataclasses import dataclass


@dataclass(slots=True)
class KubeLease:
    """The record at the API server."""

    uid: str = "lease-1"
    duration_s: float = 15.0
    holder: str | None = None
    transitions: int = 0
    renewals: int = 0
    available: bool = True

    def take(self, node: str) -> None:
        """Become the holder; whoever calls this has seen the record expire."""
        self.holder = node
        self.transitions += 1
        self.renewals += 1

    def renew(self) -> None:
        """The holder is still there."""
        self.renewals += 1


@dataclass(slots=True)
class Watcher:
    """What one candidate has seen of the record, on its own clock."""

    lease: KubeLease
    seen: tuple[str | None, int] | None = None
    seen_s: float = float("-inf")

    def expired(self, now: float) -> bool:
        """Whether the record may be taken: free, or unchanged for its duration."""
        record = (self.lease.holder, self.lease.renewals)
        if record != self.seen:
            self.seen, self.seen_s = record, now
        return self.lease.holder is None or now - self.seen_s >= self.lease.duration_s
