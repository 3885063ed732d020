"""
Which declaration a coordinator goes by: the newest one that S1 and S2 bear, else the last good one.

A declaration is refused as a whole: budget, curve, timings and members go together, since each
of them alone may be what makes it unsafe. What can't make a row unsafe is taken all the same:
the policy, the services' terms, and whether the domain is to be enforced at all. A node of
which nobody knows what it can draw joins nevertheless: it has to be heard before it can be judged.

While nothing is enforced there is nothing to keep, so that a row is observed as it is declared.

A successor may find an armed row under a declaration that is refused, and can't know the one before. What
the armed members were promised to fall to was within that budget, so their sum is the budget that it plans
by: the row is held at safe, nobody joins, and whoever falls out of the plan is planned for as ever.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from loadline_policies.errors import UnsafeDomain
from loadline_policies.power.protocol.domains import Domain
from loadline_policies.power.protocol.members import Member
from loadline_policies.power.protocol.rosters import MEMBERS_UNKNOWN, Roster
from loadline_policies.power.safety.safe_states import (
    BUDGET_TOO_SMALL,
    NodeRating,
    SafeLimits,
    Safety,
    assess,
    safe_limits,
)


class AcceptedDomain:
    """`domain` is in force, with its `safety`; `problem` says why the declared one isn't, None if it is.

    `unholdable_watts` is what the row comes to at the lowest limits, where not even these fit the budget in
    force any more: members can't be lowered that could be before. Then the plan is the lowest limits for
    everybody. It is None where the plan fits.
    """

    def __init__(self, domain: Domain) -> None:
        self.domain = self._declared = domain
        self.safety: Safety | None = None
        self._found_watts: dict[str, float] = {}
        self._found_limits: SafeLimits | None = None
        self.problem: UnsafeDomain | None = None
        self.unholdable_watts: float | None = None

    def declare(self, domain: Domain) -> None:
        """Take note of a new declaration; `assess` says whether it comes into force."""
        self._declared = domain

    def find(self, member: Member) -> None:
        """Note what an armed member falls to as it is first heard: a coordinator before us has planned so."""
        if member.armed and member.name not in self._found_watts and member.rating is not None:
            self._found_watts[member.name] = member.rating.watts_at(member.promised_watts())

    @property
    def unholdable(self) -> bool:
        """Whether not even the lowest limits fit."""
        return self.unholdable_watts is not None

    @property
    def limits(self) -> SafeLimits | None:
        """The safe limits to plan by; without `safety` by what was found, None if there are none yet."""
        return self.safety.limits if self.safety is not None else self._found_limits

    @property
    def borne_watts(self) -> float:
        """The draw that the breaker bears for ever; where its curve is refused, the budget."""
        return self.domain.budget_watts * (self.domain.curve.borne_load if self.safety is not None else 1.0)

    def assess(self, members: Roster, *, patient: bool, now: float) -> None:
        """Look anew at what is declared and at what is in force, with the members as they are now known."""
        try:
            self.safety = _safety(self._declared, members, patient=patient, now=now)
            self.domain, self.problem, self.unholdable_watts = self._declared, None, None
            return
        except UnsafeDomain as error:
            self.problem = error
        if not members.enforcing:
            self.domain, self.unholdable_watts, self._found_limits = self._declared, None, None
        elif self.safety is None:
            self._plan_as_found(members, patient=patient)
        else:
            self._keep(self.safety, self.problem, members, patient=patient, now=now)

    def _keep(
        self, safety: Safety, problem: UnsafeDomain, members: Roster, *, patient: bool, now: float
    ) -> None:
        """Go on by the last good declaration."""
        self._put_in_force(_kept(self.domain, self._declared, joins=problem.reason == MEMBERS_UNKNOWN))
        try:
            self.safety = _safety(self.domain, members, patient=patient, now=now)
            self.unholdable_watts = None
        except UnsafeDomain as error:
            self.unholdable_watts = None
            if error.reason == BUDGET_TOO_SMALL:
                counted = members.ratings(self.domain, patient=patient, now=now)
                self.unholdable_watts = _floor_watts(counted)
                ratings = [member.rating for member in members.values() if member.rating is not None]
                self.problem, self.safety = error, _lowest(safety, ratings)

    def _plan_as_found(self, members: Roster, *, patient: bool) -> None:
        """Plan by what was found, once all were heard or had the time."""
        found = {name: watts for name, watts in self._found_watts.items() if name in members}
        if not found or (patient and not members.acquainted):
            self.domain, self._found_limits, self.unholdable_watts = self._declared, None, None
            return
        self._put_in_force(replace(self._declared, budget_watts=sum(found.values())))
        ratings = [members[name].counted_rating(patient=patient) for name in found]
        try:
            self._found_limits = safe_limits(ratings, self.domain.budget_watts)
            self.unholdable_watts = None
        except UnsafeDomain:
            self._found_limits, self.unholdable_watts = _lowest_limits(ratings), _floor_watts(ratings)

    def _put_in_force(self, domain: Domain) -> None:
        """The same object stays until something is other than before."""
        if domain != self.domain:
            self.domain = domain


def _lowest(safety: Safety, ratings: Sequence[NodeRating]) -> Safety:
    """The lowest limits of everybody, where not even these fit: the nearest to safe that there is."""
    limits = _lowest_limits(ratings)
    watts = sum(rating.watts_at(limits) for rating in ratings)
    return replace(safety, limits=limits, safe_watts=watts, tolerates_silent_nodes=-1)


def _lowest_limits(ratings: Iterable[NodeRating]) -> dict[str, float]:
    return {gpu.uuid: gpu.least_watts for rating in ratings for gpu in rating.gpus}


def _floor_watts(ratings: Iterable[NodeRating]) -> float:
    return sum(rating.floor_watts for rating in ratings)


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
