"""
The plugin's entry into the engine's front-end, by which it gets the engine's client.

vLLM calls `init_state` in each API server process, once the engine is ready, of plugins of the group
`vllm.endpoint_plugins` that `VLLM_PLUGINS` names. Plugins of this group may add routes; this one adds
none, it starts the channel. Several API servers share one engine, so only the first one does that.

What is used of vLLM beside its documented interface: `parallel_config.world_size` and `_api_process_rank`,
`scheduler_config.scheduler_cls`, `engine_core.core_engines` and `engine_core.call_utility_all_async`, and the
client's `reset_prefix_cache`.
The client's own `collective_rpc` returns the answers of the first engine only, if there are several for data
parallelism.
"""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

from loadline_api.kv_cache import SCHEDULER
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
            _check_scheduler(engine_client, found)
            worker = found.worker
            if not found.plugin or worker is None:
                _off("unset")
                return
            self._running = asyncio.create_task(_channel(engine_client, found, worker))
            self._running.add_done_callback(_ended)
        except Exception:
            logger.exception("Loadline's channel to its agent is disabled: it could not start")
            _off("failure")


def _channel(
    engine_client: Any, found: settings.Settings, worker: settings.Worker
) -> Coroutine[Any, Any, None]:
    """The channel, to be run until cancelled; RuntimeError where parts of the engine can't be called."""
    from loadline_api.worker_messages import WorkerPod
    from loadline_vllm import held_settings, served_loops
    from loadline_vllm.channel.agent_clients import AgentClient
    from loadline_vllm.channel.channel_metrics import ChannelMetrics
    from loadline_vllm.channel.pollers import Counters, Poller
    from loadline_vllm.channel.settings_leases import Change

    called = [held_settings.rank_class(), *([held_settings.core_class()] if found.has_scheduler else [])]
    for of_vllm in called:
        if not held_settings.is_installed(of_vllm):
            raise RuntimeError(f"{of_vllm} lacks {held_settings.METHOD}: the general plugin is disabled")
    core = engine_client.engine_core

    # No call has a timeout: an answer that came after it would be taken for the answer to the next call.
    async def call_ranks(method: str, argument: str) -> list[object]:
        engines = await core.call_utility_all_async("collective_rpc", method, None, (argument,), None)
        return [answer for engine in engines for answer in engine]

    async def call_cores(method: str, argument: str) -> list[object]:
        return [*await core.call_utility_all_async(method, argument)]

    loops = [
        *([served_loops.experts(engine_client, call_ranks)] if found.experts != "off" else []),
        *([served_loops.admission(call_cores)] if found.admission != "off" else []),
        *([served_loops.retention(call_cores, call_ranks)] if found.retention != "off" else []),
    ]

    async def apply(change: Change) -> Sequence[int | None]:
        sent = held_settings.sent(change)
        told = held_settings.acknowledged(await call_ranks(held_settings.METHOD, sent))
        cores = await call_cores(held_settings.METHOD, sent) if found.has_scheduler else []
        held = [one == change.generation for one in held_settings.acknowledged(cores)]
        held += [await loop.held(change) for loop in loops]
        return told if all(held) else [None for _ in told]

    async def counters() -> Counters:
        return {loop.name: loop.latest for loop in loops if loop.latest}

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
            for loop in loops:
                tasks.create_task(loop.read())

    return run()


def _check_scheduler(engine_client: Any, found: settings.Settings) -> None:
    """Log an error if the plugin's scheduler was asked for and the engine has another one."""
    if not found.plugin or not found.has_scheduler:
        return
    scheduler = engine_client.vllm_config.scheduler_config.scheduler_cls
    name = scheduler if isinstance(scheduler, str) else _full_name(scheduler)
    if name != SCHEDULER:
        logger.error(
            "LOADLINE_ADMISSION is %s and LOADLINE_RETENTION %s, but this engine's scheduler is %s: start it"
            " with --scheduler-cls %s",
            found.admission,
            found.retention,
            "vLLM's own" if scheduler is None else name,
            SCHEDULER,
        )


def _full_name(of: object) -> str:
    """The name of a class as vLLM's options have it."""
    return f"{getattr(of, '__module__', '')}.{getattr(of, '__qualname__', '')}"


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
