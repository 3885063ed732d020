"""A coordinator follows all NodeCapacities: whoever knocks makes it list nothing."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from functools import cache
from typing import Any

import pytest

from loadline_agent.domain.self_signed_certificates import self_signed
from loadline_agent.domain.tls_identity import der_of
from loadline_agent.kube.clients import Event, Kube, Listing, Object
from loadline_agent.kube.declarations import Declarations
from loadline_api.names import NODE_CAPACITIES, POWER_DOMAINS

NODE = "node-0"


@cache
def pem(node: str) -> str:
    return self_signed(node)[1].decode()


def capacity(node: str, address: str = "10.0.0.1:9476") -> Object:
    return {"metadata": {"name": node}, "spec": {"certificate": pem(node), "address": address}}


def domain(candidates: list[str]) -> Object:
    return {
        "metadata": {"name": "row", "uid": "row"},
        "spec": {
            "budgetWatts": 20_000,
            "nodeSelector": {"matchLabels": {"row": "a"}},
            "hostWatts": {"max": 2600},
        },
        "status": {"members": candidates, "candidates": candidates},
    }


class Told(Declarations):
    """What a node is told; a test waits for a state instead of for a time."""

    def __init__(self, kube: Kube) -> None:
        self._changed = asyncio.Event()
        super().__init__(kube, NODE, "loadline-system", on_change=self._changed.set)

    async def until(self, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(5.0):
            while not done():
                self._changed.clear()
                await self._changed.wait()

    @property
    def addresses(self) -> list[str]:
        return [one.address for one in self.candidates("row")]


class StandIn(Kube):
    """An API server with one domain and its nodes, that counts what it is asked for."""

    def __init__(self) -> None:
        self.asked = Counter[str]()
        self.capacities = {node: capacity(node) for node in (NODE, "node-1")}
        self._events = asyncio.Queue[Event]()

    async def get(self, path: str) -> Object:
        self.asked["get NodeCapacity"] += path.startswith(NODE_CAPACITIES.path())
        name = path.rpartition("/")[2]
        if path == NODE_CAPACITIES.path(name):
            return self.capacities[name]
        return {"metadata": {"name": name, "labels": {"row": "a"}}}

    async def list(self, path: str, *, labels: str = "", fields: str = "") -> Listing:
        self.asked["list NodeCapacities"] += path == NODE_CAPACITIES.path()
        items: dict[str, list[Any]] = {
            POWER_DOMAINS.path(): [domain([NODE, "node-1"])],
            NODE_CAPACITIES.path(): list(self.capacities.values()),
        }
        return Listing("1", items.get(path, []))

    async def watch(
        self, path: str, version: str, *, labels: str = "", fields: str = ""
    ) -> AsyncGenerator[Event, None]:
        while path == NODE_CAPACITIES.path():
            yield await self._events.get()
        await asyncio.Event().wait()

    def show(self, thing: Object) -> None:
        self._events.put_nowait(Event("MODIFIED", thing))


@pytest.fixture
def kube() -> StandIn:
    return StandIn()


@pytest.fixture
async def told(kube: StandIn) -> AsyncIterator[Told]:
    made = Told(kube)
    made.lead()
    running = asyncio.create_task(made.run())
    await made.until(lambda: made._capacities.listed and len(made._memberships.peers) == 2)
    yield made
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_coordinator_that_looks_again_for_certificates_asks_for_nothing(
    kube: StandIn, told: Told
) -> None:
    before = dict(kube.asked)
    for _ in range(100):
        await told.relist()
    assert dict(kube.asked) == before


async def test_a_new_member_is_known_to_its_coordinator_by_the_watch_alone(kube: StandIn, told: Told) -> None:
    before = dict(kube.asked)
    kube.show(capacity("node-2"))
    await told.until(lambda: told.node_of(der_of(pem("node-2"))) == "node-2")
    assert dict(kube.asked) == before


async def test_a_coordinator_reaches_the_other_candidates_where_the_watch_says_that_they_are(
    kube: StandIn, told: Told
) -> None:
    kube.show(capacity("node-1", "10.0.0.2:9476"))
    await told.until(lambda: told.addresses == ["10.0.0.1:9476", "10.0.0.2:9476"])


async def test_whoever_leads_no_more_looks_again(kube: StandIn, told: Told) -> None:
    told.stop_leading()
    kube.capacities["node-1"] = capacity("node-1", "10.0.0.3:9476")
    before = kube.asked["list NodeCapacities"]
    await told.relist()
    assert told.addresses == ["10.0.0.1:9476", "10.0.0.3:9476"]
    assert kube.asked["list NodeCapacities"] == before
