"""
The plugin's entry into the engine's front-end, by which it gets the engine's client.

vLLM calls `init_state` in each API server process, once the engine is ready, of plugins of the group
`vllm.endpoint_plugins` that `VLLM_PLUGINS` names. Plugins of this group may add routes; this one adds
none, it starts the channel. Several API servers share one engine, so only the first one does that.

What is used of vLLM beside its documented interface: `parallel_config.world_size` and `_api_process_rank`,
`engine_core.core_engines` and `engine_core.call_utility_all_async`, and the client's `reset_prefix_cache`.
The client's own `collective_rpc` returns the answers of the first engine only, if there are several for data
parallelism.
"""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from loadline_vllm import presence, settings

EXPERTS = "experts"

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
            self._running = asyncio.create_task(_channel(engine_client, worker))
            self._running.add_done_callback(_ended)
        except Exception:
            logger.exception("Loadline's channel to its agent is disabled: it could not start")
            _off("failure")


def _channel(engine_client: Any, worker: settings.Worker) -> Coroutine[Any, Any, None]:
    """The channel, to be run until cancelled; RuntimeError where the ranks can't be called."""
    from loadline_api.worker_messages import WorkerPod
    from loadline_vllm import rank_settings
    from loadline_vllm.channel.agent_clients import AgentClient
    from loadline_vllm.channel.channel_metrics import ChannelMetrics
    from loadline_vllm.channel.pollers import EVERY_S, Counters, Poller
    from loadline_vllm.channel.settings_leases import Change
    from loadline_vllm.expert_layers.front_ends import ExpertsFrontEnd

    if not rank_settings.is_installed(rank_settings.worker_class()):
        raise RuntimeError(f"vLLM's workers lack {rank_settings.METHOD}: the general plugin is disabled")
    core, experts = engine_client.engine_core, ExpertsFrontEnd()

    async def call(method: str, argument: str) -> list[object]:
        # No timeout: an answer that came after it would be taken for the answer to the next call.
        engines = await core.call_utility_all_async("collective_rpc", method, None, (argument,), None)
        return [answer for engine in engines for answer in engine]

    latest: dict[str, dict[str, JsonValue]] = {}
    changes = 0

    async def apply(change: Change) -> Sequence[int | None]:
        nonlocal changes
        told = rank_settings.acknowledged(await call(rank_settings.METHOD, rank_settings.sent(change)))
        changes += 1
        latest.clear()  # counts of other settings
        section = change.sections.get(EXPERTS)
        flushed = await experts.held(engine_client, section.settings if section else {})
        return told if flushed else [None for _ in told]

    async def read() -> None:
        """Read the counts apart from the reports, which a slow engine must not delay."""
        while True:
            before = changes
            try:
                found = rank_settings.counted(await call(rank_settings.COUNTS, ""), EXPERTS)
                if found and before == changes:
                    latest[EXPERTS] = experts.counted(found)
            except Exception:
                logger.exception("what the ranks have counted could not be read")
            await asyncio.sleep(EVERY_S)

    async def counters() -> Counters:
        return dict(latest)

    poller = Poller(
        AgentClient(worker.agent, token_file=Path(worker.token_file)),
        apply,
        pod=WorkerPod(uid=worker.pod_uid, name=worker.pod_name, namespace=worker.namespace),
        service=worker.service,
        pool=worker.pool,
        ranks=engine_client.vllm_config.parallel_config.world_size * len(core.core_engines),
        metrics=ChannelMetrics(),
        counters=counters,
    )

    async def run() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(poller.run())
            tasks.create_task(read())

    return run()


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
