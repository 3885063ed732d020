"""
A collection of the API server, kept in memory and up to date for as long as it takes.

List, then watch from there; when the watch ends, watch on; when its version is too
old, list again. While the API server is away the last state stays, and attempts come
with growing, jittered pauses, so that a row of agents doesn't return all at once.

Each object is made into a small value by `parse` at once, and only a value that
differs is a change: so whoever follows sees what matters to it and not each write of
somebody's status. An object that can't be parsed keeps its last good value, and the
sentence why is in `refused`, whatever went wrong: one bad object must not end a coordinator.
"""

import asyncio
import random
from collections.abc import Callable
from contextlib import aclosing
from typing import Generic, TypeVar

from loadline_agent.kube.clients import Event, Kube, Object
from loadline_api.api_errors import Gone, KubeError
from loadline_policies.errors import InvalidInput, shown

T = TypeVar("T")

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 8.0
"""Chosen: a short hiccup costs half a second, a long outage is over for everybody within eight."""


class Informer(Generic[T]):
    """Objects of one collection, by `namespace/name`, or by name where there is no namespace.

    `listed` says whether everything has been seen once, `problem` why the API server
    isn't followed at the moment.
    """

    def __init__(
        self,
        kube: Kube,
        path: str,
        *,
        parse: Callable[[Object], T],
        on_change: Callable[[], None],
        labels: str = "",
        fields: str = "",
        first_pause_s: float = FIRST_PAUSE_S,
    ) -> None:
        self.items: dict[str, T] = {}
        self.refused: dict[str, str] = {}
        self.listed = False
        self.problem: str | None = None
        self._kube, self._path, self._parse, self._on_change = kube, path, parse, on_change
        self._labels, self._fields = labels, fields
        self._first_pause_s = first_pause_s
        self._version: str | None = None
        self._failures = 0

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                await self._follow()
                self._failures, self.problem = 0, None
            except Gone:
                self._version = None
            except KubeError as error:
                self._failures, self.problem = self._failures + 1, str(error)
            await asyncio.sleep(pause_s(self._failures, first_s=self._first_pause_s))

    def start_over(self) -> None:
        """Forget how current this is, so that `run` lists first; the last good values stay until then."""
        self.listed, self._version = False, None

    async def _follow(self) -> None:
        if self._version is None:
            self._version = await self.list_all()
        changes = self._kube.watch(self._path, self._version, labels=self._labels, fields=self._fields)
        async with aclosing(changes):
            async for event in changes:
                self._failures, self.problem = 0, None
                self._take(event)

    async def list_all(self) -> str:
        """See everything once; the version from which to watch."""
        listing = await self._kube.list(self._path, labels=self._labels, fields=self._fields)
        items, refused = dict[str, T](), dict[str, str]()
        for thing in listing.items:
            self._keep(thing, items, refused)
            await asyncio.sleep(0)  # a listing may be long, and a lease must be answered meanwhile
        turned = (items, refused) != (self.items, self.refused) or not self.listed
        self.items, self.refused, self.listed, self.problem = items, refused, True, None
        if turned:
            self._on_change()
        return listing.version

    def _take(self, event: Event) -> None:
        self._version = event.version or self._version
        if event.type == "BOOKMARK":
            return
        key = key_of(event.object)
        before = self.items.get(key), self.refused.get(key)
        if event.type == "DELETED":
            self.items.pop(key, None)
            self.refused.pop(key, None)
        else:
            self._keep(event.object, self.items, self.refused)
        if (self.items.get(key), self.refused.get(key)) != before:
            self._on_change()

    def _keep(self, thing: Object, items: dict[str, T], refused: dict[str, str]) -> None:
        """Put the object among the items, or among the refused with its last good value among the items."""
        key = key_of(thing)
        try:
            items[key] = self._parse(thing)
            refused.pop(key, None)
            return
        except InvalidInput as error:
            refused[key] = str(error)
        except Exception as error:  # nothing that somebody has written ends who reads it
            refused[key] = f"it can't be read: {type(error).__name__}: {shown(str(error))}"
        if key in self.items:
            items[key] = self.items[key]


def key_of(thing: Object) -> str:
    """`namespace/name`, or the name alone."""
    metadata = thing.get("metadata", {})
    name, namespace = str(metadata.get("name", "")), metadata.get("namespace")
    return f"{namespace}/{name}" if namespace else name


def pause_s(
    failures: int, *, first_s: float = FIRST_PAUSE_S, chance: Callable[[], float] = random.random
) -> float:
    """Seconds to wait after so many failures in a row: doubling to a bound, half of it by chance."""
    return float(min(LONGEST_PAUSE_S, first_s * 2 ** min(failures, 8)) * (0.5 + 0.5 * chance()))
