"""
What one engine core answers: its scheduler takes settings, and gives its counts as plain values.

vLLM calls a core between two steps, so a change never falls into a step. A core whose scheduler isn't the
plugin's takes every change, since it has nothing to change, and answers for what reason it counts nothing.
"""

import logging
from collections.abc import Mapping
from typing import Any

from pydantic import JsonValue

from loadline_api.kv_settings import KvSettings
from loadline_policies.errors import InvalidInput
from loadline_policies.kv.predicted_memory import Config
from loadline_vllm.admission.guards import ATTRIBUTE, AdmissionGuard
from loadline_vllm.admission.labels import Off

logger = logging.getLogger("vllm.loadline")


def hold(core: Any, section: Mapping[str, JsonValue]) -> dict[str, str]:
    """Take the section `kv` of a change; none means to observe, and so does one that can't be read.

    It is taken in any case: refusing it would undo the settings of other loops in the same change.
    """
    try:
        settings = KvSettings.read(section).admission
    except InvalidInput as error:
        logger.error("this engine observes, since it can't read the settings of its admission: %s", error)
        settings = Config()
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
