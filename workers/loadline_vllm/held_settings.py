"""
What a part of an engine holds: the settings that the channel sent last; and what it has counted.

The parts are the ranks, each with a worker, and the engine cores, each with a scheduler; there are several
cores with data parallelism. vLLM's front-end calls methods of them by name, with one string, between two
steps. `install` adds such methods to vLLM's class of all workers, and to that of all cores. They never raise:
vLLM's executor reads one answer from each rank, and after an exception in one of them the answers of the
others would stay in its queues. So a part that can't take a change answers so.

A loop that acts in the parts of a class gets its section of each change, or none.
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from pydantic import JsonValue

from loadline_vllm.channel.settings_leases import Change

METHOD: Final = "loadline_hold"
"""The name of the method that takes a change."""

COUNTS: Final = "loadline_counts"
"""The name of the method that gives what a loop counted; its string is the loop's name."""

HELD: Final = "loadline_held"
"""The part's attribute with the sections that it holds, by loop, as JSON gives them."""

logger = logging.getLogger("vllm.loadline")


class Loop(NamedTuple):
    """What a loop does in a part: it holds settings, none being its no-op, and gives counts as plain values.

    Both get vLLM's worker or core. `hold` raises before it changes anything, or not at all. Its answer has
    what must be equal on all parts that have it; where two differ, no part has taken the change.
    """

    hold: Callable[[Any, Mapping[str, JsonValue]], Mapping[str, str]]
    counts: Callable[[Any], dict[str, Any]]


RANK_LOOPS: Final[dict[str, Loop]] = {}
"""The loops that act in the ranks of this process, by name."""

CORE_LOOPS: Final[dict[str, Loop]] = {}
"""The loops that act in the engine core of this process, by name."""


def rank_class() -> type:
    """The class of which all of vLLM's workers are; vLLM has to be there."""
    found: type = import_module("vllm.v1.worker.worker_base").WorkerBase
    return found


def core_class() -> type:
    """The class of which all of vLLM's engine cores are; vLLM has to be there."""
    found: type = import_module("vllm.v1.engine.core").EngineCore
    return found


def install(of_vllm: type, loops: Mapping[str, Loop]) -> None:
    """Add the methods to a class of vLLM's; ValueError if it has another one of such a name."""

    def loadline_hold(part: Any, change: str) -> str:
        return hold(part, change, loops)

    def loadline_counts(part: Any, loop: str) -> str:
        return counts(part, loop, loops)

    methods = {METHOD: loadline_hold, COUNTS: loadline_counts}
    for name in methods:
        if hasattr(of_vllm, name) and not _is_ours(of_vllm, name):
            raise ValueError(f"{of_vllm} already has a method {name} that isn't Loadline's")
    for name, method in methods.items():
        setattr(of_vllm, name, method)


def is_installed(of_vllm: type) -> bool:
    """Whether the class has the methods; without them its objects must not be called."""
    return all(_is_ours(of_vllm, name) for name in (METHOD, COUNTS))


def _is_ours(of_vllm: type, name: str) -> bool:
    return getattr(getattr(of_vllm, name, None), "__module__", None) == __name__


def hold(part: Any, change: str, loops: Mapping[str, Loop]) -> str:
    """Hold a change from the next step on; the answer is the generation held, null if it wasn't taken."""
    try:
        told = json.loads(change)
        generation, sections = int(told["generation"]), told["sections"]
        shared: dict[str, str] = {}
        for name, loop in loops.items():
            held = loop.hold(part, sections[name]["settings"] if name in sections else {})
            shared |= {f"{name}/{key}": value for key, value in held.items()}
        setattr(part, HELD, sections)
        return json.dumps({"generation": generation, "shared": shared})
    except Exception:
        logger.exception("this part of the engine can't take Loadline's settings")
        return json.dumps({"generation": None, "shared": {}})


def counts(part: Any, name: str, loops: Mapping[str, Loop]) -> str:
    """What one loop of this part has counted, as JSON; nothing if it fails, or acts in no such part."""
    try:
        return json.dumps({name: json.dumps(loops[name].counts(part))} if name in loops else {})
    except Exception:
        logger.exception("this part of the engine can't give the counts of the loop %s", name)
        return json.dumps({})


def counted(answers: Sequence[object], loop: str) -> list[dict[str, Any]]:
    """What the parts counted for a loop, by their answers; a part without it isn't among them."""
    found = [json.loads(answer) for answer in answers if isinstance(answer, str)]
    return [json.loads(one[loop]) for one in found if loop in one]


def sent(change: Change) -> str:
    """A change as the method reads it."""
    sections = {loop: section.model_dump() for loop, section in change.sections.items()}
    return json.dumps({"generation": change.generation, "sections": sections})


def acknowledged(answers: Sequence[object]) -> list[int | None]:
    """The generation that each part holds, by its answer; None for an answer that says nothing.

    Where parts differ in what must be equal, none counts as holding anything.
    """
    read = [_read(answer) for answer in answers]
    shared: dict[str, str] = {}
    for answer in read:
        for key, value in answer.shared.items():
            if shared.setdefault(key, value) != value:
                logger.error("parts of the engine differ in %s, which must be equal in them", key)
                return [None for _ in answers]
    return [answer.generation for answer in read]


class _Answer(NamedTuple):
    generation: int | None
    shared: Mapping[str, str] = MappingProxyType({})


def _read(answer: object) -> _Answer:
    try:
        found = json.loads(answer) if isinstance(answer, str) else {}
        generation, shared = found["generation"], dict(found["shared"])
    except (ValueError, KeyError, TypeError):
        return _Answer(None)
    return _Answer(generation, shared) if isinstance(generation, int) else _Answer(None)
