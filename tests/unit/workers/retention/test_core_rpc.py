"""A core takes the budget of new requests, and answers what it has counted."""

from types import SimpleNamespace
from typing import Any

import pytest

from loadline_api.kv_retention_settings import RetentionSettings
from loadline_vllm.retention import core_rpc, rank_rpc


class Scheduler:
    """In the place of the plugin's: what it was sent."""

    def __init__(self) -> None:
        self.held: list[RetentionSettings | None] = []

    def hold_retention(self, asked: RetentionSettings | None) -> None:
        self.held.append(asked)


def core(scheduler: object) -> Any:
    return SimpleNamespace(scheduler=scheduler)


@pytest.mark.parametrize("kept", [None, 64])
def test_a_core_takes_its_section(kept: int | None) -> None:
    scheduler, asked = Scheduler(), RetentionSettings(kept_tokens=kept)
    assert core_rpc.hold(core(scheduler), asked.encode()) == {}
    assert scheduler.held == [asked]


@pytest.mark.parametrize("section", [{}, {"kept_tokens": 0}, {"kept_tokens": "64"}], ids=str)
def test_without_a_section_that_can_be_budgets_are_those_of_the_start(section: Any) -> None:
    """Refusing one would undo the settings of other loops."""
    scheduler = Scheduler()
    assert core_rpc.hold(core(scheduler), section) == {}
    assert scheduler.held == [None]


def test_a_section_that_can_not_be_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    core_rpc.hold(core(Scheduler()), {"kept_tokens": 0})
    assert "kv-retention.kept_tokens" in caplog.text


def test_a_core_with_another_scheduler_takes_all_and_says_why_it_bounds_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LOADLINE_RETENTION", "enforce")
    pool = SimpleNamespace(num_gpu_blocks=101, get_num_free_blocks=lambda: 40)
    scheduler = SimpleNamespace(
        kv_cache_manager=SimpleNamespace(block_pool=pool, enable_caching=False),
        vllm_config=SimpleNamespace(cache_config=SimpleNamespace(block_size=16)),
    )
    assert core_rpc.hold(core(scheduler), {"kept_tokens": 64}) == {}
    found = core_rpc.counts(core(scheduler))["counts"]
    assert (found["unbounded"], found["kept_tokens"], found["bounded"]) == ("Scheduler", None, 0)
    assert (found["pool_blocks"], found["used_blocks"], found["block_tokens"]) == (100, 60, 16)
    assert (found["has_prefix_cache"], found["prefix_queried_tokens"]) == (False, None)


@pytest.mark.parametrize(
    ("worker", "folds"),
    [
        (SimpleNamespace(), None),
        (SimpleNamespace(loadline_running=SimpleNamespace(engine=None, folds=0)), None),
        (SimpleNamespace(loadline_running=SimpleNamespace(engine=object(), folds=7)), 7),
    ],
)
def test_a_rank_counts_folds_if_it_folds(worker: object, folds: int | None) -> None:
    assert rank_rpc.hold(worker, {"kept_tokens": 64}) == {}
    assert rank_rpc.counts(worker) == {"folds": folds}
