"""The client of the API server and what follows it, against a small real server."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from loadline_agent.kube.clients import Kube
from loadline_agent.kube.credentials import Credentials
from loadline_agent.kube.informers import Informer, pause_s
from loadline_api.api_errors import (
    Forbidden,
    Gone,
    Invalid,
    KubeError,
    NotFound,
    Refused,
    Unavailable,
    WriteConflict,
)
from loadline_policies.errors import InvalidInput

PATH = "/api/v1/things"


def thing(name: str, color: str, version: int) -> dict[str, Any]:
    return {"metadata": {"name": name, "resourceVersion": str(version)}, "color": color}


class Server:
    """One collection: what it lists, and what each watch in turn gets to see."""

    def __init__(self) -> None:
        self.listed = [thing("a", "red", 1)]
        self.watches: asyncio.Queue[list[dict[str, Any]]] = asyncio.Queue()
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.headers: list[str | None] = []
        self.sent: list[bytes] = []
        self.status = 200
        self.refused = asyncio.Event()
        self.slow_s = 0.0
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.method, dict(request.query)))
        self.headers.append(request.headers.get("Authorization"))
        await asyncio.sleep(self.slow_s)
        if self.status != 200:
            self.refused.set()
            return web.json_response({"kind": "Status", "message": "no, because"}, status=self.status)
        if "watch" in request.query:
            return await self._watch(request)
        if request.method != "GET":
            self.sent.append(await request.read())
            return web.json_response({"echo": await request.json(), "type": request.content_type})
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": self.listed})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for event in await self.watches.get():
            await response.write(json.dumps(event, ensure_ascii=False).encode() + b"\n")
        return response

    def shows(self, *events: tuple[str, dict[str, Any]]) -> None:
        self.watches.put_nowait([{"type": type, "object": thing} for type, thing in events])


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
async def kube(server: Server) -> AsyncIterator[Kube]:
    made = Kube(Credentials(server=server.url, token="secret"), timeout_s=2.0, quiet_s=0.5)
    yield made
    await made.close()


class Colors:
    """An informer of the things' colors that waits for a state instead of for a time."""

    def __init__(self, kube: Kube) -> None:
        self.changes = 0
        self._changed = asyncio.Event()
        self.informer = Informer(kube, PATH, parse=self._parse, on_change=self._change, first_pause_s=0.01)

    async def until(self, **colors: str) -> None:
        async with asyncio.timeout(5.0):
            while self.informer.items != colors:
                self._changed.clear()
                await self._changed.wait()

    def _change(self) -> None:
        self.changes += 1
        self._changed.set()

    @staticmethod
    def _parse(thing: dict[str, Any]) -> str:
        color = str(thing["color"])
        if color == "mauve":
            raise InvalidInput("color", color, fix="use another")
        return color


@pytest.fixture
async def colors(kube: Kube) -> AsyncIterator[Colors]:
    made = Colors(kube)
    task = asyncio.create_task(made.informer.run())
    yield made
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, Invalid),
        (401, Unavailable),
        (403, Forbidden),
        (404, NotFound),
        (409, WriteConflict),
        (410, Gone),
        (405, NotFound),
        (418, Refused),
        (422, Invalid),
        (429, Unavailable),
        (500, Unavailable),
        (503, Unavailable),
    ],
)
async def test_an_error_says_what_to_do(
    server: Server, kube: Kube, status: int, error: type[KubeError]
) -> None:
    server.status = status
    with pytest.raises(error, match="no, because") as caught:
        await kube.get(f"{PATH}/a")
    assert type(caught.value) is error
    assert caught.value.status == status


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    kube = Kube(Credentials(server="http://127.0.0.1:1"))
    with pytest.raises(Unavailable, match=f"GET {PATH}: the API server can't be reached"):
        await kube.get(PATH)
    await kube.close()


async def test_a_server_that_takes_too_long_is_unavailable(server: Server) -> None:
    server.slow_s = 5.0
    kube = Kube(Credentials(server=server.url), timeout_s=0.05)
    with pytest.raises(Unavailable):
        await kube.get(PATH)
    await kube.close()


async def test_an_apply_takes_over_the_fields_of_its_manager(server: Server, kube: Kube) -> None:
    answer = await kube.apply(f"{PATH}/a", {"color": "blue"}, manager="me", subresource="status")
    assert answer == {"echo": {"color": "blue"}, "type": "application/apply-patch+yaml"}


async def test_an_apply_is_read_alike_as_yaml_and_as_json(server: Server, kube: Kube) -> None:
    body = {"message": "größe 模型 🚀 \x07 \x7f \x85 \u2028 \ufeff \uffff", "half": "\ud83d"}
    answer = await kube.apply(f"{PATH}/a", body, manager="me")
    assert "🚀".encode() in server.sent[0]
    assert yaml.safe_load(server.sent[0]) == answer["echo"] == {**body, "half": "\ufffd"}
    assert server.asked == [("PATCH", {"fieldManager": "me", "force": "true"})]


async def test_selectors_travel_with_the_list(server: Server, kube: Kube) -> None:
    listing = await kube.list(PATH, labels="app=x", fields="spec.nodeName=node-00")
    assert listing.version == "1"
    assert [item["color"] for item in listing.items] == ["red"]
    query = {"labelSelector": "app=x", "fieldSelector": "spec.nodeName=node-00"}
    assert server.asked == [("GET", query)]


