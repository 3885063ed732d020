"""
Why the API server makes no pods, from whoever tried to have them made.

Quotas, admission and missing ServiceAccounts refuse a pod before it is there, so only its maker
knows. A Deployment says it in its status; StatefulSets, and LeaderWorkerSets above them, have no
place for it but Events. These outlive what they tell by an hour, so one is believed only until
the same thing was made, and whoever calls looks at them only where pods are lacking.

The API server names a pod that never was, another at each attempt, and lists what it finds in any
order; what comes out here stays the same while its cause does.

Pure: messages and Events come in, at most one fault goes out.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from loadline_api.conditions import timestamp
from loadline_api.reasons import Reason
from loadline_operator.kube.kinds import LEADER_WORKER_SETS, Key, Manifest
from loadline_operator.services.facts.faults import PodFault

QUOTA = re.compile(r"exceeded quota: ([^,]+), requested: (.+), used: .+, limited: (.+)$")

BY_MAKER = re.compile(
    r"^(?:\(combined from similar events\): )?"
    r"(?:create \S+ \S+ (?:for Pod \S+ )?in StatefulSet \S+ failed error: (?:failed to create PVC \S+: )?"
    r"|Failed to create (?:leader|worker) statefulset (?:for leader pod )?\S+: "
    r'|Failed to create new replica set "[^"]*": )',
    re.I,
)
"""What StatefulSet's, LeaderWorkerSet's and Deployment's controllers say before the API server's words."""

FORBIDDEN = re.compile(r'^(\S+) "[^"]*" is (?:forbidden|invalid): ')
BOUNDS = re.compile(r"^\[(.+)\]$")
"""Several things that a LimitRange finds, in the order of a map."""

NO_ACCOUNT = re.compile(r'serviceaccount "[^"]*" not found$')

TRIED = re.compile(
    r"(?:create (?:Pod|Claim)"
    r"|(?:Failed to )?created? (?:leader|worker) statefulset(?: for leader pod)?) ([^\s:]+)",
    re.I,
)
"""What was to be made, in words of success and of failure alike."""

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")

FAILED, STATEFUL_SET = "FailedCreate", "StatefulSet"

RETRIED = timedelta(minutes=20)
"""Longer than controllers wait between two attempts (1,000 s at most)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodMaker:
    """A workload whose pods are made by StatefulSets: one itself, or a LeaderWorkerSet of `groups`."""

    kind: str
    key: Key
    uid: str
    since: str
    groups: int

    @property
    def fields(self) -> tuple[str, ...]:
        """Field selectors of Events that may tell of its pods."""
        own = f"involvedObject.kind={self.kind},involvedObject.name={self.key.name}"
        return (own, f"involvedObject.kind={STATEFUL_SET}") if self.kind != STATEFUL_SET else (own,)

    def made(self, event: Manifest) -> bool:
        """Whether an Event is of this workload, or of a StatefulSet that a LeaderWorkerSet has made.

        These are called like it, or like it and the number of a group.
        """
        about = event.get("involvedObject") or {}
        if about.get("kind") == self.kind and about.get("name") == self.key.name:
            return about.get("uid") == self.uid
        if self.kind != LEADER_WORKER_SETS.kind or about.get("kind") != STATEFUL_SET:
            return False
        name, _, group = str(about.get("name")).rpartition("-")
        numbered = name == self.key.name and group.isdecimal() and int(group) < self.groups
        return (numbered or about.get("name") == self.key.name) and _time(event) >= self.since[:19]


@dataclass(frozen=True, slots=True, order=True)
class _Attempt:
    """What was tried last and first at these times, and what was said of it."""

    last: str
    said: str
    first: str
    what: str


def refused(maker: PodMaker, events: Iterable[Manifest]) -> PodFault | None:
    """What the newest Event says against pods of a workload, unless the same was made since.

    Of several quotas that refuse the API server names any one at each attempt, so the one that was
    named first is told until it hasn't been for long.
    """
    made: dict[str, str] = {}
    failed: list[_Attempt] = []
    for event in filter(maker.made, events):
        one = _attempt(event)
        if event.get("reason") == FAILED:
            failed.append(one)
        else:
            made[one.what] = max(one.last, made.get(one.what, ""))
    current = sorted(one for one in failed if made.get(one.what, "") <= one.last)
    if not current:
        return None
    said = current[-1].said
    return refused_pods(_one_quota(current) if QUOTA.search(said) is not None else said)


def _attempt(event: Manifest) -> _Attempt:
    said, metadata = str(event.get("message") or ""), event.get("metadata") or {}
    found = TRIED.search(said)
    last = _time(event)
    first = TIME.match(str(metadata.get("creationTimestamp") or event.get("firstTimestamp")))
    return _Attempt(
        last, said, first[0] if first is not None else last, found[1] if found is not None else said
    )


def _one_quota(current: Sequence[_Attempt]) -> str:
    """The newest words of the quota that was named first, of those named within the longest pause."""
    newest = current[-1].last
    since = timestamp(datetime.fromisoformat(f"{newest}+00:00") - RETRIED)[:19] if newest else ""
    named: dict[str, list[_Attempt]] = {}
    for one in current:
        if one.last >= since and (found := QUOTA.search(one.said)) is not None:
            named.setdefault(found[1], []).append(one)
    first = min(named, key=lambda name: (min(one.first for one in named[name]), name))
    return named[first][-1].said


def refused_pods(said: str) -> PodFault:
    """Why the API server makes no pods, in words that stay the same at each attempt."""
    said = BY_MAKER.sub("", said)
    found = FORBIDDEN.match(said)
    what = "" if found is None or found[1].lower() in ("pod", "pods") else found[1]
    quota = QUOTA.search(said)
    if quota is not None:
        who = f"one of {what}" if what else "a pod"
        text = f"ResourceQuota {quota[1]} allows {quota[3]} and {who} asks for {quota[2]}: raise the quota"
        waits_for = f"more of ResourceQuota {quota[1]}, which allows {quota[3]}"
        return PodFault(reason=Reason.QUOTA_EXCEEDED, text=text, waits_for=waits_for)
    words = _sorted(said[found.end() :] if found is not None else said)
    fix = ": create it, or correct serviceAccountName" if NO_ACCOUNT.search(words) else ""
    text = f"the API server refuses to create {what or 'pods'}: {words}{fix}"
    return PodFault(reason=Reason.TEMPLATE_REFUSED, text=text)


def _sorted(words: str) -> str:
    several = BOUNDS.match(words)
    return ", ".join(sorted(re.split(r", (?!but )", several[1]))) if several is not None else words


def _time(event: Manifest) -> str:
    """When an Event was told last, to the second; empty where that can't be read."""
    series, metadata = event.get("series") or {}, event.get("metadata") or {}
    times = (
        event.get("lastTimestamp"),
        series.get("lastObservedTime"),
        event.get("eventTime"),
        metadata.get("creationTimestamp"),
    )
    return max((found[0] for time in times if (found := TIME.match(str(time))) is not None), default="")
