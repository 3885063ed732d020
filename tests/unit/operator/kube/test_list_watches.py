"""A kind is followed from a listing on; what goes is told as gone, and what isn't served is asked again."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from loadline_api.api_errors import NotFound, Unavailable
from loadline_operator.kube.api_requests import ApiRequests
from loadline_operator.kube.kinds import LEADER_WORKER_SETS, Manifest
from loadline_operator.kube.list_watches import ListWatch

MISSING = NotFound("the server could not find the requested resource", 404)


def item(name: str, version: int = 1) -> Manifest:
    metadata = {"name": name, "namespace": "s", "uid": f"uid-{name}", "resourceVersion": str(version)}
    return {"metadata": metadata}


def event(type: str, name: str, version: int) -> Manifest:
    return {"type": type, "object": item(name, version)}


class Api:
    """An API server that answers listings in turn and plays the events of each watch."""

    def __init__(self, listings: list[list[str] | Exception], watches: list[list[Manifest]]) -> None:
        self._listings, self._watches = listings, watches
        self.since: list[str] = []
        self.open = 0

    async def send(self, *_: object, **__: object) -> Manifest:
        answer = self._listings.pop(0) if len(self._listings) > 1 else self._listings[0]
        if isinstance(answer, Exception):
            raise answer
        return {"items": [item(name) for name in answer], "metadata": {"resourceVersion": "10"}}

    async def lines(self, path: str, *, query: dict[str, str], **_: Any) -> AsyncIterator[Manifest]:
        self.since.append(query["resourceVersion"])
        self.open += 1
        try:
            for one in self._watches.pop(0) if self._watches else ():
                yield one
            if not self._watches:
                await asyncio.Event().wait()
        finally:
            self.open -= 1


class Watcher:
    """What a stream has told, in a line."""

    def __init__(self, api: Api, *, retry_s: float = 0.0) -> None:
        self.told: list[str] = []
        self.api = api
        self.stream = ListWatch(
            cast(ApiRequests, api),
            LEADER_WORKER_SETS,
            seen=self._seen,
            turned=lambda: self.told.append("turned"),
            retry_s=retry_s,
        )

    def _seen(self, raw: Manifest, gone: bool) -> None:
        if raw["metadata"]["name"] == "odd":
            raise ArithmeticError("odd")
        self.told.append(f"{'-' if gone else '+'}{raw['metadata']['name']}")


@asynccontextmanager
async def following(api: Api, until: Callable[[Watcher], bool]) -> AsyncIterator[Watcher]:
    """Follow until something is so."""
    watcher = Watcher(api)
    task = asyncio.create_task(watcher.stream.run())
    try:
        for _ in range(1000):
            if until(watcher):
                break
            await asyncio.sleep(0)
        yield watcher
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_listing_and_its_changes_are_told_in_order() -> None:
    events = [event("ADDED", "b", 11), event("BOOKMARK", "x", 12), event("DELETED", "a", 13)]
    async with following(Api([["a"]], [events]), lambda one: len(one.told) == 4) as watcher:
        assert watcher.told == ["+a", "turned", "+b", "-a"]
        assert watcher.stream.served


async def test_a_watch_that_ends_goes_on_where_it_was() -> None:
    api = Api([["a"]], [[event("MODIFIED", "a", 15)], []])
    async with following(api, lambda one: len(one.api.since) == 2) as watcher:
        assert watcher.api.since == ["10", "15"]
        assert watcher.told == ["+a", "turned", "+a"]


async def test_after_a_version_that_is_gone_what_is_missing_is_told_as_gone() -> None:
    gone = {"type": "ERROR", "object": {"code": 410, "message": "too old"}}
    api = Api([["a", "b"], ["b"]], [[gone], []])
    async with following(api, lambda one: len(one.told) == 5) as watcher:
        assert watcher.told == ["+a", "+b", "turned", "+b", "-a"]


async def test_a_kind_that_is_not_served_is_an_answer_and_is_asked_again() -> None:
    api = Api([MISSING, ["a"]], [])
    async with following(api, lambda one: len(one.told) == 3) as watcher:
        assert watcher.told == ["turned", "+a", "turned"]


async def test_a_kind_that_is_uninstalled_leaves_nothing_behind() -> None:
    gone = {"type": "ERROR", "object": {"code": 410, "message": "gone"}}
    api = Api([["a"], MISSING], [[gone], []])
    async with following(api, lambda one: one.stream.served is False) as watcher:
        assert watcher.told == ["+a", "turned", "-a", "turned"]


async def test_an_api_server_that_is_away_changes_nothing() -> None:
    gone = {"type": "ERROR", "object": {"code": 410, "message": "gone"}}
    api = Api([["a"], Unavailable("away"), ["a"]], [[gone], []])
    async with following(api, lambda one: len(one.told) == 3) as watcher:
        assert watcher.told == ["+a", "turned", "+a"]


async def test_an_event_without_an_object_ends_its_watch_and_all_is_listed_again() -> None:
    api = Api([["a"], ["a", "b"]], [[{"type": "ADDED", "object": {}}], []])
    async with following(api, lambda one: len(one.told) == 4) as watcher:
        assert watcher.told == ["+a", "turned", "+a", "+b"]
    assert api.open == 0


async def test_an_object_that_its_observer_cannot_stand_stops_no_other() -> None:
    events = [event("MODIFIED", "odd", 11), event("ADDED", "b", 12), event("DELETED", "odd", 13)]
    async with following(Api([["a", "odd", "c"]], [events]), lambda one: "+b" in one.told) as watcher:
        assert watcher.told == ["+a", "+c", "turned", "+b"]
        assert watcher.api.since == ["10"]


async def test_what_fails_again_and_again_is_tried_with_growing_pauses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A listing that goes right didn't let the pauses grow, though its watch failed each time."""
    paused, enough = list[float](), asyncio.Event()
    api = Api([[]], [[{"type": "ADDED", "object": {}}] for _ in range(12)])
    stream = Watcher(api, retry_s=0.5).stream

    async def pause(seconds: float) -> None:
        paused.append(seconds)
        if len(paused) == 10:
            enough.set()

    monkeypatch.setattr(stream, "_pause", pause)
    task = asyncio.create_task(stream.run())
    await enough.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert paused[:10] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0, 30.0]
