"""
Which settings all ranks of one engine should hold now, and which they do hold.

An answer of the agent brings settings and a lease. While the lease lasts, all ranks should hold these
settings; without one, no-op settings. A change is sent to all ranks at once, and holds only if every rank
acknowledges it; else it is withdrawn: all ranks get no-op settings, and this generation is not tried again.
The ranks get one change at a time, because a second one can't be judged before the first is acknowledged.

This is a state machine without a clock and without I/O. Its caller gives it answers and acknowledgements,
with the time in seconds on any clock that doesn't go back, and carries out what `due` returns.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from loadline_api.worker_messages import SettingsSection, WorkerSettings
from loadline_policies.errors import LeaseRefused

NO_OP_GENERATION = 0


@dataclass(frozen=True, slots=True)
class Change:
    """What all ranks should hold from the next step on; without sections every loop does nothing."""

    generation: int = NO_OP_GENERATION
    sections: Mapping[str, SettingsSection] = field(default_factory=dict)


NO_OP = Change()


@dataclass(frozen=True, slots=True)
class _Leased:
    """Settings with a lease, which ends at `ends_s`."""

    change: Change
    ends_s: float


class SettingsLease:
    """The settings of one engine with `ranks` ranks.

    `generation` holds on all ranks; it is None while they may differ, as at first. `highest` is the highest
    generation that was ever taken from the agent, `withdrawn` the last one that was withdrawn, 0 if none.
    """

    def __init__(self, ranks: int) -> None:
        self.ranks = ranks
        self.generation: int | None = None
        self.highest = self.withdrawn = NO_OP_GENERATION
        self.withdrawals = self.lapses = 0
        self._newest = NO_OP
        self._leased: _Leased | None = None
        self._applying: Change | None = None

    def receive(self, settings: WorkerSettings, *, sent_s: float, now: float) -> None:
        """Take the answer to a report that was sent at `sent_s`; LeaseRefused if it can't be meant."""
        ends_s = sent_s + settings.lease_s
        change = Change(settings.generation, settings.sections)
        if now >= ends_s:
            raise LeaseRefused("Expired", f"the answer came {now - ends_s:.1f} s after its lease had ended")
        if change.generation < self.highest:
            sentence = f"generation {change.generation} is older than {self.highest}, which was given before"
            raise LeaseRefused("OldGeneration", sentence)
        if change.generation == self.highest and change != self._newest:
            raise LeaseRefused(
                "OtherSettings", f"generation {change.generation} had other settings when it was given first"
            )
        self.highest, self._newest = change.generation, change
        self._leased = _Leased(change, ends_s)

    def due(self, now: float) -> Change | None:
        """The change to send to all ranks now; None if there is none, or the last one isn't acknowledged."""
        if self._leased is not None and now >= self._leased.ends_s:
            self._leased = None
            self.lapses += 1
        if self._applying is not None:
            return None
        wanted = self._wanted()
        if wanted.generation == self.generation:
            return None
        self._applying, self.generation = wanted, None
        return wanted

    def acknowledge(self, generations: Sequence[int | None]) -> bool:
        """Take what each rank holds after the last change, None for one that failed; whether all took it."""
        applied, self._applying = self._applying, None
        if applied is None:
            raise ValueError("no change was sent to the ranks")
        if len(generations) == self.ranks and all(one == applied.generation for one in generations):
            self.generation = applied.generation
            return True
        if applied != NO_OP:
            self.withdrawn = applied.generation
            self.withdrawals += 1
        return False

    def lasts_s(self, now: float) -> float | None:
        """Seconds until the lease ends; None without one."""
        return max(0.0, self._leased.ends_s - now) if self._leased is not None else None

    def _wanted(self) -> Change:
        if self._leased is None or self._leased.change.generation == self.withdrawn:
            return NO_OP
        return self._leased.change
