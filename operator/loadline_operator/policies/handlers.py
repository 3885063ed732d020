"""
The controller of policy documents: every event of a ConfigMap is read at once, what has
become invalid is told by metric, log and Event, and whoever goes by a document is woken
when it moves.

The system namespace is watched by kopf with the rest. A namespace that may have policies
of its own is followed by a stream, since the right to read its ConfigMaps comes and goes
with the namespace, and must never keep the operator from starting.

Reading happens in the watch's own callback, since it takes a millisecond and others
want the result; only the Event goes through a work queue, because posting it may fail.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog

from loadline_api.api_errors import Refused
from loadline_operator import events
from loadline_operator.contexts import Context
from loadline_operator.kube.controllers import Controller, Watched
from loadline_operator.kube.kinds import CONFIG_MAPS, EVENTS, Key, Manifest
from loadline_operator.kube.list_watches import ListWatch
from loadline_operator.policies.documents import Document, PolicyIndex, read
from loadline_policies.loops import OF_SERVICES, Loop

Moved = Callable[[Key, frozenset[Loop]], None]
"""Called with a document that has moved and the loops that it was or is of."""

log = structlog.get_logger("loadline.operator")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Version:
    uid: str
    version: str


class Documents(Controller[Key]):
    """The policies of the system namespace, and of those that may have their own."""

    name = "documents"

    def __init__(self, context: Context, *, own: Sequence[str] = ()) -> None:
        super().__init__(context.metrics)
        self._context = context
        others = tuple(dict.fromkeys(one for one in own if one != context.system_namespace))
        self.policy_index = PolicyIndex(system_namespace=context.system_namespace, others=others)
        self.moved: list[Moved] = []
        self._answered = asyncio.Event()
        self._streams = tuple(map(self._stream, others))
        self._versions: dict[Key, _Version] = {}
        self._told: dict[Key, str | None] = {}

    @property
    def watched(self) -> tuple[Watched, ...]:
        """The policies of the system namespace."""
        return (Watched(CONFIG_MAPS, self.policy_index.system, self.see),)

    def list_watches(self) -> Sequence[Coroutine[Any, Any, None]]:
        """One for each of the other namespaces."""
        return [stream.run() for stream in self._streams]

    @property
    def unanswered(self) -> str:
        """The namespaces of which it isn't known yet what policies they have."""
        return (
            f"the API server has not listed the policies yet in {', '.join(self._silent)}"
            if self._silent
            else ""
        )

    async def answered(self) -> None:
        """Return once it is known of every namespace which policies it has."""
        while self._silent:
            self._answered.clear()
            await self._answered.wait()

    @property
    def _silent(self) -> tuple[str, ...]:
        return tuple(stream.namespace for stream in self._streams if stream.served is None)

    def see(self, raw: Manifest, gone: bool) -> None:
        """An event: read the document, and tell those who go by it if it moved."""
        key, metadata = Key.of(raw), raw["metadata"]
        table = self.policy_index.table(key.namespace)
        before = table.get(key)
        moved = table.see(raw, gone=gone, read=partial(read, before=before, loops=self._loops(key.namespace)))
        if not gone:
            self._versions[key] = _Version(uid=metadata["uid"], version=metadata["resourceVersion"])
        elif moved:
            self._versions.pop(key, None)
            self._told.pop(key, None)
        if not moved:
            return
        after = table.get(key)
        if after is not None:
            self._tell(key, after)
        self._measure()
        loops = frozenset(one.loop for one in (before, after) if one is not None and one.loop is not None)
        for callback in self.moved:
            callback(key, loops)

    def _loops(self, namespace: str) -> tuple[Loop, ...]:
        return tuple(Loop) if namespace == self._context.system_namespace else OF_SERVICES

    def _stream(self, namespace: str) -> ListWatch:
        requests, turned = self._context.applier.requests, self._answered.set
        return ListWatch(requests, CONFIG_MAPS, namespace=namespace, seen=self.see, turned=turned)

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
            self.name,
            kind=CONFIG_MAPS.kind,
            name=str(key),
            observation=saw,
            decision=did,
            reason=document.fault or "it parses",
        )
        self.work_queue.add(key)

    def _measure(self) -> None:
        documents = self.policy_index.all()
        self._context.metrics.policies.set(len(documents))
        self._context.metrics.policies_invalid.set(sum(not one.valid for one in documents))

    async def reconcile(self, key: Key) -> None:
        """Post an Event if what people were last told of the document isn't so any more."""
        document, version = self.policy_index.table(key.namespace).get(key), self._versions.get(key)
        told = self._told.get(key)
        if document is None or version is None or document.fault == told:
            return
        event = _event(key, document, at=version, context=self._context)
        try:
            await self._context.applier.create_event(EVENTS, event)
        except Refused as error:  # trying again is no use; the log has told of the document itself
            log.warning("an Event was not posted", error=str(error))
        self._told[key] = document.fault


def _event(key: Key, document: Document, *, at: _Version, context: Context) -> Manifest:
    now = context.clock()
    if document.fault is not None:
        return events.policy_invalid(key, uid=at.uid, version=at.version, fault=document.fault, now=now)
    good = document.good_hash or ""
    return events.policy_fixed(key, uid=at.uid, version=at.version, hash=good, now=now)
