"""
Loops that parts of an engine serve, as its front-end knows them: what a change needs, and what was counted.

Settings of the experts' loop are held by the ranks, those of KV memory by the engine cores; `endpoint` sends
both every change. Counts are read every few seconds, apart from the reports that have them.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from pydantic import JsonValue

from loadline_policies.loops import Loop
from loadline_vllm import held_settings
from loadline_vllm.channel.pollers import EVERY_S
from loadline_vllm.channel.settings_leases import Change

logger = logging.getLogger("vllm.loadline")

Call = Callable[[str, str], Awaitable[list[object]]]
"""Calls a method of all parts of one kind with one string; their answers."""


async def _nothing(_change: Change) -> bool:
    """Of a loop that needs nothing in the front-end."""
    return True


@dataclass(slots=True)
class ServedLoop:
    """A loop that the engine's parts serve: its part in each change, and what they have counted.

    `call` calls these parts. `publish` takes the parts' counts, and returns the section of a report. `follow`
    does what else a change needs in the front-end, once all parts have it; a change that it can't follow
    doesn't hold.
    """

    name: Loop
    call: Call
    publish: Callable[[list[dict[str, Any]]], dict[str, JsonValue]]
    follow: Callable[[Change], Awaitable[bool]] = _nothing
    latest: dict[str, JsonValue] = field(default_factory=dict)
    _changes: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def held(self, change: Change) -> bool:
        """All parts were sent a change; whether it holds for this loop."""
        self._changes += 1
        self.latest = {}  # counts of other settings
        held = await self.follow(change)
        self._changed.set()
        return held

    async def read(self) -> None:
        """Read the counts apart from the reports, which a slow engine must not delay; soon after a change."""
        while True:
            before = self._changes
            try:
                counted = held_settings.counted(
                    await self.call(held_settings.COUNTS, self.name.value), self.name
                )
                if counted and before == self._changes:
                    self.latest = self.publish(counted)
            except Exception:
                logger.exception("what the engine has counted for the loop %s could not be read", self.name)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), EVERY_S)
            self._changed.clear()


def experts(engine_client: Any, call_ranks: Call) -> ServedLoop:
    """The experts' loop, in an engine whose layers of experts are served: its ranks hold it."""
    from loadline_vllm.expert_layers.front_ends import ExpertsFrontEnd

    front_end = ExpertsFrontEnd()

    async def follow(change: Change) -> bool:
        section = change.sections.get(Loop.EXPERTS)
        return await front_end.held(engine_client, section.settings if section else {})

    return ServedLoop(Loop.EXPERTS, call_ranks, front_end.counted, follow)


def admission(call_cores: Call) -> ServedLoop:
    """The loop of admission, in an engine that admits by prediction: its cores count."""
    from loadline_vllm.admission.front_ends import AdmissionFrontEnd

    return ServedLoop(Loop.KV, call_cores, AdmissionFrontEnd().counted)


def retention(call_cores: Call, call_ranks: Call) -> ServedLoop:
    """The loop of retention, in an engine that may bound its requests: its cores count, and so do ranks."""
    from loadline_vllm.retention.front_ends import RetentionFrontEnd

    async def call(method: str, argument: str) -> list[object]:
        return [*await call_cores(method, argument), *await call_ranks(method, argument)]

    return ServedLoop(Loop.KV_RETENTION, call, RetentionFrontEnd().counted)