async def test_a_renewed_token_is_used_at_once(server: Server, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    kube = Kube(Credentials(server=server.url, token_file=token))
    await kube.get(PATH)
    token.write_text("second\n")
    await kube.get(PATH)
    await kube.close()
    assert server.headers == ["Bearer first", "Bearer second"]


async def test_a_watch_that_falls_silent_ends(server: Server, kube: Kube) -> None:
    async with aclosing(kube.watch(PATH, "7")) as changes:
        assert [event.type async for event in changes] == ["BOOKMARK"]
    assert server.asked[0][1]["resourceVersion"] == "7"
    assert server.asked[0][1]["allowWatchBookmarks"] == "true"


async def test_a_version_that_is_too_old_is_gone(server: Server, kube: Kube) -> None:
    server.shows(("ERROR", {"code": 410, "message": "too old"}))
    async with aclosing(kube.watch(PATH, "7")) as changes:
        await anext(changes)
        with pytest.raises(Gone, match="too old"):
            await anext(changes)


async def test_changes_are_followed(server: Server, colors: Colors) -> None:
    await colors.until(a="red")
    server.shows(("ADDED", thing("b", "blue", 2)), ("MODIFIED", thing("a", "green", 3)))
    await colors.until(a="green", b="blue")
    server.shows(("DELETED", thing("b", "blue", 4)))
    await colors.until(a="green")
    watches = [query["resourceVersion"] for _, query in server.asked if "watch" in query]
    assert watches[:2] == ["1", "3"], "a watch goes on from the last version, without a new list"


async def test_a_bookmark_moves_the_version_and_nothing_else(server: Server, colors: Colors) -> None:
    await colors.until(a="red")
    server.shows(("BOOKMARK", {"metadata": {"resourceVersion": "90"}}))
    server.shows(("MODIFIED", thing("a", "green", 91)))
    await colors.until(a="green")
    assert [query["resourceVersion"] for _, query in server.asked if "watch" in query][1] == "90"
    assert colors.changes == 2


async def test_too_old_a_version_lists_again(server: Server, colors: Colors) -> None:
    await colors.until(a="red")
    server.listed = [thing("c", "white", 50)]
    server.shows(("ERROR", {"code": 410, "message": "too old"}))
    await colors.until(c="white")


async def test_an_outage_keeps_the_last_state(server: Server, colors: Colors) -> None:
    await colors.until(a="red")
    server.status = 503
    server.shows()
    await server.refused.wait()
    assert colors.informer.items == {"a": "red"}
    server.status = 200
    server.shows(("MODIFIED", thing("a", "green", 2)))
    await colors.until(a="green")
    assert colors.informer.problem is None


async def test_an_object_that_cannot_be_used_keeps_its_last_good_value(
    server: Server, colors: Colors
) -> None:
    await colors.until(a="red")
    server.shows(("MODIFIED", thing("a", "mauve", 2)), ("ADDED", thing("b", "mauve", 3)))
    server.shows(("ADDED", thing("c", "blue", 4)))
    await colors.until(a="red", c="blue")
    assert colors.informer.refused == {
        "a": "color is 'mauve': use another",
        "b": "color is 'mauve': use another",
    }
    server.shows(("MODIFIED", thing("a", "green", 5)))
    await colors.until(a="green", c="blue")
    assert set(colors.informer.refused) == {"b"}


async def test_what_parses_to_the_same_is_no_change(server: Server, colors: Colors) -> None:
    await colors.until(a="red")
    server.shows(("MODIFIED", thing("a", "red", 2)), ("ADDED", thing("b", "blue", 3)))
    await colors.until(a="red", b="blue")
    assert colors.changes == 2


def test_pauses_grow_to_a_bound() -> None:
    assert [pause_s(failures, first_s=0.5, chance=lambda: 1.0) for failures in range(7)] == [
        0.5,
        1,
        2,
        4,
        8,
        8,
        8,
    ]
    assert pause_s(10_000, first_s=0.5, chance=lambda: 0.0) == 4.0


@pytest.mark.parametrize("separator", ["\x85", "\u2028", "\u2029"])
async def test_a_line_separator_in_an_object_ends_no_watch(
    server: Server, colors: Colors, separator: str
) -> None:
    """JSON has it in a string as it is, and the event would come again with each new watch."""
    server.shows(
        ("MODIFIED", thing("a", f"dark{separator}red", 2)),
        ("ADDED", thing("b", "blue", 3)),
    )
    await colors.until(a=f"dark{separator}red", b="blue")


@pytest.mark.parametrize(
    "event",
    [
        {"type": "ADDED", "object": ["no object"]},
        {"type": "ERROR", "object": "too old"},
        {"type": "ERROR", "object": {"code": "soon"}},
        {"type": "ADDED", "object": {"metadata": None}},
        {"type": "ADDED", "object": {"metadata": "none"}},
    ],
)
async def test_an_event_that_is_none_ends_nobody(
    server: Server, colors: Colors, event: dict[str, Any]
) -> None:
    """What follows is asked again, and nothing else of the agent ends with it."""
    await colors.until(a="red")
    server.watches.put_nowait([event])
    server.shows(("ADDED", thing("b", "blue", 3)))
    await colors.until(a="red", b="blue")
