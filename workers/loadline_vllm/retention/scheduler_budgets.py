"""
The budgets that a scheduler gives to requests when they arrive.

A request gets the budget that is in force then, and keeps it; while the engine only observes, it gets none.
One that is too short to be ever folded gets none either, so that it shares prefixes as before. A request with
a budget reads no block of another one and publishes none: folds overwrite its first blocks.
"""

import logging
from collections.abc import Sequence
from typing import Any

from loadline_api.kv_retention_settings import RetentionSettings
from loadline_policies.errors import InvalidInput
from loadline_policies.kv.budgets import Budget
from loadline_policies.kv.spans import Spans
from loadline_vllm.retention import request_budgets
from loadline_vllm.retention.obstacles import Obstacle, obstacle
from loadline_vllm.retention.request_budgets import EngineRetention, RequestRetention
from loadline_vllm.retention.specs import RetentionManager
from loadline_vllm.settings import Settings

logger = logging.getLogger("vllm.loadline")


class SchedulerBudgets:
    """Gives requests their budgets, beginning with that of the settings."""

    def __init__(
        self, engine: EngineRetention, managers: Sequence[RetentionManager], found: Settings
    ) -> None:
        self._engine, self._managers = engine, managers
        self._enforces = found.retention == "enforce"
        self._protected_prefix = found.retention_protect_tokens
        self._budget: Budget | None = None
        self._kept_at_start = found.retention_budget_tokens or found.retention_most_tokens
        self.keep(self._kept_at_start)
        self.bounded_requests = 0
        self.refused_spans = 0

    def keep(self, kept_tokens: int | None) -> None:
        """Give requests that arrive from now on this budget; InvalidInput if the engine can't."""
        most = self._engine.most_tokens
        if most is not None and (kept_tokens is None or kept_tokens > most):
            fix = f"keep at most {most} tokens: the engine was started for no larger budget"
            raise InvalidInput("retention.kept_tokens", kept_tokens, fix=fix)
        self._budget = self._engine.budget(kept_tokens) if kept_tokens is not None else None

    def hold(self, asked: RetentionSettings | None) -> None:
        """Go by these settings; as at the start of the engine without any, or if it can't go by them."""
        try:
            self.keep(asked.kept_tokens if asked is not None else self._kept_at_start)
        except InvalidInput as error:
            logger.error("requests keep as many tokens as at the start of the engine: %s", error)
            self.keep(self._kept_at_start)

    @property
    def kept_tokens(self) -> int | None:
        """What requests that arrive now keep; None for all tokens."""
        return self._budget.kept_tokens if self._budget is not None and self._enforces else None

    @property
    def most_tokens(self) -> int | None:
        """The largest budget of any request; None if requests may keep all tokens."""
        return self._engine.most_tokens

    @property
    def freed_blocks(self) -> int:
        """Blocks of folded tokens that were given back."""
        return sum(one.freed_blocks for one in self._managers)

    @property
    def saved_blocks(self) -> int:
        """Those that requests which still run would hold otherwise."""
        return sum(one.saved_blocks for one in self._managers)

    @property
    def requests(self) -> int:
        """How many requests have a budget now."""
        return len(self._managers[0].bounded)

    def bound_tokens(self, request: Any) -> int | None:
        """The most tokens that a request holds at once from now on; None if it has no budget.

        While its prompt is computed, chunks come on top of what is kept; later a block, as folded ones are
        free a step late.
        """
        manager = self._managers[0]
        retention = manager.bounded.get(request.request_id)
        if retention is None:
            return None
        budget = retention.budget
        if request.num_computed_tokens < request.num_tokens - 1:
            return budget.most_blocks(manager.chunk_tokens) * budget.block_tokens
        return budget.kept_tokens + budget.buffer_tokens + budget.block_tokens

    def give(self, request: Any, *, longest_tokens: int) -> None:
        """Bound a request that arrives, and write its budget where the workers read it."""
        params = request.sampling_params
        if params is None:
            return
        retention = self._retention(request, longest_tokens=longest_tokens)
        params.extra_args = request_budgets.written(
            params.extra_args, retention, engine_name=self._engine.engine_name
        )
        if retention is None:
            return
        request.skip_reading_prefix_cache = True
        for manager in self._managers:
            manager.bounded[request.request_id] = retention
        self.bounded_requests += 1

    def forget(self, request_id: str) -> None:
        """A request has ended, and its blocks are free."""
        for manager in self._managers:
            manager.bounded.pop(request_id, None)

    def _retention(self, request: Any, *, longest_tokens: int) -> RequestRetention | None:
        budget = self._budget
        if budget is None or not self._enforces:
            return None
        longest = min(longest_tokens, request.num_prompt_tokens + request.max_tokens)
        if not budget.ever_folds(longest):
            return None
        return RequestRetention(budget, self._spans(request, kept_tokens=budget.kept_tokens))

    def _spans(self, request: Any, *, kept_tokens: int) -> Spans:
        """The spans of a request; those of a client that can't hold are left out, and counted."""
        limits = {
            "prompt_tokens": request.num_prompt_tokens,
            "kept_tokens": kept_tokens,
            "protected_prefix": self._protected_prefix,
        }
        try:
            return request_budgets.asked_spans(request.sampling_params.extra_args, **limits)
        except InvalidInput as error:
            self.refused_spans += 1
            logger.warning("a request's spans are ignored: %s", error)
            return request_budgets.asked_spans(None, **limits)


def scheduler_budgets(scheduler: Any, found: Settings) -> SchedulerBudgets | Obstacle:
    """The budgets of a scheduler that vLLM has built, or why its requests can't have any."""
    reason = obstacle(scheduler.vllm_config)
    if reason is not None:
        return reason
    managers = scheduler.kv_cache_manager.coordinator.single_type_managers
    if not managers or not all(isinstance(one, RetentionManager) for one in managers):
        worker = scheduler.vllm_config.parallel_config.worker_cls
        return Obstacle.ATTENTION if "RetentionWorker" in str(worker) else Obstacle.WORKER
    engine = managers[0].kv_cache_spec.retention
    if any(one.kv_cache_spec.retention != engine for one in managers):
        return Obstacle.SETTINGS
    try:
        return SchedulerBudgets(engine, managers, found)
    except InvalidInput as error:
        logger.error("no request's KV memory is bounded: %s", error)
        return Obstacle.SETTINGS
