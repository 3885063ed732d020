"""
Whether the watches have told everything, and what they failed to tell.

At the start each kind is listed once, by names and uids, and the operator does nothing
before its watches have delivered all of it: a plan that has seen half of a row's nodes
would publish half a row. When a watch has to begin anew, what was deleted in between is
told by nobody, so the lists are compared again and everything is reconciled once.

This is also what readiness rests on: synced here, and an API server that answers.
"""

import asyncio
from collections.abc import Callable, Sequence

import structlog

from loadline_api.api_errors import KubeError
from loadline_operator.kube.apply import Applier
from loadline_operator.kube.controllers import Watched
from loadline_operator.kube.kinds import IN_SYSTEM, Key
from loadline_operator.metrics import Metrics

LOOK_EVERY_S = 0.05
LIST_EVERY_S = 5.0
"""While the watches are behind, the lists are taken anew: an object may have gone meanwhile."""

RETRY_S = 1.0
CALM_S = 1.0
"""Watches begin anew together when an API server returns; one comparison serves all."""

log = structlog.get_logger("loadline.operator")


class CacheSync:
    """Compares the tables with what there is; two tables may be of one kind."""

    def __init__(
        self,
        applier: Applier,
        watched: Sequence[Watched],
        *,
        system_namespace: str,
        metrics: Metrics,
        wake: Callable[[], None],
    ) -> None:
        self._applier, self._watched, self._metrics, self._wake = applier, watched, metrics, wake
        self._places = [(one.kind, system_namespace if one.kind in IN_SYSTEM else "") for one in watched]
        self._asked = asyncio.Event()
        self.synced = False
        self.behind = tuple(one.kind.plural for one in watched)

    def ask(self) -> None:
        """A watch has begun anew: compare soon. Before the first sync it is what everybody does."""
        if self.synced:
            self._asked.set()

    async def reached(self) -> None:
        """Return once every watch has told everything that there is."""
        while not self.synced:
            listed = await self._listed()
            for _ in range(round(LIST_EVERY_S / LOOK_EVERY_S)):
                self.behind = tuple(
                    one.kind.plural for one, uids in zip(self._watched, listed, strict=True)
                    if not one.table.has_seen(uids)
                )  # fmt: skip
                if not self.behind:
                    self.synced = True
                    break
                await asyncio.sleep(LOOK_EVERY_S)
        self._metrics.ready.set(1)
        log.info("every watch has synced", objects=sum(len(one.table) for one in self._watched))

    async def run(self) -> None:
        """Compare whenever asked, until cancelled."""
        while True:
            await self._asked.wait()
            await asyncio.sleep(CALM_S)
            self._asked.clear()
            await self.compare()

    async def compare(self) -> None:
        """Forget what is gone, and have everything looked at once."""
        known = [one.table.uids() for one in self._watched]
        listed = await self._listed()
        gone: list[str] = []
        for one, before, now in zip(self._watched, known, listed, strict=True):
            gone += [f"{one.kind.kind} {key}" for key in one.table.forget_missing(before, now)]
        self._metrics.resyncs.inc()
        log.info("everything was compared anew", gone=gone)
        self._wake()

    async def _listed(self) -> list[dict[Key, str]]:
        """What there is of every kind; tried until the API server tells."""
        said = ""
        while True:
            try:
                listed = {place: await self._applier.uids(*place) for place in set(self._places)}
                return [listed[place] for place in self._places]
            except KubeError as error:
                if str(error) != said:
                    said = str(error)
                    log.warning("the API server doesn't list what is watched", error=said)
                await asyncio.sleep(RETRY_S)
