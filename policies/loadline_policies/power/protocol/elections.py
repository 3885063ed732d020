"""
When a candidate may take or renew its domain's Kubernetes Lease.

The rule is client-go's: renew what this process holds; take what nobody holds; take
from a holder whose record hasn't changed for the Lease's own duration on *our* clock;
else wait. No clock of another node is ever compared with ours. A Lease that names our
node but that this process didn't take belonged to our predecessor, which may still
run: it is waited out like anybody else's.

Each take-over adds one to leaseTransitions, which makes the epoch that leases carry.
The agent reads and writes real Leases by this rule, the simulator modelled ones.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import Enum

from loadline_policies.power.protocol.messages import Epoch

PERIOD_S = 3.0
"""Between two renewals, or two looks at another's: five fit into the default duration."""

LONGEST_GAP_S = 10.0
"""Between two looks at a Lease that count as one observation: a request that times out, and the next."""

DEFAULT_DURATION_S = 15.0
"""As client-go's, where the Lease doesn't say."""

LONGEST_DURATION_S = 60.0
"""Whatever a Lease says: by one that lasted for years a dead holder would never be followed. Chosen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What a Lease says about its holder. Two equal records mean that nobody has renewed."""

    uid: str
    holder: str = ""
    transitions: int = 0
    renewed: str = ""
    duration_s: float = field(default=DEFAULT_DURATION_S, compare=False)
    candidates: tuple[str, ...] = field(default=(), compare=False)

    @property
    def epoch(self) -> Epoch:
        """The epoch of whoever holds it."""
        return Epoch(self.transitions, self.uid)


@dataclass(frozen=True, slots=True)
class Sighting:
    """A record and how long it has been seen to stand still, on our clock."""

    record: Record
    since_s: float
    last_s: float

    @property
    def unchanged_s(self) -> float:
        """How long nobody has renewed while we were looking."""
        return self.last_s - self.since_s


def sight(before: Sighting | None, record: Record, *, now: float) -> Sighting:
    """What is known after seeing `record` at `now`.

    A long gap in our looking starts the count anew: while the API server was away, the
    holder couldn't renew either, and gets its time to do so.
    """
    if before is not None and before.record == record and now - before.last_s <= LONGEST_GAP_S:
        return Sighting(record, before.since_s, now)
    return Sighting(record, now, now)


def believed_duration_s(told: float) -> float:
    """How long a holder counts as alive without a renewal, where the Lease says so many seconds.

    No less than by default: its holder may raise limits for ten seconds after its last renewal.
    """
    return min(LONGEST_DURATION_S, max(DEFAULT_DURATION_S, told))


class Step(Enum):
    """What to do about a Lease."""

    RENEW = "renew"
    ACQUIRE = "acquire"
    WAIT = "wait"


def next_step(
    record: Record, *, node: str, held: Epoch | None, unchanged_s: float, resigned: Collection[Epoch] = ()
) -> Step:
    """What `node` should do, having seen this very record for `unchanged_s` on its own clock.

    `held` is the epoch in which this process leads, None if it doesn't; `resigned` are
    those that it gave up last, in which nobody leads any more whatever the record says.
    """
    if node not in record.candidates:
        return Step.WAIT
    if held is not None and still_ours(record, node=node, held=held):
        return Step.RENEW
    gone = not record.holder or (record.holder == node and record.epoch in resigned)
    return Step.ACQUIRE if gone or unchanged_s >= record.duration_s else Step.WAIT


def still_ours(record: Record, *, node: str, held: Epoch) -> bool:
    """Whether the record bears out that `node` leads in the epoch `held`."""
    return record.holder == node and record.epoch == held
