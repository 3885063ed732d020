"""
What one rank of an engine holds: the settings that the channel sent last.

vLLM's front-end calls a method of the worker in each rank's process by name, with one string, between two
steps. `install` adds this method to vLLM's class of all workers. The method never raises: vLLM's executor
reads one answer from each rank, and after an exception in one of them the answers of the others would stay
in its queues. So a rank that can't take a change answers so.
"""

import json
import logging
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final

from loadline_vllm.channel.settings_leases import Change

METHOD: Final = "loadline_hold"
"""The method's name in vLLM's worker class."""

HELD: Final = "loadline_held"
"""The worker's attribute with the sections that it holds, by loop, as JSON gives them."""

logger = logging.getLogger("vllm.loadline")


def worker_class() -> type:
    """The class of which all of vLLM's workers are; vLLM has to be there."""
    found: type = import_module("vllm.v1.worker.worker_base").WorkerBase
    return found


def install(worker_class: type) -> None:
    """Add the method to vLLM's worker class; ValueError if the class has another one of that name."""
    if getattr(worker_class, METHOD, hold) is not hold:
        raise ValueError(f"{worker_class} already has a method {METHOD} that isn't Loadline's")
    setattr(worker_class, METHOD, hold)


def is_installed(worker_class: type) -> bool:
    """Whether the class has the method; without it the ranks must not be called."""
    return getattr(worker_class, METHOD, None) is hold


def hold(worker: Any, change: str) -> str:
    """Hold a change from the next step on; the answer is the generation held, null if it wasn't taken."""
    try:
        told = json.loads(change)
        setattr(worker, HELD, told["sections"])
        return json.dumps({"generation": int(told["generation"])})
    except Exception:
        logger.exception("this rank can't take Loadline's settings")
        return json.dumps({"generation": None})


def sent(change: Change) -> str:
    """A change as the method reads it."""
    sections = {loop: section.model_dump() for loop, section in change.sections.items()}
    return json.dumps({"generation": change.generation, "sections": sections})


def acknowledged(answers: Sequence[object]) -> list[int | None]:
    """The generation that each rank holds, by its answer; None for an answer that says nothing."""
    return [_generation(answer) for answer in answers]


def _generation(answer: object) -> int | None:
    try:
        generation = json.loads(answer)["generation"] if isinstance(answer, str) else None
    except (ValueError, KeyError, TypeError):
        return None
    return generation if isinstance(generation, int) else None
