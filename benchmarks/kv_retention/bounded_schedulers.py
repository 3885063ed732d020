"""
What a scheduler without an engine needs for its requests to have budgets: the plugin's settings in the
process, its manager known to vLLM, and a group of layers that fold.
"""

import os
from dataclasses import dataclass

from loadline_vllm.retention import registrations
from loadline_vllm.retention.request_budgets import EngineRetention
from loadline_vllm.retention.specs import RetentionSpec
from testbed.engines.schedulers import attention


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Tokens that each request keeps, tokens of its buffer, and the most tokens of a step."""

    kept_tokens: int
    buffer_tokens: int
    block_tokens: int
    step_tokens: int


def variables(bounds: Bounds) -> dict[str, str]:
    """Of the process in which a scheduler is built."""
    return {
        "LOADLINE_RETENTION": "enforce",
        "LOADLINE_ADMISSION": "off",
        "LOADLINE_RETENTION_BUDGET_TOKENS": str(bounds.kept_tokens),
        "LOADLINE_RETENTION_BUFFER_TOKENS": str(bounds.buffer_tokens),
        "LOADLINE_RETENTION_PROTECT_TOKENS": "0",
    }


def group(bounds: Bounds) -> RetentionSpec:
    """The layers of a scheduler that is built in this process from now on."""
    os.environ.update(variables(bounds))
    registrations.register()
    return RetentionSpec.of(attention(bounds.block_tokens), engine(bounds), chunk_tokens=bounds.step_tokens)


def engine(bounds: Bounds) -> EngineRetention:
    """What is the same for all requests, for the scheduler and for ranks."""
    return EngineRetention(
        policy="key-norm",
        buffer_tokens=bounds.buffer_tokens,
        block_tokens=bounds.block_tokens,
        engine_name="benchmark",
    )
