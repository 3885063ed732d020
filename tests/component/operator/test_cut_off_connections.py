"""Whatever way the operator's work ends, its sockets end with it."""

import asyncio
import ssl
import time
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest
from kubernetes.aio.client import ApiClient, Configuration

from loadline_agent.domain import self_signed_certificates
from loadline_api.journals import Component, Journal
from loadline_operator.kube.api_requests import JSON, ApiRequests
from loadline_operator.kube.list_watches import TIMEOUT
from loadline_operator.metrics import Metrics
from loadline_operator.status_servers import Server
from testbed.connection_counts import at_every_step, peer, uncollected
from testbed.doubles.rows import free_ports


@pytest.fixture(autouse=True)
def rest() -> Iterator[None]:
    with uncollected():
        yield


@pytest.fixture
def pair(tmp_path: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's context, and the file that trusts it."""
    key, certificate = self_signed_certificates.self_signed("localhost")
    (tmp_path / "pair.pem").write_bytes(key + certificate)
    (tmp_path / "ca.pem").write_bytes(certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pair.pem")
    return context, tmp_path / "ca.pem"


def requests(server: str, ca: Path) -> ApiRequests:
    configuration = Configuration()
    configuration.host, configuration.ssl_ca_cert = server, str(ca)
    return ApiRequests(ApiClient(configuration=configuration), Metrics())


@pytest.mark.parametrize("watches", [False, True])
async def test_a_request_that_is_cancelled_at_any_step(
    pair: tuple[ssl.SSLContext, Path], watches: bool
) -> None:
    context, ca = pair
    async with peer(context, streams=watches) as server:

        async def once() -> None:
            made = requests(f"https://localhost:{server.port}", ca)
            try:
                if not watches:
                    assert await made.send("get", "GET", "/x") == {}
                    return
                async with aclosing(made.lines("/x", query={}, accept=JSON, timeout=TIMEOUT)) as events:
                    assert (await anext(events))["type"] == "ADDED"
            finally:
                await made.close()

        assert await at_every_step(once, server.ended) > 10


async def test_a_port_that_is_opened_until_any_step() -> None:
    (port,) = free_ports(1)

    async def probe() -> str:
        return ""

    async def once() -> None:
        server = Server(
            Metrics(), Journal(Component.OPERATOR, wall=time.time), probe=probe, clock=lambda: 0.0
        )
        await server.start(port)
        await server.stop()

    async def shut() -> None:
        with pytest.raises(OSError, match="Connect call failed"):
            await asyncio.open_connection("127.0.0.1", port)

    assert await at_every_step(once, shut) > 1
