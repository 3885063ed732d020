"""
Why an engine can't bound its requests, and what becomes of it then.

By default it serves as vLLM does, and its log says why. An owner may rather have no engine than one whose
requests keep all of their tokens (`refuse`). Then it must end with the reason where a person reads it. But
vLLM's front-end ends with a traceback of its own, which only says that another process has failed. So the
reason is also written where Kubernetes looks for the last words of a container.
"""

import logging
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from loadline_api.kv_retention import REFUSAL
from loadline_vllm import settings

logger = logging.getLogger("vllm.loadline")

SCHEDULER: Final = "loadline_vllm.retention.schedulers.RetentionScheduler"

TERMINATION_MESSAGE: Final = Path("/dev/termination-log")
"""Kubernetes' default for `terminationMessagePath`."""


class Obstacle(StrEnum):
    """Why an engine can't bound its requests, as its log has it."""

    SPECULATIVE_DECODING = "SpeculativeDecoding"
    CONTEXT_PARALLELISM = "ContextParallelism"
    KV_CONNECTOR = "KVConnector"
    QUANTIZED_KV = "QuantizedKV"
    DUAL_BATCHES = "DualBatches"
    ATTENTION = "Attention"
    WORKER = "Worker"
    SCHEDULER = "Scheduler"
    MODEL_RUNNER = "ModelRunner"
    PIPELINE_PARALLELISM = "PipelineParallelism"
    SETTINGS = "Settings"
    FAILURE = "Failure"


FIXES: Final[Mapping[Obstacle, str]] = {
    Obstacle.SPECULATIVE_DECODING: "start it without speculative decoding",
    Obstacle.CONTEXT_PARALLELISM: "start it without context parallelism",
    Obstacle.KV_CONNECTOR: "start it without --kv-transfer-config",
    Obstacle.QUANTIZED_KV: "start it with --kv-cache-dtype=auto",
    Obstacle.DUAL_BATCHES: "start it without --enable-dbo",
    Obstacle.ATTENTION: "serve a model in which all layers have full attention, on a CPU without AMX kernels",
    Obstacle.WORKER: "start it with --worker-cls=loadline_vllm.retention.workers.RetentionWorker",
    Obstacle.SCHEDULER: "start it with --scheduler-cls=loadline_vllm.schedulers.LoadlineScheduler",
    Obstacle.MODEL_RUNNER: "run it on CPUs: vLLM's second model runner, which GPUs have, can't fold yet",
    Obstacle.PIPELINE_PARALLELISM: "start it without pipeline parallelism",
    Obstacle.SETTINGS: "correct the setting that the engine's log names",
    Obstacle.FAILURE: "read the error in the engine's log, and report it",
}
"""What to do about each."""


class CannotBound(RuntimeError):
    """The engine can't bound its requests, and was asked not to start then."""


def obstacle(vllm_config: Any) -> Obstacle | None:
    """What in the engine's configuration excludes folds; the layers have their own conditions."""
    parallel = vllm_config.parallel_config
    if not _is_ours(vllm_config.scheduler_config):
        return Obstacle.SCHEDULER
    if vllm_config.use_v2_model_runner:
        return Obstacle.MODEL_RUNNER
    if parallel.pipeline_parallel_size > 1:
        return Obstacle.PIPELINE_PARALLELISM
    if vllm_config.speculative_config is not None:
        return Obstacle.SPECULATIVE_DECODING
    if parallel.decode_context_parallel_size > 1 or parallel.prefill_context_parallel_size > 1:
        return Obstacle.CONTEXT_PARALLELISM
    if vllm_config.kv_transfer_config is not None:
        return Obstacle.KV_CONNECTOR
    if vllm_config.cache_config.cache_dtype not in {"auto", "bfloat16", "float16", "float32"}:
        return Obstacle.QUANTIZED_KV
    if parallel.enable_dbo:
        return Obstacle.DUAL_BATCHES
    return None


def refuse_if_asked(reason: Obstacle, *, fix: str = "") -> None:
    """Raise CannotBound if the engine shall not start without bounds; `fix` instead of the reason's own."""
    if not settings.must_bound():
        return
    text = f"{REFUSAL}{reason}: {fix or FIXES[reason]}, or set kvCache.retention.onProbeFailure to Degrade"
    _leave(text)
    raise CannotBound(text)


def _is_ours(scheduler_config: Any) -> bool:
    """Whether the engine's scheduler gives budgets, or is derived from the one that does."""
    classes = scheduler_config.get_scheduler_cls().__mro__
    return SCHEDULER in {f"{one.__module__}.{one.__qualname__}" for one in classes}


def _leave(text: str) -> None:
    """Leave the container's last words, where there is a file for them."""
    try:
        if TERMINATION_MESSAGE.is_file():
            TERMINATION_MESSAGE.write_text(text + "\n", "utf-8")
    except OSError as error:
        logger.warning("%s can't be written: %s", TERMINATION_MESSAGE, error)
