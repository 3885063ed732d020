"""
Sums over all members of a domain that are kept up with each report, at a cost that doesn't grow with the row.

Watts are counted in whole milliwatts, so that a sum is the same in whatever order it came about, and
doesn't drift. Who falls silent is found in a queue by when that will be, and so is who has been silent for so
long that it may have booted anew. A silent member is counted anew only when something of it changes: a
coordinator that is late loses members, and if each that came back had all others counted anew, it would be
later still. Time must not go back.
"""

import heapq
from collections.abc import Collection, Mapping
from math import nextafter
from typing import Final

from loadline_policies.power.protocol.members import REBOOTED_AFTER_S, Member
from loadline_policies.power.protocol.messages import Epoch

NEVER: Final = float("inf")


class RosterCounts:
    """The sums of a mapping of members whose keys stay the same; `unheard` are those that never reported."""

    def __init__(self, members: Mapping[str, Member], silent_after_s: float) -> None:
        self._members, self._silent_after_s = members, silent_after_s
        self.unheard: set[str] = set()
        self._silent: set[str] = set()
        self._fresh: dict[str, tuple[int, int]] = {}
        self._fresh_mw = self._fresh_hot_mw = self._slack_mw = 0
        self._silences: list[tuple[float, str]] = []
        self._samples: list[tuple[float, str]] = []
        self._silent_each_mw: dict[str, int] = {}
        self._silent_mw = 0
        self._uncounted: set[str] = set()
        self._reboots: list[tuple[float, str]] = []
        self._nameplates_mw: dict[str, int] = {}
        self._nameplate_mw = 0
        self._epoch: Epoch | None = None
        self._others: set[str] = set()
        for member in members.values():
            self._rate(member)
            if member.report is None:
                self.unheard.add(member.name)
                self._fall_silent(member)
            else:
                self._slack_mw += _mw(member.slack_watts)
                self._silences.append((member.heard_s + silent_after_s, member.name))
                self._take(member)
        heapq.heapify(self._silences)

    def heard(self, member: Member) -> None:
        """A member has reported."""
        if member.name in self._silent:
            self._silent.discard(member.name)
            self._silent_mw -= self._silent_each_mw.pop(member.name, 0)
            self._slack_mw += _mw(member.slack_watts)
            heapq.heappush(self._silences, (member.heard_s + self._silent_after_s, member.name))
        self.unheard.discard(member.name)
        self._leave(member.name)
        self._take(member)
        self._rate(member)

    def ordered(self, member: Member) -> None:
        """Something is on its way to a member, by which a silent one counts."""
        if member.name in self._silent:
            self._uncounted.add(member.name)

    def gave_slack(self, member: Member, watts: float) -> None:
        """A member may rise by so much from now on."""
        if member.name not in self._silent:
            self._slack_mw += _mw(watts) - _mw(member.slack_watts)
        member.slack_watts = watts

    @property
    def slack_watts(self) -> float:
        """How far all that are heard may rise together: the silent count at their worst, and hide nothing."""
        return self._slack_mw / 1000

    @property
    def nameplate_watts(self) -> float:
        """What all could draw without limits."""
        return self._nameplate_mw / 1000

    def watts(self, now: float) -> float:
        """The draw of all."""
        return (self._silent_watts_mw(now) + self._fresh_mw) / 1000

    def hot_watts(self, now: float) -> float:
        """The same with the sensor gain on."""
        return (self._silent_watts_mw(now) + self._fresh_hot_mw) / 1000

    def silent(self, now: float) -> Collection[str]:
        """Who hasn't spoken lately."""
        while self._silences and self._silences[0][0] < now:
            _, name = heapq.heappop(self._silences)
            silent_from_s = self._members[name].heard_s + self._silent_after_s
            if silent_from_s >= now:
                heapq.heappush(self._silences, (silent_from_s, name))
            else:
                self._leave(name)
                self._fall_silent(self._members[name])
                self._slack_mw -= _mw(self._members[name].slack_watts)
        return self._silent

    def age_s(self, now: float) -> float:
        """The age of the oldest sample; 0 before the first report."""
        while self._samples:
            sampled_s, name = self._samples[0]
            if sampled_s == _sampled_s(self._members[name]):
                return now - sampled_s
            heapq.heappop(self._samples)
        return 0.0

    def all_report(self, epoch: Epoch) -> bool:
        """Whether every member last reported this epoch."""
        if epoch != self._epoch:
            self._epoch = epoch
            self._others = {name for name, one in self._members.items() if not one.reports_epoch(epoch)}
        return not self._others

    def _take(self, member: Member) -> None:
        assert member.report is not None
        fresh = _mw(member.seen_watts), _mw(member.seen_hot_watts)
        self._fresh[member.name] = fresh
        self._fresh_mw += fresh[0]
        self._fresh_hot_mw += fresh[1]
        heapq.heappush(self._samples, (_sampled_s(member), member.name))
        if self._epoch is not None and member.reports_epoch(self._epoch):
            self._others.discard(member.name)
        else:
            self._others.add(member.name)

    def _leave(self, name: str) -> None:
        mw, hot_mw = self._fresh.pop(name, (0, 0))
        self._fresh_mw -= mw
        self._fresh_hot_mw -= hot_mw

    def _fall_silent(self, member: Member) -> None:
        self._silent.add(member.name)
        self._uncounted.add(member.name)
        heapq.heappush(self._reboots, (member.heard_s + REBOOTED_AFTER_S, member.name))

    def _find_rebooted(self, now: float) -> None:
        """Have those counted anew who may have booted by now; a time that is rounded down comes once more."""
        early = []
        while self._reboots and self._reboots[0][0] < now:
            due_s, name = heapq.heappop(self._reboots)
            self._uncounted.add(name)
            member = self._members[name]
            if due_s == member.heard_s + REBOOTED_AFTER_S and member.fresh(now, REBOOTED_AFTER_S):
                early.append((nextafter(now, NEVER), name))
        for one in early:
            heapq.heappush(self._reboots, one)

    def _rate(self, member: Member) -> None:
        mw = _mw(member.rating.nameplate_watts) if member.rating is not None else 0
        self._nameplate_mw += mw - self._nameplates_mw.get(member.name, 0)
        self._nameplates_mw[member.name] = mw

    def _silent_watts_mw(self, now: float) -> int:
        """A silent member counts at its limits, and as one that booted anew once it has been so for long."""
        self.silent(now)
        self._find_rebooted(now)
        for name in self._uncounted & self._silent:
            mw = _mw(self._members[name].watts(now, self._silent_after_s))
            self._silent_mw += mw - self._silent_each_mw.get(name, 0)
            self._silent_each_mw[name] = mw
        self._uncounted.clear()
        return self._silent_mw


def _sampled_s(member: Member) -> float:
    assert member.report is not None
    return member.heard_s - member.report.age_s


def _mw(watts: float) -> int:
    return round(watts * 1000)
