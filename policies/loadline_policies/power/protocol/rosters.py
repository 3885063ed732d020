"""
All members of a domain counted together, told or not told.

What a single node counts for is in `members`; here are the sums that a coordinator
decides by. A roster keeps nodes that have left the domain until they are released,
since until then they hold a part of its budget.
"""

from collections.abc import Mapping

from loadline_policies.errors import UnsafeDomain
from loadline_policies.power.protocol.domains import Domain
from loadline_policies.power.protocol.members import Member
from loadline_policies.power.protocol.messages import Epoch
from loadline_policies.power.safety.safe_states import NodeRating

MEMBERS_UNKNOWN = "MembersUnknown"
"""The reason where nobody has told what a node can draw."""


class Roster(dict[str, Member]):
    """Members by name. `silent_after_s` is how old a report may be before its node counts as silent."""

    def __init__(self, silent_after_s: float) -> None:
        super().__init__()
        self.silent_after_s = silent_after_s

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

    def watts(self, now: float) -> float:
        """The row's draw: sensors, and silent nodes at their worst."""
        return sum(member.watts(now, self.silent_after_s) for member in self.values())

    def hot_watts(self, now: float) -> float:
        """The same with the sensor gain on: what the breaker may see."""
        return sum(member.hot_watts(now, self.silent_after_s) for member in self.values())

    @property
    def nameplate_watts(self) -> float:
        """What all members could draw without limits."""
        return sum(member.rating.nameplate_watts for member in self.values() if member.rating is not None)

    def age_s(self, now: float) -> float:
        """The age of the oldest sample; 0 before the first report."""
        heard = (m for m in self.values() if m.report is not None)
        return max((now - m.heard_s + m.report.age_s for m in heard if m.report is not None), default=0.0)

    def silent(self, now: float) -> tuple[str, ...]:
        """Nodes that haven't spoken lately."""
        return tuple(sorted(name for name, m in self.items() if not m.fresh(now, self.silent_after_s)))

    @property
    def enforcing(self) -> bool:
        """Whether any node is armed, so that the domain's promises are in force."""
        return any(member.armed for member in self.values())

    @property
    def acquainted(self) -> bool:
        """Whether every member has been heard."""
        return all(member.report is not None for member in self.values())

    @property
    def slack_watts(self) -> float:
        """How far all nodes together may rise before one reports out of turn."""
        return sum(member.slack_watts for member in self.values())

    def report_epoch(self, epoch: Epoch) -> bool:
        """Whether every member has last reported this epoch."""
        return all(member.reports_epoch(epoch) for member in self.values())

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
