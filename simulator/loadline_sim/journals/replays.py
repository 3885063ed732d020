"""
Decides again what a journal says was decided: by the same policies, or by another document.

**The same.** Every entry holds all that the policy was given, so the very function that decided live is
called with it, and its caps and its state are compared with the recorded ones, digit by digit. Nothing
is simulated: a difference means that this version decides otherwise than the agent that wrote the journal.

**Another document.** It is given the recorded loads in their order, and keeps a state of its own. What is
compared is what nodes would have been told: level, brake and caps. The loads stay as they were, although
other caps would have changed them: from the first difference on, the answer is about decisions, not
about the row. Nor is a load known that wasn't written: `unseen_s` says for how long.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from loadline_api import power_journals
from loadline_api.journals import plain
from loadline_policies.power.documents import PowerDocument
from loadline_policies.power.relief import reliefs
from loadline_policies.power.rows import PowerPolicy
from loadline_sim.journals import files
from loadline_sim.journals.entries import DocumentEntry, Entry, PolicyEntry, ReliefEntry
from loadline_sim.journals.files import Place, Reading, Told

MOST_LISTED: Final = 20
"""Differences that are kept in full; all are counted. One that goes on as before is kept once."""

MOST_OTHERS: Final = 100
"""Deciders of other lines that are counted by name."""

TOLD_CAPS: Final = ("level", "brake", "low", "high")
"""Of a policy's caps, what reaches nodes and people; the others say when to decide again."""

HELD_MOST_S: Final = 15.0
"""For how long a decision counts that no other one follows: a coordinator writes one in ten seconds."""

SEEN_EVERY_S: Final = 2.5
"""Loads further apart weren't all written: with observations there is one a second."""

RELIEFS: Final = "reliefs"


class Difference(NamedTuple):
    """One field that was decided otherwise; `draw_watts` is None where it isn't known."""

    place: Place
    time: str
    decider: str
    field: str
    recorded: object
    replayed: object
    draw_watts: float | None


@dataclass(slots=True)
class Count:
    """Decisions of one kind that were compared, and how many of them were the same."""

    compared: int = 0
    same: int = 0


class Levels(NamedTuple):
    """A recorded level and the one that the other document was at."""

    recorded: str
    replayed: str


@dataclass(slots=True)
class Stay:
    """How often and how long a pair of levels was met, and the highest load and draw meanwhile."""

    decisions: int = 0
    seconds: float = 0.0
    highest_load: float = 0.0
    highest_watts: float | None = None

    def add(self, entry: PolicyEntry, seconds: float) -> None:
        """Count one decision that was in force for so long."""
        self.decisions += 1
        self.seconds += seconds
        self.highest_load = max(self.highest_load, entry.row.load)
        if entry.draw_watts is not None:
            self.highest_watts = max(self.highest_watts or 0.0, entry.draw_watts)


@dataclass(slots=True)
class Replay:
    """What came of it.

    `counts` are by decider and hash, `unknown` counts decisions by the hash of a document that the journal
    doesn't hold, `rehashed` are hashes then and now of documents that this version reads otherwise. `stays`
    are filled for another document only. `differing` is what differs at the moment, by decider and hash.
    `nodes` led, in `terms` terms. `unlinked` decisions don't begin with the state that the one before left.
    """

    document: PowerDocument | None = None
    reading: Reading = field(default_factory=Reading)
    first_time: str = ""
    last_time: str = ""
    counts: dict[tuple[str, str], Count] = field(default_factory=dict)
    unknown: Counter[str] = field(default_factory=Counter)
    rehashed: dict[str, str] = field(default_factory=dict)
    others: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)
    differing: dict[tuple[str, str], list[tuple[str, object, object]]] = field(default_factory=dict)
    stays: dict[Levels, Stay] = field(default_factory=dict)
    domains: set[str] = field(default_factory=set)
    nodes: set[str] = field(default_factory=set)
    terms: int = 0
    unlinked: int = 0
    seen_s: float = 0.0
    unseen_s: float = 0.0

    @property
    def compared(self) -> int:
        """All decisions that were compared."""
        return sum(count.compared for count in self.counts.values())

    @property
    def same(self) -> int:
        """Those of them that were the same."""
        return sum(count.same for count in self.counts.values())

    @property
    def is_same(self) -> bool:
        """Whether each decision was compared and was the same."""
        return self.same == self.compared and not self.unknown


def replay(
    paths: Sequence[Path],
    *,
    document: PowerDocument | None = None,
    skip_bad: bool = False,
    told: Told = lambda share: None,
) -> Replay:
    """Replay journals, given in order of time; by `document` if there is one, else by their own documents.

    Raises InvalidTrace for a line that can't be used, OSError for a file that can't be read.
    """
    found = Replay(document=document)
    run = _Comparison(found, files.documents(paths)) if document is None else _WhatIf(found, document)
    for place, entry in files.read(paths, found.reading, skip_bad=skip_bad, told=told):
        found.first_time = found.first_time or entry.time
        found.last_time = entry.time
        if isinstance(entry, PolicyEntry):
            _follow(found, run.last, entry)
            run.decide(place, entry)
            run.last = entry
        else:
            run.pass_by(place, entry)
    run.end()
    return found


def _follow(found: Replay, last: PolicyEntry | None, entry: PolicyEntry) -> None:
    """Note what an entry says of the time since the one before."""
    found.domains.add(entry.domain)
    found.nodes.add(entry.node)
    if last is None or not _same_term(last, entry):
        found.terms += 1
        return
    gap_s = entry.now_s - last.now_s
    found.seen_s += gap_s
    found.unseen_s += gap_s if gap_s > SEEN_EVERY_S else 0.0
    found.unlinked += entry.state != last.state_after


