"""A collection is followed whatever is in it: a bad object ends nobody, a long listing holds up nobody."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from loadline_agent.kube.clients import Event, Kube, Listing
from loadline_agent.kube.informers import Informer
from loadline_policies.errors import InvalidInput

ERRORS = (
    InvalidInput("a", 1, fix="b"),
    TypeError("x" * 9000),
    RecursionError(),
    KeyError("metadata"),
    MemoryError(),
)


class StandIn(Kube):
    """An API server with one collection: what it lists, and what changes then."""

    def __init__(self, listed: list[dict[str, Any]], changes: list[dict[str, Any]]) -> None:
        self._listed, self._changes = listed, changes

    async def list(self, path: str, *, labels: str = "", fields: str = "") -> Listing:
        return Listing("1", self._listed)

    async def watch(
        self, path: str, version: str, *, labels: str = "", fields: str = ""
    ) -> AsyncGenerator[Event, None]:
        for change in self._changes:
            yield Event("MODIFIED", change)
        await asyncio.Event().wait()


def thing(name: str, value: object) -> dict[str, Any]:
    return {"metadata": {"name": name}, "value": value}


def followed(kube: Kube, parse: Callable[[dict[str, Any]], object]) -> Informer[object]:
    """An informer after it has seen all that there is."""
    informer = Informer[object](kube, "/things", parse=parse, on_change=lambda: None)

    async def follow() -> None:
        run = asyncio.create_task(informer.run())
        await asyncio.sleep(0.05)
        assert not run.done(), run.exception()
        run.cancel()

    asyncio.run(follow())
    return informer


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_object_that_cannot_be_used_keeps_its_last_good_value_whatever_is_wrong(error: Exception) -> None:
    def parse(thing: dict[str, Any]) -> object:
        if thing["value"] == "bad":
            raise error
        return thing["value"]

    kube = StandIn([thing("a", 1), thing("b", "bad")], [thing("a", "bad"), thing("c", 3)])
    informer = followed(kube, parse)
    assert informer.items == {"a": 1, "c": 3}
    assert informer.refused.keys() == {"a", "b"}
    assert all(len(told) < 400 for told in informer.refused.values())


def test_others_have_their_turn_between_two_objects_of_a_listing() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def list_all() -> int:
        counting = asyncio.create_task(count())
        informer = Informer[object](
            StandIn([thing(str(i), i) for i in range(100)], []), "/things", parse=dict, on_change=lambda: None
        )
        await informer.list_all()
        counting.cancel()
        return len(informer.items)

    assert asyncio.run(list_all()) == 100
    assert turns >= 100
