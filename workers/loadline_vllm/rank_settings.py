"""
What one rank of an engine holds: the settings that the channel sent last; and what it has counted.

vLLM's front-end calls methods of the worker in each rank's process by name, with one string, between two
steps. `install` adds them to vLLM's class of all workers. They never raise: vLLM's executor reads one answer
from each rank, and after an exception in one of them the answers of the others would stay in its queues. So
a rank that can't take a change answers so.

A loop that acts in this process is one of `LOOPS`. It gets its section of each change, or none.
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
"""The method's name in vLLM's worker class."""

COUNTS: Final = "loadline_counts"
"""The name of the method that gives what the loops counted."""

HELD: Final = "loadline_held"
"""The worker's attribute with the sections that it holds, by loop, as JSON gives them."""

logger = logging.getLogger("vllm.loadline")


class Loop(NamedTuple):
    """What a loop does in a rank: it holds settings, none being its no-op, and gives counts as plain values.

    `hold` raises before it changes anything, or not at all. Its answer has what must be equal on all ranks
    that have it; where two differ, no rank has taken the change. `counts` gets vLLM's worker.
    """

    hold: Callable[[Mapping[str, JsonValue]], Mapping[str, str]]
    counts: Callable[[Any], dict[str, Any]]


LOOPS: Final[dict[str, Loop]] = {}
"""The loops that act in this process, by name."""


def worker_class() -> type:
    """The class of which all of vLLM's workers are; vLLM has to be there."""
    found: type = import_module("vllm.v1.worker.worker_base").WorkerBase
    return found


def install(worker_class: type) -> None:
    """Add the methods to vLLM's worker class; ValueError if the class has another one of such a name."""
    for name, method in _methods().items():
        if getattr(worker_class, name, method) is not method:
            raise ValueError(f"{worker_class} already has a method {name} that isn't Loadline's")
    for name, method in _methods().items():
        setattr(worker_class, name, method)


def _methods() -> dict[str, Callable[[Any, str], str]]:
    return {METHOD: hold, COUNTS: counts}


def is_installed(worker_class: type) -> bool:
    """Whether the class has the methods; without them the ranks must not be called."""
    return all(getattr(worker_class, name, None) is method for name, method in _methods().items())


def hold(worker: Any, change: str) -> str:
    """Hold a change from the next step on; the answer is the generation held, null if it wasn't taken."""
    try:
        told = json.loads(change)
        generation, sections = int(told["generation"]), told["sections"]
        shared: dict[str, str] = {}
        for name, loop in LOOPS.items():
            held = loop.hold(sections[name]["settings"] if name in sections else {})
            shared |= {f"{name}/{key}": value for key, value in held.items()}
        setattr(worker, HELD, sections)
        return json.dumps({"generation": generation, "shared": shared})
    except Exception:
        logger.exception("this rank can't take Loadline's settings")
        return json.dumps({"generation": None, "shared": {}})


def counts(worker: Any, _: str) -> str:
    """What each loop of this rank has counted, as JSON; of one that fails there is nothing."""
    found = {}
    for name, loop in LOOPS.items():
        try:
            found[name] = json.dumps(loop.counts(worker))
        except Exception:
            logger.exception("this rank can't give the counts of the loop %s", name)
    return json.dumps(found)


def counted(answers: Sequence[object], loop: str) -> list[dict[str, Any]]:
    """What the ranks counted for a loop, by their answers; a rank without it isn't among them."""
    found = [json.loads(answer) for answer in answers if isinstance(answer, str)]
    return [json.loads(one[loop]) for one in found if loop in one]


def sent(change: Change) -> str:
    """A change as the method reads it."""
    sections = {loop: section.model_dump() for loop, section in change.sections.items()}
    return json.dumps({"generation": change.generation, "sections": sections})


def acknowledged(answers: Sequence[object]) -> list[int | None]:
    """The generation that each rank holds, by its answer; None for an answer that says nothing.

    Where ranks differ in what must be equal, none counts as holding anything.
    """
    read = [_read(answer) for answer in answers]
    shared: dict[str, str] = {}
    for answer in read:
        for key, value in answer.shared.items():
            if shared.setdefault(key, value) != value:
                logger.error("ranks differ in %s, which must be equal on them", key)
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
