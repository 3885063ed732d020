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
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from loadline_policies.loops import Loop
from loadline_vllm import presence, settings

if TYPE_CHECKING:
    from loadline_vllm.channel.pollers import Counters
    from loadline_vllm.channel.settings_leases import Change

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
            self._running = asyncio.create_task(_channel(engine_client, found, worker))
            self._running.add_done_callback(_ended)
        except Exception:
            logger.exception("Loadline's channel to its agent is disabled: it could not start")
            _off("failure")


def _channel(
    engine_client: Any, found: settings.Settings, worker: settings.Worker
) -> Coroutine[Any, Any, None]:
    """The channel, to be run until cancelled; RuntimeError where the ranks can't be called."""
    from loadline_api.worker_messages import WorkerPod
    from loadline_vllm import held_settings
    from loadline_vllm.channel.agent_clients import AgentClient
    from loadline_vllm.channel.channel_metrics import ChannelMetrics
    from loadline_vllm.channel.pollers import Poller, no_counters
    from loadline_vllm.channel.settings_leases import Change

    if not held_settings.is_installed(held_settings.rank_class()):
        raise RuntimeError(f"vLLM's workers lack {held_settings.METHOD}: the general plugin is disabled")
    core = engine_client.engine_core

    async def call(method: str, argument: str) -> list[object]:
        # No timeout: an answer that came after it would be taken for the answer to the next call.
        engines = await core.call_utility_all_async("collective_rpc", method, None, (argument,), None)
        return [answer for engine in engines for answer in engine]

    experts = _Experts(engine_client, call) if found.experts != "off" else None

    async def apply(change: Change) -> Sequence[int | None]:
        told = held_settings.acknowledged(await call(held_settings.METHOD, held_settings.sent(change)))
        held = experts is None or await experts.held(change)
        return told if held else [None for _ in told]

    poller = Poller(
        AgentClient(worker.agent, token_file=Path(worker.token_file)),
        apply,
        pod=WorkerPod(uid=worker.pod_uid, name=worker.pod_name, namespace=worker.namespace),
        service=worker.service,
        pool=worker.pool,
        ranks=engine_client.vllm_config.parallel_config.world_size * len(core.core_engines),
        metrics=ChannelMetrics(),
        counters=no_counters if experts is None else experts.counters,
    )

    async def run() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(poller.run())
            if experts is not None:
                tasks.create_task(experts.read())

    return run()


class _Experts:
    """The experts' part of the channel, in an engine whose layers of experts are served.

    `call` calls a method of all ranks with one string.
    """

    def __init__(self, engine_client: Any, call: Callable[[str, str], Awaitable[list[object]]]) -> None:
        from loadline_vllm.expert_layers.front_ends import ExpertsFrontEnd

        self._client, self._call, self._front_end = engine_client, call, ExpertsFrontEnd()
        self._latest: dict[str, dict[str, JsonValue]] = {}
        self._changes, self._changed = 0, asyncio.Event()

    async def held(self, change: "Change") -> bool:
        """All ranks were sent a change; whether no KV of other answers can be reused."""
        self._changes += 1
        self._latest.clear()  # counts of other settings
        section = change.sections.get(Loop.EXPERTS)
        held = await self._front_end.held(self._client, section.settings if section else {})
        self._changed.set()
        return held

    async def read(self) -> None:
        """Read the counts apart from the reports, which a slow engine must not delay; soon after a change."""
        from loadline_vllm import held_settings
        from loadline_vllm.channel.pollers import EVERY_S

        while True:
            before = self._changes
            try:
                counted = held_settings.counted(await self._call(held_settings.COUNTS, ""), Loop.EXPERTS)
                if counted and before == self._changes:
                    self._latest[Loop.EXPERTS] = self._front_end.counted(counted)
            except Exception:
                logger.exception("what the ranks have counted could not be read")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), EVERY_S)
            self._changed.clear()

    async def counters(self) -> "Counters":
        """What was read last, for a report."""
        return dict(self._latest)


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
