"""The bed's pod runner, without a bed."""

import asyncio
import ssl

from testbed.cluster.pods import PodRunner
from testbed.connection_counts import peer, uncollected


async def test_a_pod_runner_that_is_closed_in_a_handshake_leaves_no_connection() -> None:
    with uncollected():
        async with peer(mute=True) as server:
            runner = PodRunner(
                f"https://localhost:{server.port}", ssl.create_default_context(), plays=lambda node: True
            )
            await server.heard.wait()
            await asyncio.to_thread(runner.close)
            await server.ended()
