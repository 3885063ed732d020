"""A scheduler for each test, in an engine that may do as much as the test says."""

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from loadline_policies.kv.predicted_memory import Config

with warnings.catch_warnings():  # torch and vLLM warn while they are imported
    warnings.simplefilter("ignore")
    from loadline_vllm.schedulers import LoadlineScheduler
    from testbed.engines.schedulers import Limits, Memory, SteppedScheduler

LIMITS = Limits(requests=32, tokens=256, context_tokens=512)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Callable[..., SteppedScheduler]:
    """Makes such a scheduler: the plugin's, unless the test names another."""

    def make(
        allowed: str = "enforce",
        policy: Config | None = None,
        *,
        blocks: int = 64,
        prefix_caching: bool = False,
        order: str = "fcfs",
        groups: Iterable[Any] = (),
        of_vllm: type[Any] = LoadlineScheduler,
    ) -> SteppedScheduler:
        monkeypatch.setenv("LOADLINE_ADMISSION", allowed)
        memory = Memory(blocks=blocks, prefix_caching=prefix_caching)
        stepped = SteppedScheduler(of_vllm, memory, LIMITS, policy=order, groups=groups)
        if policy is not None:
            stepped.vllm.loadline.hold(policy)
        return stepped

    return make
