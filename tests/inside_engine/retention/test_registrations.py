"""An engine that can't fold says why; one whose pool is for bounded requests alone doesn't start then."""

from types import SimpleNamespace
from typing import Any

import pytest
from vllm.v1.core.sched.async_scheduler import AsyncScheduler

from loadline_vllm.retention import registrations
from loadline_vllm.retention.registrations import Obstacle
from loadline_vllm.retention.request_budgets import EngineRetention
from loadline_vllm.retention.schedulers import _check_pool
from loadline_vllm.retention.specs import RetentionSpec
from loadline_vllm.schedulers import LoadlineScheduler


def config(**changes: Any) -> Any:
    """What is read of vLLM's configuration, of an engine that can fold."""
    values = {
        "scheduler_cls": LoadlineScheduler,
        "use_v2_model_runner": False,
        "speculative_config": None,
        "kv_transfer_config": None,
        "cache_dtype": "auto",
        "decode_context_parallel_size": 1,
        "prefill_context_parallel_size": 1,
        "pipeline_parallel_size": 1,
        "enable_dbo": False,
        **changes,
    }
    found = SimpleNamespace(**values)
    return SimpleNamespace(
        scheduler_config=SimpleNamespace(get_scheduler_cls=lambda: found.scheduler_cls),
        parallel_config=found,
        cache_config=found,
        use_v2_model_runner=found.use_v2_model_runner,
        speculative_config=found.speculative_config,
        kv_transfer_config=found.kv_transfer_config,
    )


class Derived(LoadlineScheduler):
    """A scheduler of somebody else's that builds on ours."""


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, None),
        ({"scheduler_cls": Derived}, None),
        ({"scheduler_cls": AsyncScheduler}, Obstacle.SCHEDULER),
        ({"use_v2_model_runner": True}, Obstacle.MODEL_RUNNER),
        ({"pipeline_parallel_size": 2}, Obstacle.PIPELINE_PARALLELISM),
        ({"speculative_config": object()}, Obstacle.SPECULATIVE_DECODING),
        ({"decode_context_parallel_size": 2}, Obstacle.CONTEXT_PARALLELISM),
        ({"prefill_context_parallel_size": 2}, Obstacle.CONTEXT_PARALLELISM),
        ({"kv_transfer_config": object()}, Obstacle.KV_CONNECTOR),
        ({"cache_dtype": "fp8"}, Obstacle.QUANTIZED_KV),
        ({"enable_dbo": True}, Obstacle.DUAL_BATCHES),
    ],
)
def test_what_excludes_folds_is_found(changes: dict[str, Any], expected: Obstacle | None) -> None:
    assert registrations.obstacle(config(**changes)) is expected


@pytest.mark.parametrize("variable", ["LOADLINE_RETENTION_BUFFER_TOKENS", "LOADLINE_RETENTION_POLICY"])
def test_settings_of_nonsense_bound_nothing_and_raise_nothing(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv("LOADLINE_RETENTION", "on")
    monkeypatch.setenv(variable, "nonsense")
    assert registrations.engine_retention(config()) is None


@pytest.mark.parametrize("most", [None, 64])
def test_an_engine_without_bounds_starts_only_if_its_pool_was_made_for_all(most: int | None) -> None:
    retention = EngineRetention(policy="random", buffer_tokens=32, block_tokens=32, most_tokens=most)
    spec = object.__new__(RetentionSpec)
    object.__setattr__(spec, "retention", retention)
    pool = SimpleNamespace(kv_cache_groups=[SimpleNamespace(kv_cache_spec=spec)])
    if most is None:
        _check_pool(pool)
    else:
        with pytest.raises(RuntimeError, match="unset it"):
            _check_pool(pool)
