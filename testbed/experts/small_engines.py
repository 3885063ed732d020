"""
A real vLLM in the test's own process, with a small model and the plugin in it.

The plugin's own state is in the process, so a test reads it and changes it as a rank would, between two
steps. Nothing goes through the channel.
"""

import os
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ENVIRONMENT: Mapping[str, str] = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_MLA_DISABLE": "1",  # on a CPU, vLLM's latent attention takes no heads as small as these
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "LOADLINE_EXPERTS": "enforce",
    "LOADLINE_EXPERTS_LEAST_TOKENS": "16",
    "LOADLINE_EXPERTS_RANKS": "4",
}
"""Batches of 16 tokens are large: prefill is larger here, and a step that decodes smaller."""

BATCH_TOKENS = 512
PROMPTS, PROMPT_TOKENS, ANSWER_TOKENS = 4, 64, 6
FIRST_BYTE, WORDS = 5, 600


class SmallEngine:
    """An engine that answers the same prompts again and again."""

    def __init__(self, model: Path, *, eager: bool) -> None:
        os.environ.update(ENVIRONMENT)
        from loadline_vllm import plugin

        plugin.register()
        from vllm import LLM, SamplingParams

        self.llm = LLM(
            model=str(model),
            skip_tokenizer_init=True,
            dtype="float32",
            max_model_len=512,
            max_num_seqs=8,
            max_num_batched_tokens=BATCH_TOKENS,
            enable_prefix_caching=False,
            enforce_eager=eager,
        )
        self._sampling = SamplingParams(
            max_tokens=ANSWER_TOKENS, temperature=0.0, detokenize=False, ignore_eos=True
        )
        seeded = random.Random(0)
        self._prompts = [
            {"prompt_token_ids": [seeded.randrange(FIRST_BYTE, WORDS) for _ in range(PROMPT_TOKENS)]}
            for _ in range(PROMPTS)
        ]

    def answers(self) -> list[list[int]]:
        """The tokens that it answers to each prompt, most likely ones."""
        done = self.llm.generate(self._prompts, self._sampling, use_tqdm=False)
        return [list(one.outputs[0].token_ids) for one in done]

    @property
    def model(self) -> Any:
        """The model's module."""
        executor = self.llm.llm_engine.engine_core.engine_core.model_executor
        return executor.driver_worker.worker.model_runner.model

    @property
    def runners(self) -> dict[str, Any]:
        """vLLM's part of each layer of experts, by name."""
        from vllm.model_executor.layers.fused_moe.runner.moe_runner import MoERunner

        return {one.layer_name: one for one in self.model.modules() if isinstance(one, MoERunner)}

    @contextmanager
    def configured(self) -> Iterator[Any]:
        """vLLM's configuration of the engine, as it is in force while layers are built."""
        from vllm.config import set_current_vllm_config

        config = self.llm.llm_engine.vllm_config
        with set_current_vllm_config(config):
            yield config

    @contextmanager
    def without_plugin(self) -> Iterator[None]:
        """Each layer with the router that vLLM built, run without the compiled trace."""
        routers = {name: runner.router for name, runner in self.runners.items()}
        with self.traces_off():
            for runner in self.runners.values():
                runner.router = runner.router.inner
            yield
            for name, runner in self.runners.items():
                runner.router = routers[name]

    @contextmanager
    def traces_off(self) -> Iterator[None]:
        """Run the model as Python, where it was compiled."""
        compiled = [one for one in self.model.modules() if getattr(one, "do_not_compile", True) is False]
        for one in compiled:
            one.do_not_compile = True
        yield
        for one in compiled:
            one.do_not_compile = False

    @contextmanager
    def captured(self) -> Iterator[dict[str, list[Any]]]:
        """What vLLM's own hook captures of each layer: the experts of each token, a tensor for each batch."""
        found: dict[str, list[Any]] = {name: [] for name in self.runners}
        for name, runner in self.runners.items():
            runner.router.set_capture_fn(lambda ids, into=found[name]: into.append(ids.clone()))
        yield found
        for runner in self.runners.values():
            runner.router.set_capture_fn(None)


def compilations() -> dict[str, Any]:
    """All that vLLM and Dynamo have compiled in this process so far."""
    from torch._dynamo.utils import counters
    from vllm.compilation.counter import compilation_counter

    return {**vars(compilation_counter), **counters["stats"], **counters["frames"]}


def batches(captured: Sequence[Any]) -> list[list[list[int]]]:
    """The captured batches of one layer as lists."""
    return [ids.tolist() for ids in captured]
