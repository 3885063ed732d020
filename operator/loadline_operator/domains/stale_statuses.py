"""
Says Unknown, with the age, where a status is not refreshed any more any more.

A coordinator that died leaves its last words: level Normal, within budget, enforcing; so does an
agent of its node. Nobody else may speak for them, but it can be said that those words are old. So the
operator notes when each status was refreshed, by its own clock, and once the refreshes that it
promises have been missed (`loadline_api.refreshes`) applies those conditions as Unknown.

It does so under a field manager of its own and on exactly the version that it judged. A writer
that is alive has then been faster, and one that comes back takes its conditions over with its next
word: both are applied by force. So nothing has to be undone, and a status that somebody keeps never
turns. What is said is in `told_statuses`.
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import structlog

from loadline_api.api_errors import NotFound, WriteConflict
from loadline_api.conditions import Condition
from loadline_api.names import STALE_MANAGER
from loadline_operator import events
from loadline_operator.contexts import Context
from loadline_operator.domains.told_statuses import READERS, Told, unknown
from loadline_operator.kube.controllers import Controller, Watched
from loadline_operator.kube.fact_tables import FactTable
from loadline_operator.kube.kinds import POWER_DOMAINS, Key, Kind, Manifest

AGAIN_S = 1.0
"""When to look again after an object is gone, or was written since it was judged: an event will tell."""

OLDER = 2.0
"""The age is told anew when it has doubled: a status may lie for weeks, and is written some ten times."""

Ref = tuple[Kind, Key]

log = structlog.get_logger("loadline.operator")


@dataclass(slots=True)
class _Watch:
    """One status: when it was seen refreshed, by our own clock, and the age that was told of it last."""

    told: Told
    seen_s: float
    stale_after_s: float
    told_age_s: float = 0.0


class StaleStatuses(Controller[Ref]):
    """The ages of all statuses that agents write. `clock` is in seconds and our own."""

    name = "statuses"

    def __init__(self, context: Context, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(context.metrics)
        self._context, self._clock = context, clock
        self._watched: dict[Ref, _Watch] = {}
        self.tables: dict[Kind, FactTable[Told]] = {kind: FactTable() for kind in READERS}
        context.metrics.measures.append(self._measure)

    @property
    def watched(self) -> tuple[Watched, ...]:
        """The kinds whose statuses agents refresh."""
        return tuple(Watched(kind, table, partial(self.see, kind)) for kind, table in self.tables.items())

    def see(self, kind: Kind, raw: Manifest, gone: bool) -> None:
        """An event: a refresh begins the age anew."""
        self.tables[kind].see(raw, gone=gone, read=partial(_told, kind))
        self._follow((kind, Key.of(raw)))

    def wake(self) -> None:
        """Look at everything that is known."""
        for kind, table in self.tables.items():
            for key in table.uids():
                self._follow((kind, key))

    def _follow(self, ref: Ref) -> None:
        """Take what is known of a status now, and look at it again when it may be stale."""
        kind, key = ref
        now_told = self.tables[kind].get(key)
        if now_told is None or now_told.stale_after_s is None:
            self._watched.pop(ref, None)
            return
        watched = self._watched.get(ref)
        if watched is not None and not now_told.is_refresh_of(watched.told):
            watched.told = now_told
            return
        self._watched[ref] = _Watch(now_told, self._clock(), now_told.stale_after_s)
        self.work_queue.add_later(ref, now_told.stale_after_s)

    async def reconcile(self, ref: Ref) -> None:
        """Say Unknown where a status is stale, and again when it is twice as old."""
        watched = self._watched.get(ref)
        if watched is None:
            return
        age_s = self._clock() - watched.seen_s
        due_s = max(watched.stale_after_s, OLDER * watched.told_age_s)
        if age_s < due_s:
            self.work_queue.add_later(ref, due_s - age_s)
            return
        if not await self._say(ref, watched.told, age_s=age_s):
            self.work_queue.add_later(ref, AGAIN_S)
            return
        watched.told_age_s = age_s
        if watched.told.time is not None:
            self.work_queue.add_later(ref, (OLDER - 1.0) * age_s)

    async def _say(self, ref: Ref, told: Told, *, age_s: float) -> bool:
        """Apply what is stale as Unknown; whether the object was still as it was judged."""
        kind, key = ref
        now = self._context.clock()
        conditions = unknown(told, age_s=age_s, now=now)
        if conditions == told.conditions:
            return True
        head = kind.manifest(key, uid=told.uid, resourceVersion=told.version)
        status = {"conditions": [one.to_api() for one in conditions]}
        try:
            await self._context.applier.apply_status(kind, {**head, "status": status}, manager=STALE_MANAGER)
        except (NotFound, WriteConflict):
            return False
        await self._tell(ref, told, conditions[0], now=now)
        return True

    async def _tell(self, ref: Ref, told: Told, one: Condition, *, now: datetime) -> None:
        kind, key = ref
        self._context.metrics.writes.labels("statuses").inc()
        log.warning("a status is not refreshed any more", kind=kind.kind, object=str(key), text=one.message)
        saw = {"observed_time": told.time}
        self._context.journal.write(
            self.name,
            kind=kind.kind,
            name=str(key),
            observation=saw,
            decision=["applied Unknown"],
            reason=one.message,
        )
        if kind is POWER_DOMAINS and told.time is not None:
            event = events.status_stale(key, uid=told.uid, time=told.time, text=one.message, now=now)
            await self._context.post(event)

    def _measure(self) -> None:
        stale = Counter(
            kind
            for (kind, _), one in self._watched.items()
            if one.told.time is not None and one.told_age_s > 0.0
        )
        for kind in self.tables:
            self._context.metrics.stale_statuses.labels(kind.kind).set(stale[kind])


def _told(kind: Kind, raw: Manifest) -> Told | None:
    try:
        return READERS[kind](raw)
    except Exception:
        return None  # counted where the object is planned with
