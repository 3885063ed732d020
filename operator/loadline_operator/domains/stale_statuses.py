"""
Says Unknown, with the age, where nobody keeps a domain's status any more.

A coordinator that died leaves its last words: level Normal, within budget, enforcing. Nobody
else may speak of the row, but it can be said that those words are old. So the operator notes
when each status was refreshed, by its own clock, and once the refreshes that the status promises
have been missed (`loadline_api.refreshes`) it applies the coordinator's conditions as Unknown.

It does so under a field manager of its own and on exactly the version that it judged. A coordinator
that is alive has then been faster, and one that comes back takes its conditions over with its next
refresh: both halves are applied by force. So nothing has to be undone, and a status that somebody
keeps never turns. What the operator says of itself is no matter here.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import structlog

from loadline_api.conditions import (
    COORDINATOR_DOMAIN_CONDITIONS,
    Condition,
    Reason,
    condition,
    merge,
)
from loadline_api.names import STALE_MANAGER
from loadline_api.power_domains import PowerDomain, PowerDomainStatus
from loadline_api.refreshes import REFRESH_SECONDS, stale_after_s
from loadline_operator import events
from loadline_operator.contexts import Context
from loadline_operator.kube.errors import ApiRefused
from loadline_operator.kube.fact_tables import FactTable
from loadline_operator.kube.kinds import EVENTS, POWER_DOMAINS, Key, Kind, Manifest
from loadline_operator.kube.kopf_watches import KopfWatch
from loadline_operator.kube.work_queues import WorkQueue
from loadline_policies.errors import InvalidInput

MOVED = frozenset({404, 409})
"""The domain is gone, or somebody has written it since it was judged: the event of that is on its way."""

AGAIN_S = 1.0
"""When to look again after that."""

OLDER = 2.0
"""The age is told anew when it has doubled: a status may lie for weeks, and is written some ten times."""

log = structlog.get_logger("loadline.operator")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a coordinator has told of a domain, and in which version of the object it stands."""

    uid: str
    version: str
    led: bool
    time: str | None
    refresh_seconds: int | None
    conditions: tuple[Condition, ...]

    @property
    def stale_after_s(self) -> float | None:
        """From which age on it is stale; None where nobody has promised to refresh it."""
        if not self.led:
            return None
        if self.time is None:
            return stale_after_s(REFRESH_SECONDS)
        return stale_after_s(self.refresh_seconds) if self.refresh_seconds else None

    def is_refresh_of(self, before: "Told") -> bool:
        """Whether a coordinator has spoken since, or this is another domain of the name."""
        return (self.uid, self.time, self.led) != (before.uid, before.time, before.led)


@dataclass(slots=True)
class _Watch:
    """One status: when it was seen refreshed, by our own clock, and the age that was told of it last."""

    told: Told
    seen_s: float
    told_age_s: float = 0.0


