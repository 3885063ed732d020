"""
vLLM's own scheduler in this process, with a made-up model: neither weights nor a device are needed.

What a scheduler decides depends on requests, on memory, and on how many tokens come back. So the model here
only knows when each request ends. Steps go as vLLM's engine core makes them with asynchronous scheduling:
one step is scheduled before the tokens of the one before are known.

Runs in the engine's interpreter.
"""

import json
import math
import tempfile
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from vllm.config import CacheConfig, DeviceConfig, ModelConfig, ParallelConfig, SchedulerConfig, VllmConfig
from vllm.sampling_params import SamplingParams
from vllm.utils.hashing import sha256
from vllm.v1.core.kv_cache_utils import get_request_block_hasher, init_none_hash
from vllm.v1.core.single_type_kv_cache_manager import register_all_kvcache_specs
from vllm.v1.kv_cache_interface import FullAttentionSpec, KVCacheConfig, KVCacheGroupSpec
from vllm.v1.outputs import ModelRunnerOutput
from vllm.v1.request import Request, RequestStatus
from vllm.v1.structured_output import StructuredOutputManager

from testbed.engines.workloads import EOS, VOCABULARY, Asked, word

MODEL: Final = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "num_key_value_heads": 1,
}
"""The configuration that vLLM reads; nothing of it is built."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """The KV memory of an engine: blocks of so many tokens that requests can hold, and how they are used."""

    blocks: int
    block_tokens: int = 16
    prefix_caching: bool = False
    watermark: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one step may have, and what one request."""

    requests: int = 64
    tokens: int = 1024
    context_tokens: int = 4096


class SteppedScheduler:
    """A scheduler of a class of vLLM's, stepped as its engine core does.

    `answers` has the tokens that each request has produced.
    """

    def __init__(
        self,
        of_vllm: type[Any],
        memory: Memory,
        limits: Limits = Limits(),
        *,
        policy: str = "fcfs",
        groups: Iterable[Any] = (),
    ) -> None:
        self._hasher = hasher(memory.block_tokens)
        self.vllm = built(of_vllm, memory, limits, policy=policy, groups=groups, log_stats=True)
        self._asked: dict[str, Asked] = {}
        self._in_flight: deque[tuple[Any, Any]] = deque()
        self.answers: dict[str, list[int]] = {}
        self.steps = 0
        self.preemptions = 0
        self.computed_tokens = 0

    @property
    def unfinished(self) -> int:
        """Requests that haven't ended."""
        return int(self.vllm.get_num_unfinished_requests())

    def add(self, asked: Asked) -> None:
        """Queue a request."""
        self._asked[asked.request_id] = asked
        self.answers[asked.request_id] = []
        self.vllm.add_request(
            Request(
                request_id=asked.request_id,
                prompt_token_ids=[*asked.prompt],
                sampling_params=SamplingParams(
                    max_tokens=asked.most_tokens,
                    stop_token_ids=[EOS],
                    extra_args=dict(asked.extra_args) or None,
                ),
                pooling_params=None,
                arrival_time=asked.arrived_s,
                priority=asked.priority,
                block_hasher=self._hasher,
            )
        )

    def abort(self, request_id: str) -> None:
        """The client of a request has gone."""
        self.vllm.finish_requests(request_id, RequestStatus.FINISHED_ABORTED)

    def step(self) -> Any:
        """Schedule one step, and give the tokens of the one before to the scheduler; the step's output."""
        output = self.vllm.schedule()
        self.steps += 1
        self.preemptions += len(output.preempted_req_ids or ())
        self.computed_tokens += output.total_num_scheduled_tokens
        if output.total_num_scheduled_tokens:
            self._in_flight.append((output, self._sampled(output)))
        if len(self._in_flight) > bool(output.total_num_scheduled_tokens):
            self._settle()
        return output

    def answer(self, asked: Iterable[Asked]) -> list[Any]:
        """Have all requests answered, which are there from the start; the outputs of all steps."""
        for one in asked:
            self.add(one)
        return self.run()

    def run(self, *, most_steps: int = 100_000) -> list[Any]:
        """Step until all requests have ended; the outputs of all steps."""
        outputs = []
        while self.unfinished:
            outputs.append(self.step())
            if len(outputs) > most_steps:
                raise RuntimeError(f"{self.unfinished} requests haven't ended after {most_steps} steps")
        while self._in_flight:
            self._settle()
        return outputs

    def _settle(self) -> None:
        output, sampled = self._in_flight.popleft()
        for answered in self.vllm.update_from_output(output, sampled).values():
            for one in answered.outputs:
                self.answers[one.request_id] += one.new_token_ids

    def _sampled(self, output: Any) -> Any:
        """What a model answers: a token for each request whose prompt is computed."""
        names = [*output.num_scheduled_tokens]
        return ModelRunnerOutput(
            req_ids=names,
            req_id_to_index={name: place for place, name in enumerate(names)},
            sampled_token_ids=[self._next(self.vllm.requests[name]) for name in names],
        )

    def _next(self, request: Any) -> list[int]:
        if request.is_prefill_chunk:
            return []
        place = request.num_output_tokens + request.num_output_placeholders
        asked = self._asked[request.request_id]
        return [EOS if place >= asked.output_tokens else word(f"{asked.request_id}/{place}")]


