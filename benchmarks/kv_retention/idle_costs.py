"""
What the plugin costs an engine none of whose requests is folded; JSON at the end.

    python -m benchmarks.kv_retention.idle_costs PAIRS

One engine, in whose objects vLLM's own classes and the plugin's take turns (ABAB): scheduler, manager of the
blocks, worker and builder of the metadata. Two processes were tried: one of them was 5 % faster than the
other whichever had the plugin, since a process gets its memory once. The engine's interpreter runs it, on one
thread, by the processor time of that thread.

All requests decode, each with a budget that no one has reached when the last step is timed. The model is
random, and large enough for steps of 20 ms. The noise is how much a run of steps without the plugin differs
from the next: half of the runs differ by more.
"""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import torch

from benchmarks.medians import upper_end
from testbed.kv.retention_engines import BLOCK, RetentionEngine, prompts

REQUESTS: Final = 16
PROMPT_TOKENS: Final = 32
KEPT_TOKENS, BUFFER_TOKENS = 1_024, 256
CONTEXT_TOKENS: Final = 2_048
STEPS: Final = 4
"""Steps of a run."""
SAID_S: Final = 5.0
MODEL: Final = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 512,
    "hidden_size": 768,
    "intermediate_size": 2_048,
    "num_hidden_layers": 8,
    "num_attention_heads": 12,
    "num_key_value_heads": 4,
    "head_dim": 64,
    "max_position_embeddings": CONTEXT_TOKENS,
    "torch_dtype": "float32",
}
"""50 million weights: chosen so that a step of all requests takes 20 ms or more."""

SETTINGS: Final = {
    "LOADLINE_ADMISSION": "off",
    "LOADLINE_RETENTION_BUFFER_TOKENS": str(BUFFER_TOKENS),
    "LOADLINE_RETENTION_BUDGET_TOKENS": str(KEPT_TOKENS),
}


class NotIdle(Exception):
    """A request was folded, has no budget, or wasn't decoded: the steps were of another kind."""


class TwoSided:
    """An object of one of the plugin's classes that may be of vLLM's for a time."""

    def __init__(self, one: Any, vllm: type[Any]) -> None:
        if not isinstance(one, vllm) or type(one) is vllm:
            raise NotIdle(f"{type(one).__name__} isn't the plugin's")
        self._one, self._sides = one, (vllm, type(one))

    def turn(self, *, plugin: bool) -> None:
        self._one.__class__ = self._sides[plugin]


@contextmanager
def described_model() -> Iterator[Path]:
    """A directory with the configuration alone: vLLM makes the weights up."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "config.json").write_text(json.dumps(MODEL), "utf-8")
        yield Path(directory)


class IdleEngine:
    """All of its requests have been prefilled, and decode at each step."""

    def __init__(self) -> None:
        with described_model() as model:
            self._engine = RetentionEngine(
                model,
                blocks=REQUESTS * CONTEXT_TOKENS // BLOCK,
                running=REQUESTS,
                settings=SETTINGS,
                watched=False,
                max_model_len=CONTEXT_TOKENS,
                load_format="dummy",
                enable_prefix_caching=False,  # vLLM's class would publish what the plugin's had left out
            )
        self._core: Any = self._engine.llm.llm_engine
        self._parts = list(self._two_sided())
        self._ask()
        self._core.step()

    def run_s(self, *, plugin: bool) -> float:
        """Seconds of a step, the mean of a run of them."""
        for part in self._parts:
            part.turn(plugin=plugin)
        began_s = time.thread_time()
        for _ in range(STEPS):
            self._core.step()
        return (time.thread_time() - began_s) / STEPS

    def check(self) -> None:
        """Raise NotIdle unless all requests decode, with budgets, and none was folded."""
        scheduler = self._engine.scheduler
        longest = max((request.num_computed_tokens for request in scheduler.running), default=0)
        if len(scheduler.running) != REQUESTS or scheduler.budgets.requests != REQUESTS:
            raise NotIdle(
                f"{len(scheduler.running)} requests run, {scheduler.budgets.requests} have a budget"
            )
        if not PROMPT_TOKENS < longest < KEPT_TOKENS + BUFFER_TOKENS:
            raise NotIdle(f"a request has {longest} tokens")

    def _two_sided(self) -> Iterator[TwoSided]:
        from vllm.v1.attention.backends.cpu_attn import CPUAttentionMetadataBuilder
        from vllm.v1.core.sched.async_scheduler import AsyncScheduler
        from vllm.v1.core.single_type_kv_cache_manager import FullAttentionManager
        from vllm.v1.worker.cpu_worker import CPUWorker

        core = self._core.engine_core.engine_core
        yield TwoSided(core.scheduler, AsyncScheduler)
        for manager in core.scheduler.kv_cache_manager.coordinator.single_type_managers:
            yield TwoSided(manager, FullAttentionManager)
        worker = core.model_executor.driver_worker.worker
        yield TwoSided(worker, CPUWorker)
        for groups in worker.model_runner.attn_groups:
            for group in groups:
                for builder in group.metadata_builders:
                    yield TwoSided(builder, CPUAttentionMetadataBuilder)

    def _ask(self) -> None:
        from vllm import SamplingParams

        for number, prompt in enumerate(prompts(REQUESTS, tokens=PROMPT_TOKENS)):
            sampling = SamplingParams(
                max_tokens=CONTEXT_TOKENS - PROMPT_TOKENS,
                temperature=0.0,
                detokenize=False,
                ignore_eos=True,
            )
            self._core.add_request(str(number), {"prompt_token_ids": prompt}, sampling)


def measured(*, pairs: int) -> dict[str, Any]:
    """The median cost as a share of a step, its interval's upper end, and the noise."""
    engine = IdleEngine()
    engine.run_s(plugin=False), engine.run_s(plugin=True)
    times_s, said_s = [], time.monotonic()
    for number in range(1, pairs + 1):
        times_s.append((engine.run_s(plugin=False), engine.run_s(plugin=True)))
        if time.monotonic() - said_s > SAID_S:
            said_s = time.monotonic()
            print(f"     idle steps: {number} of {pairs} pairs", file=sys.stderr, flush=True)
    engine.check()
    return judged(times_s)


def judged(times_s: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """The figures of pairs of runs: a step's seconds without the plugin, and with it."""
    ratios = [with_s / alone_s for alone_s, with_s in times_s]
    alone = [alone_s for alone_s, _ in times_s]
    return {
        "pairs": len(times_s),
        "step_ms": 1000 * statistics.median(alone),
        "overhead": statistics.median(ratios) - 1,
        "overhead_upper": upper_end(ratios) - 1,
        "noise": statistics.median(abs(after / before - 1) for before, after in pairwise(alone)),
    }


def main() -> None:
    """Measure, and print one JSON document."""
    torch.set_num_threads(1)
    print(json.dumps(measured(pairs=int(sys.argv[1]))))


if __name__ == "__main__":
    main()
