"""
What one engine core answers: its scheduler takes settings, and gives its counts as plain values.

vLLM calls a core between two steps, so a change never falls into a step. A core whose scheduler isn't the
plugin's takes every change, since it has nothing to change, and answers for what reason it counts nothing.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import JsonValue

from loadline_api.kv_settings import KvSettings
from loadline_vllm.admission.guards import ATTRIBUTE, AdmissionGuard
from loadline_vllm.admission.labels import Off


def hold(core: Any, section: Mapping[str, JsonValue]) -> dict[str, str]:
    """Take the section `kv` of a change; none means to observe. InvalidInput names a field."""
    settings = KvSettings.read(section).admission
    guard = _guard(core)
    if guard is not None:
        guard.hold(settings)
    return {}


def counts(core: Any) -> dict[str, Any]:
    """What was counted since the engine started, and why admission is off, if it is."""
    guard = _guard(core)
    return {"off": Off.OTHER_SCHEDULER} if guard is None else guard.answer()


def _guard(core: Any) -> AdmissionGuard | None:
    found = getattr(core.scheduler, ATTRIBUTE, None)
    return found if isinstance(found, AdmissionGuard) else None
