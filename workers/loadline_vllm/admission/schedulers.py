"""
vLLM's scheduler with admission by predicted memory: the class that an engine is started with.

It changes nothing of how vLLM schedules. The scheduler gets blocks for each request by one method of its
`KVCacheManager`; that method is wrapped here, in this scheduler's manager alone. For a request that waits and
holds no blocks, admission is asked first. If it refuses, the method returns None, as if there were no blocks;
vLLM then starts no other waiting request in this step, so none overtakes another. Running requests, and
those that hold blocks already, always pass.

A request that vLLM preempts can't start again in the same step: vLLM starts none in a step in which it has
preempted. Which request it preempts is decided by the order of its list `running`; see `victim_orders`.

The base class is the asynchronous scheduler, as vLLM asks for of other classes. It works without
asynchronous scheduling too. vLLM 0.33 calls the same methods; a test looks each up in its source.
"""

from typing import Any

from vllm.v1.core.sched.async_scheduler import AsyncScheduler
from vllm.v1.request import RequestStatus

from loadline_vllm.admission.guards import guard_of
from loadline_vllm.admission.scheduler_admissions import SchedulerAdmission


class AdmissionScheduler(AsyncScheduler):
    """vLLM's scheduler; without `LOADLINE_ADMISSION` it is exactly that."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.loadline = guard_of(self)
        if self.loadline.acts:
            self._vllm_allocate = self.kv_cache_manager.allocate_slots
            self.kv_cache_manager.allocate_slots = self._allocate

    def schedule(self, *args: Any, **named: Any) -> Any:
        self.loadline.call(SchedulerAdmission.begin_step, None)
        output = super().schedule(*args, **named)
        self.loadline.end_step()
        return output

    def _allocate(self, request: Any, *args: Any, **named: Any) -> Any:
        """Allocate blocks as vLLM does; None if a request without blocks has to wait."""
        if request.status == RequestStatus.RUNNING or self._waits_with_blocks(request):
            return self._vllm_allocate(request, *args, **named)
        if not self.loadline.call(SchedulerAdmission.admits, True, request, named):
            return None
        blocks = self._vllm_allocate(request, *args, **named)
        if blocks is not None:
            self.loadline.call(SchedulerAdmission.started, None, request)
        return blocks

    def _waits_with_blocks(self, request: Any) -> bool:
        """Whether it is of the queue that vLLM drains first: its head must not hold the others up.

        It may have no blocks any more, if the KV that it waited for could not be loaded.
        """
        held = self.kv_holding_waiting
        return self._holds_kv_blocks(request) or (bool(held) and held.peek_request() is request)

    def add_request(self, request: Any) -> None:
        is_new = request.request_id not in self.requests
        super().add_request(request)
        if is_new:
            self.loadline.call(SchedulerAdmission.arrived, None, request)

    def _free_request(self, request: Any, *args: Any, **named: Any) -> Any:
        self.loadline.call(SchedulerAdmission.ended, None, request)
        return super()._free_request(request, *args, **named)

    def _free_request_blocks(self, request: Any) -> None:
        self.loadline.call(SchedulerAdmission.freed, None, request)
        super()._free_request_blocks(request)

    def _preempt_request(self, request: Any, *args: Any, **named: Any) -> None:
        self.loadline.call(SchedulerAdmission.preempted, None, request.num_computed_tokens)
        super()._preempt_request(request, *args, **named)

    def reset_prefix_cache(self, *args: Any, **named: Any) -> bool:
        self.loadline.call(SchedulerAdmission.begin_reset, None)
        try:
            return bool(super().reset_prefix_cache(*args, **named))
        finally:
            self.loadline.call(SchedulerAdmission.end_reset, None)
