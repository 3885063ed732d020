"""
All members of a domain counted together, told or not told.

What a single node counts for is in `members`; here are the sums that a coordinator
decides by. A roster keeps nodes that have left the domain until they are released,
since until then they hold a part of its budget.

A coordinator decides with every report, and there are as many of them as members. So what it decides
by is kept up as reports come in (`roster_counts`), instead of being summed over all members each time.
"""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from loadline_policies.errors import UnsafeDomain
from loadline_policies.power.protocol.domains import Domain
from loadline_policies.power.protocol.members import Member
from loadline_policies.power.protocol.messages import Epoch, GpuLimit, Report
from loadline_policies.power.protocol.roster_counts import RosterCounts
from loadline_policies.power.safety.safe_states import NodeRating

MEMBERS_UNKNOWN = "MembersUnknown"
"""The reason where nobody has told what a node can draw."""


class Roster(dict[str, Member]):
    """Members by name. `silent_after_s` is how old a report may be before its node counts as silent.

    A member that is one already changes through `hear`, `order` and `give_slack`; `version` grows with every
    change of who is a member.
    """

    def __init__(self, silent_after_s: float) -> None:
        super().__init__()
        self.silent_after_s = silent_after_s
        self.version = 0
        self._counts: RosterCounts | None = None

    def __setitem__(self, name: str, member: Member) -> None:
        super().__setitem__(name, member)
        self._changed()

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name)
        self._changed()

    def setdefault(self, name: str, member: Any = None) -> Member:
        """The member of that name, `member` if there is none."""
        if name not in self:
            self[name] = member
        return self[name]

    def hear(self, report: Report, *, now: float, epoch: Epoch) -> float:
        """Have a member take a report; the watts by which it may have drawn more lately than it counted."""
        member = self[report.node]
        unseen_watts = member.hear(report, now=now, epoch=epoch)
        if self._counts is not None:
            self._counts.heard(member)
        return unseen_watts

    def order(self, member: Member, limits: Iterable[GpuLimit], sequence: int) -> None:
        """Remember limits that are on their way to a member."""
        member.order(limits, sequence)
        self._count().ordered(member)

    def release(self, member: Member, sequence: int, now: float) -> None:
        """Remember that a member was told to release."""
        member.release(sequence, now)
        self._count().ordered(member)

    def give_slack(self, member: Member, watts: float) -> None:
        """Let a member rise by so much before it reports out of turn."""
        self._count().gave_slack(member, watts)

    def enlist(self, domain: Domain, *, awaited_until_s: float = float("-inf")) -> None:
        """Take in the nodes of a domain, and let go of all others but those that are armed or may soon be.

        New ones are given until `awaited_until_s` to report.
        """
        names = domain.members | domain.leaving
        for name in [name for name, member in self.items() if name not in names and not member.bound]:
            del self[name]
        for name in names:
            member = self.setdefault(name, Member(name, awaited_until_s=awaited_until_s))
            if member.report is None:
                member.rating = domain.ratings.get(name, member.rating)
        self._changed()

    def watts(self, now: float) -> float:
        """The row's draw: sensors, and silent nodes at their worst."""
        return self._count().watts(now)

    def hot_watts(self, now: float) -> float:
        """The same with the sensor gain on: what the breaker may see."""
        return self._count().hot_watts(now)

    @property
    def nameplate_watts(self) -> float:
        """What all members could draw without limits."""
        return self._count().nameplate_watts

    def age_s(self, now: float) -> float:
        """The age of the oldest sample; 0 before the first report."""
        return self._count().age_s(now)

    def silent(self, now: float) -> tuple[str, ...]:
        """Nodes that haven't spoken lately."""
        return tuple(sorted(self._count().silent(now)))

    def silent_count(self, now: float) -> int:
        """How many they are."""
        return len(self._count().silent(now))

    def has_unplanned(self, count: int, now: float) -> bool:
        """Whether more than so many are silent whose worst isn't planned for."""
        silent = self._count().silent(now)
        if len(silent) <= count:
            return False
        unplanned = (name for name in silent if self[name].planned_watts is None)
        return next(islice(unplanned, count, None), None) is not None

    @property
    def enforcing(self) -> bool:
        """Whether any node is armed, so that the domain's promises are in force."""
        return any(member.armed for member in self.values())

    @property
    def acquainted(self) -> bool:
        """Whether every member has been heard."""
        return not self._count().unheard

    @property
    def slack_watts(self) -> float:
        """How far all nodes together may rise before one reports out of turn."""
        return self._count().slack_watts

    def report_epoch(self, epoch: Epoch) -> bool:
        """Whether every member has last reported this epoch."""
        return self._count().all_report(epoch)

    def ratings(self, domain: Domain, *, patient: bool, now: float) -> list[NodeRating]:
        """What the nodes of a domain can draw, and all others that are still bound by it.

        Once patience is over, the unheard count as if they couldn't be limited; those that only
        now join have to be heard before they can be judged.
        Raises UnsafeDomain (`MembersUnknown`) when nothing is known of a node.
        """
        bound = {name for name, member in self.items() if member.bound}
        found = []
        for name in sorted(domain.members | domain.leaving | bound):
            new = Member(name, rating=domain.ratings.get(name), awaited_until_s=float("inf"))
            member = self.get(name) or new
            if member.rating is None:
                raise UnsafeDomain(
                    MEMBERS_UNKNOWN,
                    f"nobody has told what {name} can draw; start an agent there or remove the node",
                )
            found.append(member.counted_rating(patient=patient or now < member.awaited_until_s))
        return found

    def agreed_watts(self, safe: Mapping[str, float]) -> float:
        """The sum that nodes fall to by themselves; who hasn't acknowledged counts at nameplate."""
        return sum(member.agreed_watts(safe) for member in self.values())

    def _changed(self) -> None:
        self.version += 1
        self._counts = None

    def _count(self) -> RosterCounts:
        if self._counts is None:
            self._counts = RosterCounts(self, self.silent_after_s)
        return self._counts
