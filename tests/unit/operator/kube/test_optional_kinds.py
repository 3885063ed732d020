"""Kinds are followed while they are defined and wanted; nobody judges before it is known what is served."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

from loadline_api.api_errors import NotFound
from loadline_operator.kube.api_requests import ApiRequests
from loadline_operator.kube.kinds import CUSTOM_RESOURCES, LEADER_WORKER_SETS, POD_MONITORS, Kind, Manifest
from loadline_operator.kube.optional_kinds import OptionalKinds

DEPLOYMENTS = Kind(group="apps", version="v1", plural="deployments", kind="Deployment")


class Api:
    """An API server that serves what is defined, and lets a test define and remove kinds."""

    def __init__(self, *kinds: Kind) -> None:
        self.kinds = {CUSTOM_RESOURCES, DEPLOYMENTS, *kinds}
        self._events: asyncio.Queue[Manifest] = asyncio.Queue()

    async def define(self, kind: Kind) -> None:
        self.kinds.add(kind)
        await self._events.put({"type": "ADDED", "object": _definition(kind)})

    async def remove(self, kind: Kind) -> None:
        self.kinds.discard(kind)
        await self._events.put({"type": "DELETED", "object": _definition(kind)})

    async def send(self, verb: str, method: str, path: str, **_: Any) -> Manifest:
        kind = next((one for one in self.kinds if one.path() == path), None)
        if kind is None:
            raise NotFound("not found", 404)
        ours = [one for one in self.kinds if one not in (CUSTOM_RESOURCES, DEPLOYMENTS)]
        items = [_definition(one) for one in ours] if kind is CUSTOM_RESOURCES else []
        return {"items": items, "metadata": {"resourceVersion": "1"}}

    async def lines(self, path: str, **_: Any) -> AsyncIterator[Manifest]:
        while path == CUSTOM_RESOURCES.path():
            yield await self._events.get()
        await asyncio.Event().wait()


def _definition(kind: Kind) -> Manifest:
    return {"metadata": {"name": f"{kind.plural}.{kind.group}", "uid": "u", "resourceVersion": "2"}}


@asynccontextmanager
async def offering(api: Api) -> AsyncIterator[tuple[OptionalKinds, list[Kind]]]:
    turned: list[Kind] = []
    offers = OptionalKinds(
        cast(ApiRequests, api),
        always=(LEADER_WORKER_SETS, POD_MONITORS),
        seen=lambda kind, raw, gone: None,
        turned=turned.append,
    )
    task = asyncio.create_task(offers.run())
    try:
        yield offers, turned
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def settled(offers: OptionalKinds) -> None:
    async with asyncio.timeout(5):
        await offers.answered()


async def test_nothing_is_known_before_the_api_server_has_answered() -> None:
    async with offering(Api(LEADER_WORKER_SETS)) as (offers, _):
        assert offers.served(LEADER_WORKER_SETS) is None
        assert set(offers.silent) == {"leaderworkersets", "podmonitors"}
        await settled(offers)
        assert offers.offered == {LEADER_WORKER_SETS}
        assert offers.served(POD_MONITORS) is False


async def test_a_kind_that_comes_and_goes_is_told() -> None:
    api = Api()
    async with offering(api) as (offers, turned):
        await settled(offers)
        await api.define(POD_MONITORS)
        await _until(lambda: offers.served(POD_MONITORS) is True)
        assert turned[-1] is POD_MONITORS
        await api.remove(POD_MONITORS)
        await _until(lambda: offers.served(POD_MONITORS) is False)
        assert offers.offered == frozenset()


async def test_kinds_of_kubernetes_itself_are_followed_while_somebody_wants_them() -> None:
    async with offering(Api()) as (offers, _):
        await settled(offers)
        assert offers.served(DEPLOYMENTS) is False
        offers.want({DEPLOYMENTS})
        assert offers.served(DEPLOYMENTS) is None
        await settled(offers)
        assert offers.served(DEPLOYMENTS) is True
        offers.want(())
        assert offers.served(DEPLOYMENTS) is False


async def _until(check: Callable[[], bool]) -> None:
    for _ in range(1000):
        if check():
            return
        await asyncio.sleep(0)
    raise AssertionError("never so")
