"""A door that was opened is closed again, whatever comes between."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from aiohttp import web

from loadline_agent.agent import AgentParts, NodeAgent
from loadline_agent.domain.tls_identity import Identity
from loadline_agent.hardware.node_gpus import NodeGpus
from loadline_agent.http_servers import serve
from loadline_agent.settings import Settings
from loadline_api.journals import Component, Journal
from loadline_policies.power.protocol.node_states import NodeState
from testbed.connection_counts import at_every_step, peer, uncollected
from testbed.doubles.agents import FileDeclarations, FixedOwners, RowFile
from testbed.doubles.rows import free_ports


@pytest.fixture(autouse=True)
def rest() -> Iterator[None]:
    with uncollected():
        yield


async def shut(port: int) -> None:
    """Raise unless nobody listens at the port."""
    with pytest.raises(OSError, match="Connect call failed"):
        await asyncio.open_connection("127.0.0.1", port)


async def test_a_door_that_is_cut_off_as_it_opens() -> None:
    (port,) = free_ports(1)

    async def once() -> None:
        runner, _ = await serve(web.Application(), "127.0.0.1", port=port)
        await runner.cleanup()

    assert await at_every_step(once, lambda: shut(port)) > 1


async def test_an_agent_whose_port_is_taken_leaves_no_door_open(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    (tmp_path / "row.json").write_text("{}")
    async with peer() as server:
        given = AgentParts(
            settings=Settings(
                node="member",
                state_dir=tmp_path,
                listen="127.0.0.1",
                port=server.port,
                metrics_port=port,
            ),
            identity=Identity.load_or_create(tmp_path, node="member", address="127.0.0.1:1"),
            declarations=FileDeclarations(RowFile(tmp_path / "row.json"), "member"),
            owners=FixedOwners(),
            node_gpus=cast(
                NodeGpus,
                SimpleNamespace(
                    record=SimpleNamespace(armed=False),
                    state=NodeState,
                    infos=(),
                    xids={},
                    guard_report=lambda: None,
                ),
            ),
            journal=Journal(Component.AGENT, node="member", wall=time.time),
            clock=time.monotonic,
        )
        with pytest.raises(OSError, match="address already in use"):
            await NodeAgent(given).run(asyncio.Event())
        await shut(port)
