"""vLLM's scheduler with a budget for each request that arrives; for `--scheduler-cls`."""

import logging
from typing import Any

from vllm.v1.core.sched.async_scheduler import AsyncScheduler

from loadline_vllm import settings
from loadline_vllm.retention.scheduler_budgets import SchedulerBudgets, scheduler_budgets

logger = logging.getLogger("vllm.loadline")


class RetentionScheduler(AsyncScheduler):
    """Gives requests their budgets; all else is vLLM's."""

    def __init__(self, *more: Any, **named: Any) -> None:
        super().__init__(*more, **named)
        self.budgets = scheduler_budgets(self, settings.read())
        if not isinstance(self.budgets, SchedulerBudgets):
            logger.error("no request's KV memory is bounded in this engine: %s", self.budgets)

    def add_request(self, request: Any) -> None:
        new = request.request_id not in self.requests
        if isinstance(self.budgets, SchedulerBudgets) and new and not request.resumable:
            self.budgets.give(request, longest_tokens=self.max_model_len)
        super().add_request(request)

    def _free_blocks(self, request: Any) -> None:
        super()._free_blocks(request)
        if isinstance(self.budgets, SchedulerBudgets):
            self.budgets.forget(request.request_id)
