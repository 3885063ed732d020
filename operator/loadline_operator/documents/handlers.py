"""
The controller of policy documents: every event of a ConfigMap is read at once, and what
has become invalid is told by metric, log and Event; domains are woken when a hash moves.

Reading happens in the watch's own callback, since it takes a millisecond and the domains
want the result; only the Event goes through a worklist, because posting it may fail.
"""

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from loadline_operator import events
from loadline_operator.contexts import Context
from loadline_operator.documents.store import Document, read
from loadline_operator.kinds import CONFIG_MAPS, EVENTS, Key, Manifest
from loadline_operator.tables import Table
from loadline_operator.watches import Watch
from loadline_operator.worklists import Worklist

log = structlog.get_logger("loadline.operator")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Version:
    uid: str
    version: str


class Documents:
    """The power policies of the system namespace."""

    def __init__(self, context: Context, *, changed: Callable[[], None]) -> None:
        self._context, self._changed = context, changed
        self.table: Table[Document] = Table()
        self.worklist = Worklist[Key]("documents", self.reconcile, metrics=context.metrics)
        self._versions: dict[Key, _Version] = {}
        self._told: dict[Key, str | None] = {}

    def watch(self, watch: Watch) -> None:
        """Have all events of policy ConfigMaps lead here."""
        watch.of(CONFIG_MAPS, self.see)

    def find(self, name: str) -> Document | None:
        """The document of that name."""
        return self.table.get(Key(self._context.system_namespace, name))

    def see(self, raw: Manifest, gone: bool) -> None:
        """An event: read the document, and wake the domains if it moved."""
        key, metadata = Key.of(raw), raw["metadata"]
        if gone:
            moved = self.table.drop(key, uid=metadata["uid"])
        else:
            version = metadata["resourceVersion"]
            before = self.table.get(key)
            document = read(raw, before)
            moved = self.table.put(key, uid=metadata["uid"], version=version, fact=document)
            self._versions[key] = _Version(uid=metadata["uid"], version=version)
            if moved:
                self._tell(key, document)
        if moved:
            self._measure()
            self._changed()

    def _tell(self, key: Key, document: Document) -> None:
        """Log and count a new version; its Event follows."""
        if document.valid:
            log.info("a policy is in force", policy=str(key), policy_hash=document.good_hash)
        else:
            self._context.metrics.policy_refusals.inc()
            log.warning(
                "a policy was refused, the last good one stays in force",
                policy=str(key),
                policy_hash=document.good_hash,
                fault=document.fault,
            )
        did = ["took it"] if document.valid else ["kept the last good one"]
        saw = {"hash": document.good_hash, "policy": document.policy}
        self._context.journal.write(
            CONFIG_MAPS.kind, str(key), saw=saw, did=did, reason=document.fault or "it parses"
        )
        self.worklist.add(key)

    def _measure(self) -> None:
        documents = list(self.table.facts())
        self._context.metrics.policies.set(len(documents))
        self._context.metrics.policies_invalid.set(sum(not one.valid for one in documents))

    async def reconcile(self, key: Key) -> None:
        """Post an Event if what people were last told of the document isn't so any more."""
        document, version = self.table.get(key), self._versions.get(key)
        told = self._told.get(key)
        if document is None or version is None or document.fault == told:
            return
        await self._context.applier.create_event(EVENTS, _event(key, document, version, self._context))
        self._told[key] = document.fault


def _event(key: Key, document: Document, at: _Version, context: Context) -> Manifest:
    now = context.clock()
    if document.fault is not None:
        return events.policy_invalid(key, uid=at.uid, version=at.version, fault=document.fault, now=now)
    good = document.good_hash or ""
    return events.policy_mended(key, uid=at.uid, version=at.version, hash=good, now=now)
