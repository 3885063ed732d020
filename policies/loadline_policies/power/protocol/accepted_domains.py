"""
Which declaration a coordinator goes by: the newest one that S1 and S2 bear, else the last good one.

A declaration is refused as a whole: budget, curve, timings and members go together, since each
of them alone may be what makes it unsafe. What can't make a row unsafe is taken all the same:
the policy, the services' terms, and whether the domain is to be enforced at all. A node of
which nobody knows what it can draw joins nevertheless: it has to be heard before it can be judged.

While nothing is enforced there is nothing to keep, so that a row is observed as it is declared.
"""

from dataclasses import replace

from loadline_policies.errors import UnsafeDomain
from loadline_policies.power.protocol.domains import Domain
from loadline_policies.power.protocol.rosters import MEMBERS_UNKNOWN, Roster
from loadline_policies.power.safety.safe_states import BUDGET_TOO_SMALL, Safety, assess


class AcceptedDomain:
    """`domain` is in force, with its `safety`; `problem` says why the declared one isn't, None if it is.

    `unholdable` says that not even the lowest limits fit the budget in force any more: members can't
    be lowered that could be before. Then the plan is the lowest limits for everybody.
    """

    def __init__(self, domain: Domain) -> None:
        self.domain = self._declared = domain
        self.safety: Safety | None = None
        self.problem: UnsafeDomain | None = None
        self.unholdable = False

    def declare(self, domain: Domain) -> None:
        """Take note of a new declaration; `assess` says whether it comes into force."""
        self._declared = domain

    def assess(self, members: Roster, *, patient: bool, now: float) -> None:
        """Look anew at what is declared and at what is in force, with the members as they are now known."""
        try:
            self.safety = _safety(self._declared, members, patient=patient, now=now)
            self.domain, self.problem, self.unholdable = self._declared, None, False
            return
        except UnsafeDomain as error:
            self.problem = error
        if self.safety is None or not members.enforcing:
            self.domain, self.unholdable = self._declared, False
            return
        self.domain = _kept(self.domain, self._declared, joins=self.problem.reason == MEMBERS_UNKNOWN)
        try:
            self.safety, self.unholdable = _safety(self.domain, members, patient=patient, now=now), False
        except UnsafeDomain as error:
            self.unholdable = error.reason == BUDGET_TOO_SMALL
            if self.unholdable:
                self.problem, self.safety = error, _lowest(self.safety, members)


def _lowest(safety: Safety, members: Roster) -> Safety:
    """The lowest limits of everybody, where not even these fit: the nearest to safe that there is."""
    ratings = [member.rating for member in members.values() if member.rating is not None]
    limits = {gpu.uuid: gpu.least_watts for rating in ratings for gpu in rating.gpus}
    watts = sum(rating.watts_at(limits) for rating in ratings)
    return replace(safety, limits=limits, safe_watts=watts, tolerates_silent_nodes=-1)


def _kept(domain: Domain, declared: Domain, *, joins: bool) -> Domain:
    """What is in force, with all of a refused declaration that may be taken; `joins` its members too."""
    return replace(
        declared,
        budget_watts=domain.budget_watts,
        curve=domain.curve,
        timings=domain.timings,
        members=declared.members if joins else domain.members,
        leaving=declared.leaving if joins else domain.leaving,
    )


def _safety(domain: Domain, members: Roster, *, patient: bool, now: float) -> Safety:
    ratings = members.ratings(domain, patient=patient, now=now)
    return assess(ratings, budget_watts=domain.budget_watts, curve=domain.curve, timings=domain.timings)
