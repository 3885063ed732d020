"""Whom a node may report to, as a small API server tells it over time."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from loadline_agent.domain.self_signed_certificates import self_signed
from loadline_agent.kube.clients import Kube
from loadline_agent.kube.credentials import Credentials
from loadline_agent.kube.declarations import Declarations
from loadline_agent.kube.gone_domains import APART_S
from loadline_api.names import NODE_CAPACITIES, POWER_DOMAINS

NODE = "node-02"


class Server:
    """One node, whose labels move, PowerDomains and the NodeCapacities of two agents in each."""

    def __init__(self) -> None:
        self.url = ""
        self.labels = {"row": "a"}
        self.candidates = {"row-a": ["node-00", "node-01"], "row-b": ["node-10", "node-11"]}
        self.mode = "Observe"
        self.asked: list[str] = []
        self.refuses: int | None = None
        self.shows: dict[str, str] = {}
        self._pems: dict[str, str] = {}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        if "watch" in request.query:
            await asyncio.sleep(0.05)
            return web.json_response({"type": "ERROR", "object": {"code": 410}})  # list again
        if path == f"/api/v1/nodes/{NODE}":
            return web.json_response({"metadata": {"name": NODE, "labels": self.labels}})
        if path == POWER_DOMAINS.path():
            return web.json_response({"metadata": {"resourceVersion": "1"}, "items": self._domains()})
        name = path.rpartition("/")[2]
        if path == POWER_DOMAINS.path(name):
            return self._one_domain(name)
        assert path == NODE_CAPACITIES.path(name)
        return web.json_response(self._capacity(name))

    def _one_domain(self, name: str) -> web.StreamResponse:
        self.asked.append(name)
        found = [one for one in self._domains() if one["metadata"]["name"] == name]
        status = self.refuses or (200 if found else 404)
        return web.json_response(found[0] if status == 200 else {"code": status}, status=status)

    def _domains(self) -> list[dict[str, Any]]:
        return [
            {
                "metadata": {"name": name, "uid": name},
                "spec": {
                    "budgetWatts": 20_000,
                    "mode": self.mode,
                    "nodeSelector": {"matchLabels": {"row": name[-1]}},
                    "hostWatts": {"max": 2600},
                },
                "status": {"members": candidates, "candidates": candidates},
            }
            for name, candidates in self.candidates.items()
        ]

    def _capacity(self, name: str) -> dict[str, Any]:
        shown = self.shows.get(name, name)
        pem = self._pems.setdefault(shown, self_signed(shown)[1].decode())
        return {"metadata": {"name": name}, "spec": {"certificate": pem, "address": "10.0.0.1:9476"}}


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    app = web.Application()
    app.router.add_route("GET", "/{path:.*}", made.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


class Told(Declarations):
    """What a node is told; a test waits for a state instead of for a time."""

    def __init__(self, kube: Kube) -> None:
        self._changed = asyncio.Event()
        self.now = 1000.0
        super().__init__(kube, NODE, "loadline-system", on_change=self._changed.set, clock=lambda: self.now)

    @property
    def gone(self) -> str | None:
        home = self.home()
        return home.gone if home is not None else None

    async def look(self, *, after_s: float) -> None:
        """Look at everything once more, so many seconds later."""
        self.now += after_s
        await self.relist()

    def leaders(self, domain: str) -> list[str]:
        return [peer.node for peer in self.candidates(domain)]

    async def until(self, domain: str, leaders: list[str]) -> None:
        async with asyncio.timeout(5.0):
            while self.leaders(domain) != leaders:
                self._changed.clear()
                await self._changed.wait()


@pytest.fixture
async def told(server: Server) -> AsyncIterator[Told]:
    kube = Kube(Credentials(server=server.url, token="secret"), timeout_s=2.0, quiet_s=0.5)
    made = Told(kube)
    running = asyncio.create_task(made.run())
    yield made
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await kube.close()


async def moved(server: Server, told: Told, labels: dict[str, str]) -> None:
    """The node's labels change, and the agent has looked."""
    before = told.home()
    server.labels = labels
    await told.relist()
    assert told.home() != before


async def test_a_node_knows_who_may_lead_its_home(told: Told) -> None:
    await told.until("row-a", ["node-00", "node-01"])
    assert told.leaders("row-c") == []


