"""
What vLLM is told of retention: the backend, the spec with its manager, and whether this engine can fold at
all.

Whether it can is decided in the workers, before the KV memory is made. There the layers get a spec that
folds, or vLLM's own, and by that the scheduler knows: it gives requests a budget only if all layers can fold.
So what is wrong with an engine can make it serve without bounds, but never with wrong tokens.
"""

import logging
from pathlib import Path
from typing import Any

from loadline_policies.errors import InvalidInput
from loadline_vllm import settings
from loadline_vllm.retention import gates
from loadline_vllm.retention.obstacles import Obstacle, obstacle, refuse_if_asked
from loadline_vllm.retention.request_budgets import EngineRetention

logger = logging.getLogger("vllm.loadline")


def register() -> None:
    """Make the backend, the spec and its manager known to vLLM, in each of its processes."""
    from vllm.platforms import current_platform
    from vllm.v1.attention.backends.registry import AttentionBackendEnum, register_backend
    from vllm.v1.kv_cache_interface import FullAttentionSpec
    from vllm.v1.kv_cache_spec_registry import KVCacheSpecRegistry

    from loadline_vllm.retention.specs import RetentionManager, RetentionSpec

    if current_platform.is_cpu():
        register_backend(
            AttentionBackendEnum.CPU_ATTN, "loadline_vllm.retention.cpu_backend.RetentionBackend"
        )
    # vLLM registers its own specs only into an empty registry, so they have to be there first.
    KVCacheSpecRegistry._ensure_registered()
    KVCacheSpecRegistry.register(RetentionSpec, RetentionManager, uniform_type_base_spec=FullAttentionSpec)


def engine_retention(vllm_config: Any) -> EngineRetention | None:
    """What is the same for all requests of this engine; None if it can't bound any, and serves all the same.

    Raises CannotBound if it shall not.
    """
    reason: Obstacle | None = None
    fix = ""
    try:
        found = settings.read()
        if found.retention == "off" or not found.plugin:
            return None
        reason = obstacle(vllm_config)
        if reason is None:
            return of_settings(found, vllm_config)
        logger.error("no request's KV memory is bounded in this worker: %s", reason)
    except InvalidInput as error:
        reason, fix = Obstacle.SETTINGS, str(error)
        logger.error("no request's KV memory is bounded: %s", error)
    except Exception:
        reason = Obstacle.FAILURE
        logger.exception("no request's KV memory is bounded: Loadline's retention could not start")
    refuse_if_asked(reason, fix=fix)
    return None


def of_settings(found: settings.Settings, vllm_config: Any) -> EngineRetention:
    """The engine's part of the settings; InvalidInput names what doesn't fit its blocks or its model.

    If requests are only observed, they keep all of their tokens, so the pool has to be made for that.
    """
    engine = EngineRetention(
        policy=found.retention_policy,
        buffer_tokens=found.retention_buffer_tokens,
        block_tokens=vllm_config.cache_config.block_size,
        sink_tokens=found.retention_sink_tokens,
        recent_tokens=found.retention_recent_tokens,
        most_tokens=found.retention_most_tokens if found.retention == "enforce" else None,
        gates=_gates(found, vllm_config) if found.retention_policy == "trimkv" else None,
        engine_name=str(vllm_config.instance_id),
    )
    for tokens in (found.retention_most_tokens, found.retention_budget_tokens):
        if tokens is not None:
            engine.budget(tokens)
    return engine


def _gates(found: settings.Settings, vllm_config: Any) -> str:
    """The file of gates, which is this model's."""
    if found.retention_gates is None:
        fix = "set LOADLINE_RETENTION_GATES to a file of `loadline kv train-gates`"
        raise InvalidInput("LOADLINE_RETENTION_GATES", None, fix=fix)
    gates.check(Path(found.retention_gates), fingerprint=model_fingerprint(vllm_config))
    return found.retention_gates


def model_fingerprint(vllm_config: Any) -> str:
    """The fingerprint of the model that an engine serves, in a directory or in the hub's cache."""
    model = vllm_config.model_config
    directory = Path(model.model)
    if not directory.is_dir():
        from huggingface_hub import snapshot_download

        directory = Path(snapshot_download(model.model, revision=model.revision, local_files_only=True))
    return gates.fingerprint_of(directory)