def built(
    of_vllm: type[Any],
    memory: Memory,
    limits: Limits = Limits(),
    *,
    policy: str = "fcfs",
    groups: Iterable[Any] = (),
    log_stats: bool = False,
) -> Any:
    """A scheduler of a class of vLLM's, as its engine core builds it."""
    config = _config(of_vllm, memory, limits, policy=policy)
    config.scheduler_config.async_scheduling = True  # vLLM leaves it out on a CPU
    register_all_kvcache_specs(config)
    specs = [*groups] or [attention(memory.block_tokens)]
    config.cache_config.num_gpu_blocks = memory.blocks + 1
    return of_vllm(
        vllm_config=config,
        kv_cache_config=KVCacheConfig(
            num_blocks=memory.blocks + 1,  # vLLM keeps one for itself
            kv_cache_tensors=[],
            kv_cache_groups=[KVCacheGroupSpec([f"layer.{n}"], spec) for n, spec in enumerate(specs)],
        ),
        structured_output_manager=StructuredOutputManager(config),
        block_size=math.lcm(*(spec.block_size for spec in specs)),
        hash_block_size=memory.block_tokens,
        log_stats=log_stats,
    )


def hasher(block_tokens: int) -> Any:
    """What computes the hashes of requests' blocks for the prefix cache."""
    init_none_hash(sha256)
    return get_request_block_hasher(block_tokens, sha256)


def facts(output: Any) -> tuple[Any, ...]:
    """All of a step's output that a runner acts on."""
    new, cached = output.scheduled_new_reqs, output.scheduled_cached_reqs
    return (
        [(one.req_id, one.block_ids, one.num_computed_tokens) for one in new],
        (cached.req_ids, cached.resumed_req_ids, cached.new_block_ids, cached.num_computed_tokens),
        [*output.num_scheduled_tokens.items()],
        output.preempted_req_ids,
        output.finished_req_ids,
    )


def attention(block_tokens: int) -> Any:
    """A group of layers that keep every token."""
    return FullAttentionSpec(block_size=block_tokens, num_kv_heads=1, head_size=8, dtype=torch.float32)


def _config(of_vllm: type[Any], memory: Memory, limits: Limits, *, policy: str) -> Any:
    with tempfile.TemporaryDirectory() as directory:
        described = {**MODEL, "max_position_embeddings": limits.context_tokens}
        Path(directory, "config.json").write_text(json.dumps(described))
        model = ModelConfig(
            model=directory,
            skip_tokenizer_init=True,
            dtype="float32",
            max_model_len=limits.context_tokens,
        )
        return VllmConfig(
            model_config=model,
            cache_config=CacheConfig(
                block_size=memory.block_tokens, enable_prefix_caching=memory.prefix_caching
            ),
            scheduler_config=SchedulerConfig(
                max_num_seqs=limits.requests,
                max_num_batched_tokens=limits.tokens,
                max_model_len=limits.context_tokens,
                is_encoder_decoder=False,
                async_scheduling=True,
                scheduler_cls=of_vllm,
                policy=policy,
                watermark=memory.watermark,
            ),
            parallel_config=ParallelConfig(),
            device_config=DeviceConfig("cpu"),
        )
