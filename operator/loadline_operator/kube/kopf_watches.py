"""
kopf, as far as it is used here: watches that are filtered on the server, and nothing more.

Every kind has one event handler that hands the object on. There are no create or update
handlers, timers or daemons, so kopf keeps no state in annotations, adds no finalizer and
never writes. Two operators of kopf run in one process, because one looks at the whole
cluster and the other at the system namespace, where alone ConfigMaps and Leases may be
read. Kinds that come and go are followed by `list_watches`.

A watch that must begin anew lists everything again without saying what is gone; kopf
marks such events by an empty type, and whoever is told `relisted` compares.
"""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from typing import Any, cast

import kopf

from loadline_api.names import OPERATOR_MANAGER
from loadline_operator.kube.connections import Connection
from loadline_operator.kube.kinds import Kind
from loadline_operator.kube.kopf_storages import NoDiffBase, NoProgress
from loadline_operator.kube.observers import Seen, hand_on

SERVER_TIMEOUT_S = 300
CLIENT_TIMEOUT_S = 310
"""A watch that a network has silently cut is given up after five minutes at most; bookmarks tell sooner."""

CHUNK = 500
"""Objects of one page of a first listing, so that no list of all pods is ever in memory."""

EXIT_S = 2.0


class Backoffs:
    """Half a second, then two, for ever: an API server may be away longer than any list of delays."""

    def __iter__(self) -> Iterator[float]:
        return itertools.chain((0.5, 1.0), itertools.repeat(2.0))


def settings() -> kopf.OperatorSettings:
    """kopf without finalizers, scanning, peering, memory or Events of its own."""
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True
    settings.peering.standalone = True
    settings.posting.enabled = False
    settings.watching.server_timeout = SERVER_TIMEOUT_S
    settings.watching.client_timeout = CLIENT_TIMEOUT_S
    settings.watching.chunk_size = CHUNK
    settings.persistence.diffbase_storage = NoDiffBase()
    settings.persistence.progress_storage = NoProgress()
    settings.networking.error_backoffs = Backoffs()
    settings.networking.request_timeout = 30.0
    settings.queueing.exit_timeout = EXIT_S
    settings.process.ultimate_exiting_timeout = 4 * EXIT_S
    return settings


class KopfWatch:
    """One kopf operator: some kinds, in the whole cluster or in one namespace."""

    def __init__(self, connection: Connection, *, namespace: str = "", relisted: Callable[[], None]) -> None:
        self._namespace, self._relisted = namespace, relisted
        self._registry = kopf.OperatorRegistry()
        self._settings = settings()
        self._seen: dict[Kind, list[Seen]] = {}
        self._up = asyncio.Event()
        kopf.on.login(registry=self._registry)(connection.login)

    def of(self, kind: Kind, seen: Seen) -> None:
        """Have every event of a kind handed to `seen`, and to others that have asked for it."""
        self._seen.setdefault(kind, []).append(seen)
        if len(self._seen[kind]) == 1:
            self._register(kind)

    def _register(self, kind: Kind) -> None:
        if kind.selector:
            self._settings.watching.label_selectors[kind.group, kind.version, kind.plural] = kind.selector

        @kopf.on.event(
            group=kind.group,
            version=kind.version,
            plural=kind.plural,
            id=kind.plural,
            registry=self._registry,
        )
        async def handle(event: kopf.RawEvent, **_: object) -> None:
            if event["type"] is None:
                self._relisted()
            for seen in self._seen[kind]:
                hand_on(kind, seen, dict(event["object"]), gone=event["type"] == "DELETED")

    async def run(self) -> None:
        """Watch until cancelled; ends with an error only where kopf itself gives up."""
        await kopf.operator(
            registry=self._registry,
            settings=self._settings,
            identity=cast("Any", OPERATOR_MANAGER),  # else kopf asks for the user, and a pod has none
            standalone=True,
            clusterwide=not self._namespace,
            namespaces=[self._namespace] if self._namespace else [],
            ready_flag=self._up,
        )

    async def up(self) -> None:
        """Return once kopf has started, its signal handlers among the rest."""
        await self._up.wait()
