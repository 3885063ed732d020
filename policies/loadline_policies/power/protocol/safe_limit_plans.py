"""
How safe limits change without the sum ever passing the budget.

A plan is the safe limit of every GPU. When nodes join, leave, or the budget
changes, the new plan's smaller limits go out first; larger ones, and the limits of
a joining node, only once every armed member that is counted on has acknowledged the smaller ones.
Until then who hasn't counts at the old one. So at every moment the sum over what
nodes may actually fall to stays within the budget that was accepted.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from loadline_policies.power.protocol.members import Member
from loadline_policies.power.safety.safe_states import SafeLimits


@dataclass(slots=True)
class SafeLimitPlan:
    """The safe limits given out so far; with every change `version` grows, and `given` is another object."""

    version: int = 0
    given: dict[str, float] = field(default_factory=dict)
    target: dict[str, float] = field(default_factory=dict)
    settled: bool = True
    """Whether everybody has been given the target."""

    def aim(self, target: SafeLimits, members: Iterable[Member], *, patient: bool, growing: bool) -> None:
        """Move towards `target`: smaller limits now, larger ones when all have acknowledged those.

        Who is planned for isn't waited for: the target counts it at the most that it may draw.
        While `patient`, members that were never heard hold larger limits back too, since
        they may be armed with more; later the caller's target counts them at nameplate.
        Unless `growing`, no limit becomes larger: somebody else may lead and have another plan.
        """
        rows = tuple(members)
        self.target = dict(target)
        self._learn(rows)
        shrunk = {
            uuid: min(target.get(uuid, watts), watts) for uuid, watts in self.given.items() if uuid in target
        }
        awaited = [member for member in rows if member.armed and member.planned_watts is None]
        settled = all(member.acknowledged(shrunk) for member in awaited)
        settled = settled and not (patient and any(member.report is None for member in rows))
        full = dict(target) if growing else {**target, **shrunk}
        self._give(full if settled else shrunk)
        self.settled = self.given == self.target

    def admits(self, member: Member) -> bool:
        """Whether the node has its place in the plan, so that it may be enforced."""
        return member.report is not None and all(gpu.uuid in self.given for gpu in member.report.gpus)

    def _learn(self, members: Iterable[Member]) -> None:
        """Take over what an armed node already falls to: a new coordinator finds it so."""
        learned: dict[str, float] = {}
        for member in members:
            if member.report is None or not member.armed:
                continue
            for gpu in member.report.gpus:
                if gpu.safe_watts is not None and gpu.uuid not in self.given:
                    learned.setdefault(gpu.uuid, gpu.safe_watts)
        if learned:
            self.given = {**self.given, **learned}

    def _give(self, limits: Mapping[str, float]) -> None:
        if limits != self.given:
            self.given = dict(limits)
            self.version += 1
