"""An engine that can't fold says why; one whose pool is for bounded requests alone doesn't start then."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from vllm.v1.core.sched.async_scheduler import AsyncScheduler

from loadline_vllm.retention import obstacles, registrations
from loadline_vllm.retention.obstacles import CannotBound, Obstacle
from loadline_vllm.retention.request_budgets import EngineRetention
from loadline_vllm.retention.scheduler_budgets import SchedulerBudgets
from loadline_vllm.retention.schedulers import _check_pool
from loadline_vllm.retention.specs import RetentionSpec
from loadline_vllm.schedulers import LoadlineScheduler
from loadline_vllm.settings import Settings


def config(**changes: Any) -> Any:
    """What is read of vLLM's configuration, of an engine that can fold."""
    values = {
        "scheduler_cls": LoadlineScheduler,
        "use_v2_model_runner": False,
        "speculative_config": None,
        "kv_transfer_config": None,
        "cache_dtype": "auto",
        "block_size": 32,
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
        instance_id="e",
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
    assert obstacles.obstacle(config(**changes)) is expected


@pytest.mark.parametrize("variable", ["LOADLINE_RETENTION_BUFFER_TOKENS", "LOADLINE_RETENTION_POLICY"])
def test_settings_of_nonsense_bound_nothing_and_raise_nothing(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv("LOADLINE_RETENTION", "enforce")
    monkeypatch.setenv(variable, "nonsense")
    assert registrations.engine_retention(config()) is None


@pytest.mark.parametrize(
    ("variables", "changes", "told"),
    [
        ({}, {"speculative_config": object()}, "SpeculativeDecoding: start it without speculative decoding"),
        ({"LOADLINE_RETENTION_POLICY": "nonsense"}, {}, "Settings: LOADLINE_RETENTION_POLICY is 'nonsense'"),
        (
            {"LOADLINE_RETENTION_BUFFER_TOKENS": "48"},
            {},
            "Settings: retention.buffer_tokens is 48: set a multiple",
        ),
        (
            {"LOADLINE_RETENTION_BUDGET_TOKENS": "64"},
            {},
            "Settings: retention.kept_tokens is 64: keep twice the 36",
        ),
    ],
    ids=["option", "unreadable", "block", "room"],
)
def test_an_engine_that_must_bound_refuses_to_start(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    changes: dict[str, Any],
    told: str,
) -> None:
    monkeypatch.setattr(obstacles, "TERMINATION_MESSAGE", tmp_path / "nowhere")  # not this machine's own
    asked = {"LOADLINE_RETENTION": "enforce", "LOADLINE_RETENTION_ON_PROBE_FAILURE": "refuse"}
    for name, value in {**asked, **variables}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(CannotBound) as raised:
        registrations.engine_retention(config(**changes))
    assert told in str(raised.value)
    monkeypatch.setenv("LOADLINE_RETENTION_ON_PROBE_FAILURE", "degrade")
    assert registrations.engine_retention(config(**changes)) is None


@pytest.mark.parametrize(("mode", "most"), [("enforce", 128), ("observe", None)])
def test_a_pool_is_made_for_bounded_requests_only_if_they_will_be_bounded(
    monkeypatch: pytest.MonkeyPatch, mode: str, most: int | None
) -> None:
    monkeypatch.setenv("LOADLINE_RETENTION", mode)
    monkeypatch.setenv("LOADLINE_RETENTION_MOST_TOKENS", "128")
    engine = registrations.engine_retention(config())
    assert engine is not None
    assert engine.most_tokens == most


class Request(SimpleNamespace):
    """A request of 1,000 tokens that may produce as many."""

    def __init__(self) -> None:
        params = SimpleNamespace(extra_args=None)
        super().__init__(request_id="a", num_prompt_tokens=1000, max_tokens=1000, sampling_params=params)
        self.skip_reading_prefix_cache = False


@pytest.mark.parametrize(("mode", "bounded"), [("enforce", True), ("observe", False)])
def test_only_an_engine_that_enforces_gives_budgets(mode: Any, bounded: bool) -> None:
    retention = EngineRetention(policy="random", buffer_tokens=32, block_tokens=32, engine_name="e")
    manager: Any = SimpleNamespace(bounded={})
    found = Settings(retention=mode, retention_budget_tokens=128)
    budgets, request = SchedulerBudgets(retention, [manager], found), Request()
    budgets.give(request, longest_tokens=4096)
    assert (budgets.requests == 1) is (budgets.bounded_requests == 1) is bounded
    assert request.skip_reading_prefix_cache is bounded
    assert (request.sampling_params.extra_args is not None) is bounded


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
