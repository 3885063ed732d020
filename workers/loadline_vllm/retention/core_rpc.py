"""
What one engine core answers of retention: its scheduler takes a budget, and gives its counts as plain values.

vLLM calls a core between two steps, so a change never falls into a step. A core whose scheduler isn't the
plugin's takes every change, since it has nothing to change, and answers why it bounds nothing.
"""

import logging
from collections.abc import Mapping
from typing import Any, Final

from pydantic import JsonValue

from loadline_api.kv_retention_settings import RetentionSettings
from loadline_policies.errors import InvalidInput
from loadline_vllm import settings
from loadline_vllm.retention import scheduler_counts

COUNTS: Final = "counts"

logger = logging.getLogger("vllm.loadline")


def hold(core: Any, section: Mapping[str, JsonValue]) -> dict[str, str]:
    """Take the section of a change. None means as at the start of the engine, and so does one that can't be
    read.

    It is taken in any case: refusing it would undo the settings of other loops in the same change.
    """
    try:
        asked = RetentionSettings.read(section)
    except InvalidInput as error:
        logger.error("requests keep as many tokens as at the start of the engine: %s", error)
        asked = None
    hold_retention = getattr(core.scheduler, "hold_retention", None)
    if hold_retention is not None:
        hold_retention(asked)
    return {}


def counts(core: Any) -> dict[str, Any]:
    """What was counted since the engine started, but for folds, which ranks count."""
    return {COUNTS: scheduler_counts.of(core.scheduler, settings.read()).model_dump(mode="json")}
