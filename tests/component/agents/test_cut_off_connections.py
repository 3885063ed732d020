"""Whatever way work ends, its connections end with it: the other side hears of it at once."""

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from loadline_agent.domain import self_signed_certificates
from loadline_agent.kube.clients import Kube
from loadline_agent.kube.credentials import Credentials
from loadline_agent.workloads import engine_scrapers, pod_resources
from loadline_agent.workloads.engine_scrapers import EngineScraper, ScrapedEngine
from loadline_agent.workloads.objectives import Objectives
from loadline_api.api_errors import Unavailable
from testbed.connection_counts import Peer as Server
from testbed.connection_counts import at_every_step, peer, uncollected

PATH = "/api/v1/things"


@pytest.fixture(autouse=True)
def rest() -> Iterator[None]:
    with uncollected():
        yield


@pytest.fixture
def pair(tmp_path: Path) -> tuple[ssl.SSLContext, str]:
    """A server's context, and the PEM that trusts it."""
    key, certificate = self_signed_certificates.self_signed("localhost")
    (tmp_path / "pair.pem").write_bytes(key + certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pair.pem")
    return context, certificate.decode()


def client(port: int, ca_pem: str, timeout_s: float = 5.0) -> Kube:
    server = f"https://localhost:{port}" if ca_pem else f"http://127.0.0.1:{port}"
    return Kube(Credentials(server=server, ca_pem=ca_pem), timeout_s=timeout_s)


@pytest.mark.parametrize("tls", [False, True])
async def test_a_request_that_is_cancelled_at_any_step(pair: tuple[ssl.SSLContext, str], tls: bool) -> None:
    context, ca_pem = pair if tls else (None, "")
    async with peer(context) as server:

        async def once() -> None:
            kube = client(server.port, ca_pem)
            try:
                assert await kube.get(PATH) == {}
            finally:
                await kube.close()

        assert await at_every_step(once, server.ended) > 10


@pytest.mark.parametrize("tls", [False, True])
async def test_a_watch_that_is_cancelled_at_any_step(pair: tuple[ssl.SSLContext, str], tls: bool) -> None:
    context, ca_pem = pair if tls else (None, "")
    async with peer(context, streams=True) as server:

        async def once() -> None:
            kube = client(server.port, ca_pem)
            try:
                async with aclosing(kube.watch(PATH, "1")) as changes:
                    assert [(await anext(changes)).type for _ in range(2)] == ["BOOKMARK", "ADDED"]
            finally:
                await kube.close()

        assert await at_every_step(once, server.ended) > 10


async def test_a_request_whose_time_is_over_in_the_handshake(pair: tuple[ssl.SSLContext, str]) -> None:
    async with peer(mute=True) as server:
        kube = client(server.port, pair[1], timeout_s=0.05)
        with pytest.raises(Unavailable):
            await kube.get(PATH)
        with pytest.raises(Unavailable):
            async with aclosing(kube.watch(PATH, "1")) as changes:
                await anext(changes)
        await server.ended()
        assert server.came == 2
        await kube.close()


async def test_a_client_that_is_closed_while_it_connects(pair: tuple[ssl.SSLContext, str]) -> None:
    async with peer(pair[0]) as server:
        for steps in range(40):
            kube = client(server.port, pair[1])
            asked = asyncio.create_task(kube.get(PATH))
            for _ in range(steps):
                await asyncio.sleep(0)
            await kube.close()
            await asyncio.gather(asked, return_exceptions=True)
            await server.ended()


async def test_engines_that_are_asked_until_any_step() -> None:
    async with peer() as server:
        url = f"http://127.0.0.1:{server.port}/metrics"
        engine = ScrapedEngine(pod="a/b", service="a/s", pool="", url=url, objectives=Objectives())

        async def once() -> None:
            asked = EngineScraper(lambda: 0.0, lambda outcome: None)
            asked.follow([engine])
            async with engine_scrapers.sessions() as session:
                await asked.round(session)

        assert await at_every_step(once, server.ended) > 10


async def test_a_kubelet_that_never_answers_and_is_asked_until_any_step(tmp_path: Path) -> None:
    server = Server(mute=True)
    async with await asyncio.start_unix_server(server.serve, tmp_path / "mute.sock"):

        async def once() -> None:
            await pod_resources.ask(tmp_path / "mute.sock")

        await at_every_step(once, server.ended, most=60)
        assert server.came > 10


async def test_a_kubelet_whose_time_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pod_resources, "ANSWER_S", 0.05)
    server = Server(mute=True)
    async with await asyncio.start_unix_server(server.serve, tmp_path / "mute.sock"):
        with pytest.raises(pod_resources.Unread):
            await pod_resources.ask(tmp_path / "mute.sock")
        await server.ended()
