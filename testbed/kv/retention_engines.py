"""
A real vLLM in a test's own process whose requests may have a budget, with the small model of the test bed.

Scheduler and worker are in the process, so a test sets the budget of the next requests, and reads how many
blocks each one held, how many tokens it had from the prefix cache, and how many requests ran at once.
"""

import os
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from loadline_api.kv_retention_counts import RetentionCounts
from loadline_policies.kv.budgets import Budget
from loadline_policies.loops import Loop
from loadline_vllm import held_settings
from loadline_vllm import plugin as registering
from loadline_vllm.retention import core_rpc
from loadline_vllm.retention.core_answers import of_cores
from loadline_vllm.retention.core_rpc import COUNTS
from loadline_vllm.retention.rank_rpc import FOLDS

ENVIRONMENT: Mapping[str, str] = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "LOADLINE_RETENTION": "enforce",
    "LOADLINE_ADMISSION": "enforce",
}

PLUGIN: Mapping[str, str] = {
    "scheduler_cls": "loadline_vllm.schedulers.LoadlineScheduler",
    "worker_cls": "loadline_vllm.retention.workers.RetentionWorker",
}

BLOCK, BUFFER = 32, 32
FIRST_WORD, WORDS = 10, 100


def prompts(count: int, *, tokens: int, seed: int = 0) -> list[list[int]]:
    """Prompts of any words; the same for one seed."""
    seeded = random.Random(seed)
    return [[seeded.randrange(FIRST_WORD, WORDS) for _ in range(tokens)] for _ in range(count)]


class RetentionEngine:
    """An engine with `blocks` blocks of memory, which computes a prompt in chunks of a buffer's tokens.

    Without the plugin it is vLLM's own, which needs a process in which the plugin never was registered.
    One that isn't `watched` counts nothing. `options` are vLLM's, and go before those here.
    """

    def __init__(
        self,
        model: Path,
        *,
        blocks: int,
        running: int = 8,
        settings: Mapping[str, str] | None = None,
        plugin: bool = True,
        watched: bool = True,
        **options: Any,
    ) -> None:
        os.environ.update(
            {**ENVIRONMENT, "LOADLINE_RETENTION_BUFFER_TOKENS": str(BUFFER), **(settings or {})}
        )
        if plugin:
            registering.register()
        from vllm import LLM

        defaults = {
            "skip_tokenizer_init": True,
            "dtype": "float32",
            "block_size": BLOCK,
            "num_gpu_blocks_override": blocks + 1,  # the first one is vLLM's null block
            "max_num_seqs": running,
            "max_num_batched_tokens": max(64, BUFFER * running),
            "long_prefill_token_threshold": BUFFER,
            "enable_prefix_caching": True,
            "disable_log_stats": False,  # else vLLM counts no prefix hits
            "enforce_eager": True,
            **(PLUGIN if plugin else {}),
        }
        self.llm = LLM(model=str(model), **(defaults | options))
        self._plugin = plugin
        self.peak_blocks: dict[str, int] = {}
        self.cached_tokens: list[int] = []
        self._begin()
        if watched:
            self._watch()

    @property
    def scheduler(self) -> Any:
        return self.llm.llm_engine.engine_core.engine_core.scheduler

    def answers(
        self,
        asked: Sequence[Sequence[int]],
        *,
        tokens: int,
        kept: int | None,
        extra_args: dict[str, Any] | None = None,
    ) -> list[list[int]]:
        """The most likely answers of so many tokens; each request keeps `kept` tokens, None for all."""
        from vllm import SamplingParams

        if self._plugin and (self.scheduler.budgets is not None or kept is not None):
            self.scheduler.budgets.keep(kept)
        self._begin()
        sampling = SamplingParams(
            max_tokens=tokens, temperature=0.0, detokenize=False, ignore_eos=True, extra_args=extra_args
        )
        done = self.llm.generate([{"prompt_token_ids": list(one)} for one in asked], sampling, use_tqdm=False)
        self.cached_tokens = [int(one.num_cached_tokens or 0) for one in done]
        return [list(one.outputs[0].token_ids) for one in done]

    def hold(self, section: dict[str, JsonValue]) -> None:
        """What a change of settings does in the core."""
        core_rpc.hold(self.llm.llm_engine.engine_core.engine_core, section)

    def counts(self) -> RetentionCounts:
        """What core and rank answer, as the front-end would report it."""
        core = core_rpc.counts(self.llm.llm_engine.engine_core.engine_core)
        ranks = self.llm.collective_rpc(held_settings.COUNTS, args=(Loop.KV_RETENTION.value,))
        folds = [one[FOLDS] for one in held_settings.counted(ranks, Loop.KV_RETENTION)]
        found = of_cores([core[COUNTS]], folds=folds)
        assert found is not None
        return found

    def budget(self, kept: int) -> Budget:
        return Budget(kept_tokens=kept, buffer_tokens=BUFFER, block_tokens=BLOCK)

    def _begin(self) -> None:
        self.peak_blocks.clear()
        self.preemptions = self.most_running = self.steps = self.running_sum = 0

    def _watch(self) -> None:
        """Count steps, preemptions, the requests that run and the blocks that each holds."""
        scheduler = self.scheduler
        (manager,) = scheduler.kv_cache_manager.coordinator.single_type_managers
        schedule, preempt = scheduler.schedule, scheduler._preempt_request

        def scheduled(*more: Any, **named: Any) -> Any:
            output = schedule(*more, **named)
            if output.total_num_scheduled_tokens:
                self.steps += 1
                self.running_sum += len(scheduler.running)
            self.most_running = max(self.most_running, len(scheduler.running))
            for name, blocks in manager.req_to_blocks.items():
                held = sum(not block.is_null for block in blocks)
                self.peak_blocks[name] = max(held, self.peak_blocks.get(name, 0))
            return output

        def preempted(*more: Any, **named: Any) -> None:
            self.preemptions += 1
            preempt(*more, **named)

        scheduler.schedule, scheduler._preempt_request = scheduled, preempted
