"""
The plugin's entry into the engine's front-end, by which it gets the engine's client.

vLLM calls `init_state` in each API server process, once the engine is ready, of plugins of the group
`vllm.endpoint_plugins` that `VLLM_PLUGINS` names. Plugins of this group may add routes; this one adds
none, it starts the channel. Several API servers share one engine, so only the first one does that.

What is used of vLLM beside its documented interface: `parallel_config.world_size` and `_api_process_rank`,
`engine_core.core_engines` and `engine_core.call_utility_all_async`. The client's own `collective_rpc` returns
the answers of the first engine only, if there are several for data parallelism.
"""

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loadline_vllm import presence, settings

logger = logging.getLogger("vllm.loadline")


class Endpoint:
    """Entry point `loadline` of `vllm.endpoint_plugins`; no method of it raises."""

    name = "loadline"
    required_tasks = None

    def __init__(self) -> None:
        self._running: asyncio.Task[None] | None = None

    def attach_router(self, app: object) -> None:
        """Add no route."""

    async def init_state(self, engine_client: Any, state: object, args: object) -> None:
        """Start the channel in the background; an engine without it is better than no engine."""
        try:
            if engine_client is None or _index(engine_client) > 0:
                return
            found = settings.read()
            worker = found.worker
            if not found.plugin or worker is None:
                _off("unset")
                return
            self._running = asyncio.create_task(_channel(engine_client, worker).run())
            self._running.add_done_callback(_ended)
        except Exception:
            logger.exception("Loadline's channel to its agent is disabled: it could not start")
            _off("failure")


def _channel(engine_client: Any, worker: settings.Worker) -> Any:
    from loadline_api.worker_messages import WorkerPod
    from loadline_vllm import rank_settings
    from loadline_vllm.channel.agent_clients import AgentClient
    from loadline_vllm.channel.channel_metrics import ChannelMetrics
    from loadline_vllm.channel.pollers import Poller
    from loadline_vllm.channel.settings_leases import Change

    if not rank_settings.is_installed(rank_settings.worker_class()):
        raise RuntimeError(f"vLLM's workers lack {rank_settings.METHOD}: the general plugin is disabled")
    core = engine_client.engine_core

    async def apply(change: Change) -> Sequence[int | None]:
        # No timeout: an answer that came after it would be taken for the answer to the next call.
        told = rank_settings.METHOD, None, (rank_settings.sent(change),), None
        engines = await core.call_utility_all_async("collective_rpc", *told)
        return rank_settings.acknowledged([answer for engine in engines for answer in engine])

    return Poller(
        AgentClient(worker.agent, token_file=Path(worker.token_file)),
        apply,
        pod=WorkerPod(uid=worker.pod_uid, name=worker.pod_name, namespace=worker.namespace),
        service=worker.service,
        pool=worker.pool,
        ranks=engine_client.vllm_config.parallel_config.world_size * len(core.core_engines),
        metrics=ChannelMetrics(),
    )


def _index(engine_client: Any) -> int:
    """Which of the engine's API servers this is."""
    return int(getattr(engine_client.vllm_config.parallel_config, "_api_process_rank", 0))


def _ended(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and task.exception() is not None:
        logger.error("Loadline's channel to its agent has ended", exc_info=task.exception())
        _off("failure")


def _off(reason: str) -> None:
    """Publish that there is no channel; the metric may be what failed, so log its failure."""
    try:
        presence.publish_channel_off(reason)
    except Exception:
        logger.exception("Loadline's plugin could not publish its metric")
