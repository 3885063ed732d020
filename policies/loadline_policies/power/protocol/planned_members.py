"""
Which members the plan counts at their worst, because it can't count on them.

A member may be outside the plan: silent, so that nobody knows what it holds, or armed with a safe
limit that it was told to lower and doesn't. The breaker bears a few of them (k). Where it doesn't
bear all, or not for long, they are *planned for*: they count at the highest they may draw, and
the safe limits of all others are computed around them, so that the row is right again, also
without a coordinator. A GPU whose writes fail needs none of this: it counts at what it holds
from its first report on (`members.rating_of`).

Downwards nothing waits for long, upwards proof is needed: a member that flaps would else take
room from the others again and again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from loadline_policies.power.protocol.members import REBOOTED_AFTER_S, Member
from loadline_policies.power.protocol.plausibility import ROUNDING_WATTS
from loadline_policies.power.protocol.rosters import Roster
from loadline_policies.power.safety.safe_states import SENSOR_GAIN, NodeRating

LOOK_EVERY_S: Final = 0.25
"""How often at most all members are looked at: reports come as often as nodes, and each would be a look."""

EXCESS_S: Final = 2.0
"""How long in all the sum may be above what the breaker bears, before those outside are planned for."""

CALM_S: Final = 30.0
"""After how long without excess the count of `EXCESS_S` begins anew."""

UNACKNOWLEDGED_S: Final = 10.0
"""How long a smaller safe limit is waited for."""

OUTSIDE_S: Final = 600.0
"""How long a member may be outside within k: then k is needed for others."""

PROOF_S: Final = 30.0
"""How long a member's own reports must show it as part of the plan before the plan counts on it."""

LONGEST_PROOF_S: Final = 900.0
"""The proof is doubled up to this with each return within `REMEMBERED_S` of the one before."""

REMEMBERED_S: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stance:
    """How a member stands to the plan, and the most that it counts for; `seen` is what that goes by."""

    seen: tuple[object, ...]
    most_watts: float
    outside: bool
    unacknowledged: bool
    sound: bool


@dataclass(slots=True)
class _Track:
    """One member's way out of the plan and back; times are the coordinator's, None for not now."""

    stance: _Stance | None = None
    outside_s: float | None = None
    unacknowledged_s: float | None = None
    sound_s: float | None = None
    proof_s: float = PROOF_S
    returned_s: float = float("-inf")