async def test_a_candidate_with_another_nodes_certificate_keeps_nobody_from_the_others(
    server: Server, told: Told
) -> None:
    server.shows["node-00"] = "node-01"
    await told.until("row-a", ["node-01"])
    assert list(told.certificates.values()) == ["node-01"]
    await told.relist()
    assert "node-00: certificate is" in " ".join(told.problems)
    del server.shows["node-00"]
    await told.relist()
    assert told.leaders("row-a") == ["node-00", "node-01"]
    assert told.problems == ()


async def test_a_candidate_that_turns_to_another_nodes_certificate_keeps_its_last_good_one(
    server: Server, told: Told
) -> None:
    await told.until("row-a", ["node-00", "node-01"])
    before = told.certificates
    server.shows["node-00"] = "node-01"
    await told.relist()
    assert told.certificates == before
    await told._memberships.look()
    assert told.problems != (), "whether or not it is looked at again"


async def test_a_node_whose_label_is_gone_still_reaches_whom_it_left(server: Server, told: Told) -> None:
    await told.until("row-a", ["node-00", "node-01"])
    await moved(server, told, {})
    assert told.leaders("row-a") == ["node-00", "node-01"]
    await moved(server, told, {"row": "b"})
    await told.until("row-b", ["node-10", "node-11"])
    assert told.leaders("row-a") == ["node-00", "node-01"]


@pytest.mark.parametrize("labels", [{}, {"row": "b"}], ids=["nobody selects it", "another selects it"])
async def test_a_restarted_node_reaches_whom_its_record_names(
    server: Server, told: Told, labels: dict[str, str]
) -> None:
    """It reported nowhere, was silent in the row that it had left, and at its safe limits for ever."""
    server.labels = labels
    told.keep(lambda: "row-a")
    await told.until("row-a", ["node-00", "node-01"])
    await told.until("row-b", ["node-10", "node-11"] if labels else [])


async def test_a_domain_that_was_left_may_get_another_leader(server: Server, told: Told) -> None:
    await told.until("row-a", ["node-00", "node-01"])
    await moved(server, told, {})
    server.candidates["row-a"] = ["node-03"]
    await told.until("row-a", ["node-03"])


@pytest.fixture
async def orphaned(server: Server, told: Told) -> Told:
    """A node that is armed for row-a, which was deleted; its labels are row-b's now."""
    await told.until("row-a", ["node-00", "node-01"])
    told.keep(lambda: "row-a")
    del server.candidates["row-a"]
    server.mode = "Enforce"
    await told.until("row-a", [])
    await moved(server, told, {"row": "b"})
    return told


async def test_a_domain_is_gone_that_was_not_found_twice_half_a_minute_apart(
    server: Server, orphaned: Told
) -> None:
    assert orphaned.gone is None
    await orphaned.look(after_s=APART_S - 1.0)
    assert orphaned.gone is None
    await orphaned.look(after_s=1.0)
    home = orphaned.home()
    assert home is not None
    assert (home.gone, home.domain, home.enforced) == ("row-a", "row-b", True)
    assert set(server.asked) == {"row-a"}


async def test_a_domain_that_cannot_be_asked_for_is_not_gone(server: Server, orphaned: Told) -> None:
    for status in (500, 403, 429):
        server.refuses = status
        await orphaned.look(after_s=APART_S)
        assert orphaned.gone is None
    server.refuses = None
    await orphaned.look(after_s=APART_S)
    assert orphaned.gone is None, "what was found before counts no more"
    await orphaned.look(after_s=APART_S)
    assert orphaned.gone == "row-a"


async def test_a_domain_that_is_only_out_of_sight_is_not_gone(server: Server, told: Told) -> None:
    await told.until("row-a", ["node-00", "node-01"])
    told.keep(lambda: "row-b")
    del server.candidates["row-b"]
    await told.until("row-b", [])
    server.candidates["row-b"] = []
    for _ in range(3):
        await told.look(after_s=APART_S)
        assert told.gone is None


async def test_a_domain_that_is_there_again_is_not_gone_any_more(server: Server, orphaned: Told) -> None:
    await orphaned.look(after_s=APART_S)
    assert orphaned.gone == "row-a"
    server.candidates["row-a"] = ["node-03"]
    await orphaned.until("row-a", ["node-03"])
    assert orphaned.gone is None


async def test_what_is_gone_is_not_remembered_over_a_restart(orphaned: Told) -> None:
    await orphaned.look(after_s=APART_S)
    assert orphaned.gone == "row-a"
    remembered = orphaned._checkpoint.home
    assert remembered is not None
    assert (remembered.domain, remembered.gone) == ("row-b", None)
