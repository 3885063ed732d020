"""
vLLM's scheduler with a budget for each request that arrives.

A failure of the plugin's never reaches vLLM: after the first one, requests that arrive get no budget any
more. Those that have one keep it, since the workers have folded them.
"""

import logging
from typing import Any

from vllm.v1.core.sched.async_scheduler import AsyncScheduler

from loadline_api.kv_retention_settings import RetentionSettings
from loadline_vllm import settings
from loadline_vllm.retention.obstacles import Obstacle, refuse_if_asked
from loadline_vllm.retention.scheduler_budgets import SchedulerBudgets, scheduler_budgets
from loadline_vllm.retention.scheduler_counts import StepCounts
from loadline_vllm.retention.specs import RetentionSpec

logger = logging.getLogger("vllm.loadline")


class RetentionScheduler(AsyncScheduler):
    """Gives requests their budgets; all else is vLLM's. Without `LOADLINE_RETENTION` it is exactly that.

    `unbounded` is why new requests get no budget, None if they do or were never to have any.
    """

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.budgets: SchedulerBudgets | None = None
        self.unbounded: Obstacle | None = None
        self.retention_steps = StepCounts()
        try:
            found = settings.read()
            if found.plugin and found.retention != "off":
                made = scheduler_budgets(self, found)
                self.budgets = made if isinstance(made, SchedulerBudgets) else None
                self.unbounded = made if isinstance(made, Obstacle) else None
        except Exception:
            self._fail()
        if self.unbounded is not None:
            logger.error("no request's KV memory is bounded in this engine: %s", self.unbounded)
            refuse_if_asked(self.unbounded)
            _check_pool(self.kv_cache_config)

    def add_request(self, request: Any) -> None:
        is_new = request.request_id not in self.requests
        if self.budgets is not None and self.unbounded is None and is_new and not request.resumable:
            try:
                self.budgets.give(request, longest_tokens=self.max_model_len)
            except Exception:
                self._fail()
        super().add_request(request)

    def hold_retention(self, asked: RetentionSettings | None) -> None:
        """Give new requests the budget that the agent has leased; None without a lease."""
        if self.budgets is not None and self.unbounded is None:
            try:
                self.budgets.hold(asked)
            except Exception:
                self._fail()

    def make_stats(self, *args: Any, **named: Any) -> Any:
        stats = super().make_stats(*args, **named)
        if self.budgets is not None and self.unbounded is None:
            try:
                self.retention_steps.add(stats)
            except Exception:
                self._fail()
        return stats

    def _preempt_request(self, request: Any, *args: Any, **named: Any) -> None:
        self.retention_steps.preemptions += 1
        super()._preempt_request(request, *args, **named)

    def _free_blocks(self, request: Any) -> None:
        super()._free_blocks(request)
        if self.budgets is not None:
            self.budgets.forget(request.request_id)

    def _fail(self) -> None:
        self.unbounded = Obstacle.FAILURE
        logger.exception("Loadline's retention has failed: requests keep all of their tokens from now on")


def _check_pool(kv_cache_config: Any) -> None:
    """Raise RuntimeError if the pool was made for bounded requests alone; others might never fit."""
    specs = [group.kv_cache_spec for group in kv_cache_config.kv_cache_groups]
    if any(isinstance(one, RetentionSpec) and one.retention.most_tokens is not None for one in specs):
        raise RuntimeError(
            "LOADLINE_RETENTION_MOST_TOKENS is set, but no request is bounded: unset it, so that vLLM checks"
            " whether the model's whole context fits into the KV memory"
        )
