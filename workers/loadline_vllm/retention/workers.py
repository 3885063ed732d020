"""
vLLM's worker, which also knows the budgets of the requests that it runs; for `--worker-cls`.

The scheduler's output has the sampling parameters of new requests, and the model runner has the request of
each row. Both are read here, so that folds never go by anything that two requests may share.
"""

from typing import Any

from vllm.platforms import current_platform

from loadline_vllm.retention.registrations import engine_retention
from loadline_vllm.retention.row_folds import begin
from loadline_vllm.retention.specs import RetentionSpec

if current_platform.is_cpu():
    from vllm.v1.worker.cpu_worker import CPUWorker as Worker
else:
    from vllm.v1.worker.gpu_worker import Worker


class RetentionWorker(Worker):
    """The platform's worker. Only with it do layers get a spec that folds."""

    def __init__(self, vllm_config: Any, *more: Any, **named: Any) -> None:
        self.loadline_running = begin(engine_retention(vllm_config))
        super().__init__(vllm_config, *more, **named)

    def load_model(self, *more: Any, **named: Any) -> None:
        super().load_model(*more, **named)
        self.loadline_running.row_ids = lambda: self.model_runner.input_batch.req_ids

    def get_kv_cache_spec(self) -> dict[str, Any]:
        """Each layer's spec; none folds unless all of them do, since the scheduler frees blocks for all."""
        specs: dict[str, Any] = super().get_kv_cache_spec()
        if all(isinstance(one, RetentionSpec) for one in specs.values()):
            return specs
        return {name: one.plain() if isinstance(one, RetentionSpec) else one for name, one in specs.items()}

    def execute_model(self, scheduler_output: Any) -> Any:
        self.loadline_running.update(scheduler_output)
        return super().execute_model(scheduler_output)