class PlannedMembers:
    """Follows who is outside the plan, and sets `planned_watts` of those who are planned for."""

    def __init__(self) -> None:
        self._tracks: dict[str, _Track] = {}
        self._looked_s = float("-inf")
        self._given: Mapping[str, float] = {}
        self._plans = 0
        self._excess_s = 0.0
        self._within_s = 0.0
        self._excess = False

    def look(self, members: Roster, given: Mapping[str, float], *, borne_watts: float, now: float) -> bool:
        """Look at all members; whether the plan must be made anew.

        `given` are the plan's safe limits, another object when they are others; `borne_watts` is what the
        breaker bears for ever.
        """
        if now - self._looked_s < LOOK_EVERY_S:
            return False
        if given is not self._given:
            self._given, self._plans = given, self._plans + 1
        dt_s = min(now - self._looked_s, EXCESS_S)
        self._looked_s = now
        for name in self._tracks.keys() - members.keys():
            del self._tracks[name]
        total_watts = sum([self._follow(member, members, now=now) for member in members.values()])
        outside = any(track.outside_s is not None for track in self._tracks.values())
        self._count_excess(outside and total_watts > borne_watts, dt_s)
        moved = [self._settle(member, members, now=now) for member in members.values()]
        return any(moved)

    def _follow(self, member: Member, members: Roster, *, now: float) -> float:
        """Note how the member stands; the most that it counts for."""
        if member.rating is None:
            return 0.0
        track = self._tracks.setdefault(member.name, _Track())
        fresh, booted = member.fresh(now, members.silent_after_s), member.fresh(now, REBOOTED_AFTER_S)
        seen = member.changes, self._plans, fresh, booted
        stance = track.stance
        if stance is None or stance.seen != seen or member.report is None:
            stance = track.stance = self._stance(member, members, seen, now=now)
        track.outside_s = _since(track.outside_s, stance.outside, now)
        track.unacknowledged_s = _since(track.unacknowledged_s, stance.unacknowledged, now)
        track.sound_s = _since(track.sound_s, stance.sound, now)
        return stance.most_watts

    def _stance(self, member: Member, members: Roster, seen: tuple[object, ...], *, now: float) -> _Stance:
        assert member.rating is not None
        falls = member.falls_watts(now, members.silent_after_s)
        counted_watts = member.rating.watts_at(_counted(member, self._given))
        falls_watts = _watts(member.rating, falls)
        outside = member.armed and falls_watts > counted_watts + ROUNDING_WATTS * len(falls)
        unacknowledged = member.armed and not member.acknowledged(self._given)
        sound = member.fresh(now, members.silent_after_s) and member.armed and not outside
        return _Stance(
            seen=seen,
            most_watts=max(counted_watts, falls_watts),
            outside=outside,
            unacknowledged=unacknowledged,
            sound=sound and not unacknowledged,
        )

    def _count_excess(self, excess: bool, dt_s: float) -> None:
        """Count the time since the last look, which is one of excess if it began as one and ended as one."""
        self._excess_s += dt_s if excess and self._excess else 0.0
        self._within_s = 0.0 if excess else self._within_s + dt_s
        if self._within_s >= CALM_S:
            self._excess_s = 0.0
        self._excess = excess

    def _settle(self, member: Member, members: Roster, *, now: float) -> bool:
        """Plan for the member, or count on it again; whether anything of that is new."""
        track = self._tracks.get(member.name)
        if track is None:
            return False
        planned = member.planned_watts
        if planned is not None and _for(track.sound_s, now) >= track.proof_s:
            member.planned_watts, track.stance = None, None
            track.proof_s = self._next_proof_s(track, now)
            track.returned_s = now
            return True
        due = track.outside_s is not None and self._excess_s >= EXCESS_S
        due = due or _for(track.outside_s, now) >= OUTSIDE_S
        due = due or _for(track.unacknowledged_s, now) >= UNACKNOWLEDGED_S
        if planned is None and not due:
            return False
        falls = member.falls_watts(now, members.silent_after_s)
        counted = planned if planned is not None else self._given
        worst = {uuid: max(watts, counted.get(uuid, 0.0)) for uuid, watts in falls.items()}
        member.planned_watts, track.stance = worst, None
        return worst != planned

    def _next_proof_s(self, track: _Track, now: float) -> float:
        lately = now - track.returned_s < REMEMBERED_S
        return min(LONGEST_PROOF_S, 2 * track.proof_s) if lately else 2 * PROOF_S


def _counted(member: Member, given: Mapping[str, float]) -> dict[str, float]:
    """What the plan counts of each GPU: the limit given, or the older one until that is acknowledged."""
    assert member.rating is not None
    planned = member.planned_watts or {}
    held = {} if member.report is None else {gpu.uuid: member.safe_watts(gpu) for gpu in member.report.gpus}
    counted = {}
    for gpu in member.rating.gpus:
        limit = planned.get(gpu.uuid, given.get(gpu.uuid, gpu.max_watts))
        counted[gpu.uuid] = max(limit, held.get(gpu.uuid) or 0.0) if member.armed else gpu.max_watts
    return counted


def _watts(rating: NodeRating, limits: Mapping[str, float]) -> float:
    return rating.host_max_watts + SENSOR_GAIN * sum(limits.values())


def _since(before_s: float | None, so: bool, now: float) -> float | None:
    if not so:
        return None
    return now if before_s is None else before_s


def _for(since_s: float | None, now: float) -> float:
    return 0.0 if since_s is None else now - since_s