def _same_term(last: PolicyEntry, entry: PolicyEntry) -> bool:
    return (
        (last.node, last.domain, last.epoch) == (entry.node, entry.domain, entry.epoch)
        and last.policy is entry.policy
        and last.now_s <= entry.now_s
    )


class _Comparison:
    """Each decision again, from what was recorded of it."""

    def __init__(self, found: Replay, documents: Mapping[str, DocumentEntry]) -> None:
        self.last: PolicyEntry | None = None
        self._found, self._documents = found, documents
        changed = {name: one.document.hash for name, one in documents.items() if one.document.hash != name}
        found.rehashed.update(changed)

    def decide(self, place: Place, entry: PolicyEntry) -> None:
        """Compare caps and state of one decision."""
        known = self._documents.get(entry.policy_hash)
        if known is None or known.document.policy is not entry.policy:
            self._found.unknown[entry.policy_hash] += 1
            return
        again = entry.policy.decide(entry.row, entry.given, known.document.config, entry.now_s)
        recorded = {"caps": entry.caps, "state": entry.state_after}
        replayed = {"caps": plain(again.actions), "state": plain(again.state)}
        decider = f"{power_journals.PREFIX}{entry.policy.name}"
        _compare(
            self._found, (decider, entry.policy_hash), recorded, replayed,
            place=place, time=entry.time, draw_watts=entry.draw_watts,
        )  # fmt: skip

    def pass_by(self, place: Place, entry: Entry) -> None:
        """Compare a relief; count what is neither."""
        if not isinstance(entry, ReliefEntry):
            _count_other(self._found, entry)
            return
        again = reliefs.decide(entry.claims, entry.room, entry.state, entry.now_s)
        recorded = {"relief": entry.relief, "state": entry.state_after}
        replayed = {"relief": plain(again.actions), "state": plain(again.state)}
        _compare(
            self._found, (RELIEFS, ""), recorded, replayed,
            place=place, time=entry.time, draw_watts=entry.room.watts,
        )  # fmt: skip

    def end(self) -> None:
        """Nothing is left to do."""


class _WhatIf:
    """The recorded loads, given to another document."""

    def __init__(self, found: Replay, document: PowerDocument) -> None:
        self.last: PolicyEntry | None = None
        self._found, self._document = found, document
        self._policy: PowerPolicy[Any, Any] = document.policy
        self._state: Any = None
        self._levels: Levels | None = None

    def decide(self, place: Place, entry: PolicyEntry) -> None:
        """Decide on one more load, and compare what nodes would be told."""
        last = self.last
        if last is None or not _same_term(last, entry):
            self.end()
            # A term begins where the recorded one did, so far as the policies have the same states.
            self._state = entry.given if entry.policy is self._policy else self._policy.start
        elif self._levels is not None:
            self._stay(self._levels, last, entry.now_s - last.now_s)
        again = self._policy.decide(entry.row, self._state, self._document.config, entry.now_s)
        self._state = again.state
        caps: Any = plain(again.actions)
        recorded = {name: entry.caps.get(name) for name in TOLD_CAPS}
        replayed = {name: caps[name] for name in TOLD_CAPS}
        self._levels = Levels(str(recorded["level"]), str(replayed["level"]))
        decider = f"{power_journals.PREFIX}{entry.policy.name}"
        _compare(
            self._found, (decider, entry.policy_hash), recorded, replayed,
            place=place, time=entry.time, draw_watts=entry.draw_watts,
        )  # fmt: skip

    def pass_by(self, place: Place, entry: Entry) -> None:
        """Count; reliefs would be others under other caps, and aren't decided again."""
        _count_other(self._found, entry)

    def end(self) -> None:
        """The last decision of a term is in force for a time that nobody recorded."""
        if self.last is not None and self._levels is not None:
            self._stay(self._levels, self.last, 0.0)
        self._levels = None

    def _stay(self, levels: Levels, entry: PolicyEntry, seconds: float) -> None:
        self._found.stays.setdefault(levels, Stay()).add(entry, min(seconds, HELD_MOST_S))


def _count_other(found: Replay, entry: Entry) -> None:
    if isinstance(entry, ReliefEntry):
        decider = power_journals.RELIEF
    elif isinstance(entry, DocumentEntry):
        decider = power_journals.DOCUMENT
    else:
        decider = getattr(entry, "decider", "")
    if decider in found.others or len(found.others) < MOST_OTHERS:
        found.others[decider] += 1
    else:
        found.others["others"] += 1


def _compare(  # noqa: PLR0917
    found: Replay,
    kind: tuple[str, str],
    recorded: Mapping[str, object],
    replayed: Mapping[str, object],
    *,
    place: Place,
    time: str,
    draw_watts: float | None,
) -> None:
    """Count one decision, and note what of it differs."""
    count = found.counts.setdefault(kind, Count())
    count.compared += 1
    if recorded == replayed:
        count.same += 1
        found.differing.pop(kind, None)
        return
    was, now = _fields(recorded), _fields(replayed)
    names = sorted(name for name in was.keys() | now.keys() if was.get(name) != now.get(name))
    pairs = [(name, was.get(name), now.get(name)) for name in names]
    if pairs == found.differing.get(kind):
        return
    found.differing[kind] = pairs
    listed = [Difference(place, time, kind[0], *pair, draw_watts) for pair in pairs]
    found.differences += listed[: MOST_LISTED - len(found.differences)]


def _fields(value: object, name: str = "") -> dict[str, object]:
    """All leaves of nested objects, by dotted names."""
    if not isinstance(value, Mapping):
        return {name: value}
    found: dict[str, object] = {}
    for key, one in value.items():
        found |= _fields(one, f"{name}.{key}" if name else str(key))
    return found