class StaleStatuses:
    """The ages of all domains' statuses. `clock` is in seconds and our own."""

    def __init__(self, context: Context, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._context, self._clock = context, clock
        self._watched: dict[Key, _Watch] = {}
        self.tables: dict[Kind, FactTable[Told]] = {POWER_DOMAINS: FactTable()}
        self.work_queue = WorkQueue[Key]("statuses", self.reconcile, metrics=context.metrics)
        context.metrics.measures.append(self._measure)

    def watch(self, watch: KopfWatch) -> None:
        """Have all events of domains lead here."""
        watch.of(POWER_DOMAINS, partial(self.see, POWER_DOMAINS))

    def see(self, kind: Kind, raw: Manifest, gone: bool) -> None:
        """An event: a refresh begins the age anew."""
        key, metadata = Key.of(raw), raw["metadata"]
        table = self.tables[kind]
        if gone:
            table.drop(key, uid=metadata["uid"])
        else:
            table.put(key, uid=metadata["uid"], version=metadata["resourceVersion"], fact=told(raw))
        self._follow(key)

    def wake(self) -> None:
        """Look at every domain."""
        for key in self.tables[POWER_DOMAINS].uids():
            self._follow(key)

    def _follow(self, key: Key) -> None:
        """Take what is known of a domain now, and look at it again when it may be stale."""
        now_told = self.tables[POWER_DOMAINS].get(key)
        if now_told is None or now_told.stale_after_s is None:
            self._watched.pop(key, None)
            return
        watched = self._watched.get(key)
        if watched is not None and not now_told.is_refresh_of(watched.told):
            watched.told = now_told
            return
        self._watched[key] = _Watch(now_told, self._clock())
        self.work_queue.add_later(key, now_told.stale_after_s)

    async def reconcile(self, key: Key) -> None:
        """Say Unknown of a domain whose status is stale, and again when it is twice as old."""
        watched = self._watched.get(key)
        if watched is None or watched.told.stale_after_s is None:
            return
        age_s = self._clock() - watched.seen_s
        due_s = max(watched.told.stale_after_s, OLDER * watched.told_age_s)
        if age_s < due_s:
            self.work_queue.add_later(key, due_s - age_s)
            return
        if not await self._say(key, watched.told, age_s=age_s):
            self.work_queue.add_later(key, AGAIN_S)
            return
        watched.told_age_s = age_s
        if watched.told.time is not None:
            self.work_queue.add_later(key, (OLDER - 1.0) * age_s)

    async def _say(self, key: Key, told: Told, *, age_s: float) -> bool:
        """Apply what is stale as Unknown; whether the domain was still as it was judged."""
        now = self._context.clock()
        conditions = unknown(told, age_s=age_s, now=now)
        if conditions == told.conditions:
            return True
        status = PowerDomainStatus(conditions=conditions).to_api()
        head = POWER_DOMAINS.manifest(key, uid=told.uid, resourceVersion=told.version)
        try:
            await self._context.applier.apply_status(
                POWER_DOMAINS, {**head, "status": status}, manager=STALE_MANAGER
            )
        except ApiRefused as error:
            if error.code not in MOVED:
                raise
            return False
        await self._tell(key, told, conditions[0], now=now)
        return True

    async def _tell(self, key: Key, told: Told, one: Condition, *, now: datetime) -> None:
        self._context.metrics.writes.labels("statuses").inc()
        log.warning("nobody keeps a domain's status", domain=key.name, reason=one.reason, text=one.message)
        self._context.journal.write(
            POWER_DOMAINS.kind,
            str(key),
            saw={"observed_time": told.time},
            did=["applied Unknown"],
            reason=one.message,
        )
        if told.time is not None:
            event = events.status_stale(key, uid=told.uid, time=told.time, text=one.message, now=now)
            await self._context.applier.create_event(EVENTS, event)

    def _measure(self) -> None:
        stale = sum(one.told.time is not None and one.told_age_s > 0.0 for one in self._watched.values())
        self._context.metrics.stale_statuses.labels(POWER_DOMAINS.kind).set(stale)


def told(raw: Manifest) -> Told | None:
    """What a coordinator has told of a domain; None of one that can't be read."""
    try:
        domain = PowerDomain.parse(raw)
    except InvalidInput:
        return None  # counted where the domain is planned
    status = domain.status
    return Told(
        uid=domain.metadata.uid,
        version=raw["metadata"]["resourceVersion"],
        led=domain.spec.node_selector is not None,
        time=status.observed_time,
        refresh_seconds=status.refresh_seconds,
        conditions=tuple(
            sorted(
                (one for one in status.conditions if one.type in COORDINATOR_DOMAIN_CONDITIONS),
                key=lambda one: one.type,
            )
        ),
    )


def unknown(told: Told, *, age_s: float, now: datetime) -> tuple[Condition, ...]:
    """The coordinator's conditions as Unknown: its words are so old, or there never were any."""
    if told.time is None:
        reason, text = Reason.NOBODY_LEADS, "No coordinator has told of the domain yet."
    else:
        reason = Reason.NOT_REFRESHED
        text = (
            f"Nobody has refreshed this status for {spoken(age_s)} or longer; its last word is of"
            f" {told.time}. Limits in force fall to safe at the nodes' own deadlines."
        )
    wanted = [condition(type, so=None, reason=reason, message=text) for type in COORDINATOR_DOMAIN_CONDITIONS]
    return merge(told.conditions, wanted, now=now)


def spoken(age_s: float) -> str:
    """An age in the unit that a person would take, rounded down."""
    for unit, seconds in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if age_s >= 2 * seconds:
            return f"{int(age_s // seconds)} {unit}"
    return f"{int(age_s)} s"
