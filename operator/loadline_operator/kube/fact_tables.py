"""
What the operator remembers of each object: a small fact, never the object itself.

Watches deliver everything, again and again: a node's heartbeat, a Lease's renewal, the
half of a status that somebody else writes. A table keeps the few fields that a plan
looks at and says whether they moved; only then does anybody reconcile.

Three things happen to watches that a table must survive. An answer to our own write may
be followed by an older event, so the higher resourceVersion wins (they are ordered
numbers, KEP-5504). An answer may come after the event of the object's end; it brings
nothing back. And a watch that starts anew doesn't tell what was deleted in between;
`forget_missing` takes a fresh listing and drops what is gone.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from loadline_operator.kube.kinds import Key, Manifest

GONE_KEPT = 1024
"""Chosen: more objects than can end while one answer is on its way."""

F = TypeVar("F")
G = TypeVar("G", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Row(Generic[F]):
    """A fact with the identity and the age of the object that it was taken from."""

    uid: str
    version: int
    fact: F


class FactTable(Generic[F]):
    """The facts of one kind."""

    def __init__(self) -> None:
        self._rows: dict[Key, Row[F | None]] = {}
        self._gone: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, key: Key) -> bool:
        return key in self._rows

    def get(self, key: Key) -> F | None:
        """The fact of an object, if there is one."""
        row = self._rows.get(key)
        return row.fact if row is not None else None

    def facts(self) -> Iterator[F]:
        """All facts, by key; objects that can't be read have none."""
        return (fact for key in sorted(self._rows) if (fact := self._rows[key].fact) is not None)

    def items(self) -> Iterator[tuple[Key, F]]:
        """All facts with their keys, in no order; objects that can't be read have none."""
        return ((key, row.fact) for key, row in self._rows.items() if row.fact is not None)

    def uids(self) -> dict[Key, str]:
        """Which object each key is at the moment."""
        return {key: row.uid for key, row in self._rows.items()}

    def see(self, raw: Manifest, *, gone: bool, read: Callable[[Manifest], F | None]) -> bool:
        """An event: remember what `read` takes of the object, or forget an object that is gone.

        Whether the fact moved, or the object was there.
        """
        key, metadata = Key.of(raw), raw["metadata"]
        if gone:
            return self.drop(key, uid=metadata["uid"])
        return self.put(key, uid=metadata["uid"], version=metadata["resourceVersion"], fact=read(raw))

    def see_answer(self, raw: Manifest, *, read: Callable[[Manifest], F | None]) -> bool:
        """As `see`, of an answer to our own write: it tells nothing of an object that an event told gone."""
        metadata = raw["metadata"]
        if metadata["uid"] in self._gone:
            return False
        return self.see(raw, gone=False, read=read)

    def put(self, key: Key, *, uid: str, version: str, fact: F | None) -> bool:
        """Remember a fact; whether it moved. An event older than what is known is passed over."""
        number = int(version) if version.isdecimal() else 0
        before = self._rows.get(key)
        if before is not None and before.uid == uid and number < before.version:
            return False
        self._gone.pop(uid, None)
        self._rows[key] = Row(uid, number, fact)
        return before is None or before.uid != uid or before.fact != fact

    def drop(self, key: Key, *, uid: str) -> bool:
        """Forget a deleted object, unless another of its name has taken its place; whether it was there."""
        row = self._rows.get(key)
        if row is None or row.uid != uid:
            return False
        del self._rows[key]
        self._gone[uid] = None
        if len(self._gone) > GONE_KEPT:
            del self._gone[next(iter(self._gone))]
        return True

    def forget_missing(self, known: Mapping[Key, str], listed: Mapping[Key, str]) -> list[Key]:
        """Drop what was `known` before the listing was asked for and isn't `listed`; what was dropped."""
        return [key for key, uid in known.items() if key not in listed and self.drop(key, uid=uid)]

    def has_seen(self, listed: Mapping[Key, str]) -> bool:
        """Whether the watch has delivered every object of a listing."""
        return listed.keys() <= self._rows.keys()


class ToldTable(FactTable[F]):
    """A table that tells each move, also one that no event told: `moved` gets the key and the fact."""

    def __init__(self, moved: Callable[[Key, F | None], None]) -> None:
        super().__init__()
        self._moved = moved

    def put(self, key: Key, *, uid: str, version: str, fact: F | None) -> bool:
        """As of any table, and a move is told."""
        moved = super().put(key, uid=uid, version=version, fact=fact)
        if moved:
            self._moved(key, fact)
        return moved

    def drop(self, key: Key, *, uid: str) -> bool:
        """As of any table, and the end of an object is told."""
        dropped = super().drop(key, uid=uid)
        if dropped:
            self._moved(key, None)
        return dropped


class Groups(FactTable[F], Generic[F, G]):
    """A table that finds the facts of one group, say of one service, without looking at all of them.

    `group_of` names an object's group, or None for one that is in no group.
    """

    def __init__(self, group_of: Callable[[Key, F], G | None]) -> None:
        super().__init__()
        self._group_of = group_of
        self._groups: dict[G, dict[Key, None]] = {}

    def group(self, key: Key) -> G | None:
        """The group of an object that is known."""
        fact = self.get(key)
        return self._group_of(key, fact) if fact is not None else None

    def groups(self) -> Iterator[G]:
        return iter(self._groups)

    def of(self, group: G) -> dict[Key, F]:
        """The facts of a group by key, in the keys' order."""
        keys = sorted(self._groups.get(group, ()))
        return {key: fact for key in keys if (fact := self.get(key)) is not None}

    def put(self, key: Key, *, uid: str, version: str, fact: F | None) -> bool:
        """As of any table, and the object is found by its group."""
        before = self.group(key)
        moved = super().put(key, uid=uid, version=version, fact=fact)
        self._move(key, before)
        return moved

    def drop(self, key: Key, *, uid: str) -> bool:
        """As of any table, and the object leaves its group."""
        before = self.group(key)
        dropped = super().drop(key, uid=uid)
        self._move(key, before)
        return dropped

    def _move(self, key: Key, before: G | None) -> None:
        after = self.group(key)
        if before is not None and before != after:
            self._groups[before].pop(key, None)
            if not self._groups[before]:
                del self._groups[before]
        if after is not None:
            self._groups.setdefault(after, {})[key] = None
