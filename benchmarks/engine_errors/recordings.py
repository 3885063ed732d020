"""
What a real engine did with a load: when each token of each request came, and what was in each step.

The engine is stock vLLM on one core, with a model of random weights: its answers mean nothing and are as
long as they are asked to be. It notes its own steps in its log; token times are those of a client on the
other core.
"""

import asyncio
import gzip
import json
import random
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np

from benchmarks.engine_errors.loads import Load
from loadline_sim.arrays import Floats
from testbed.cluster.toolchains import cache
from testbed.engines import models, venvs
from testbed.engines.processes import NAME, Engines, Server

MOST_TOKENS: Final = 512
MOST_SEQUENCES: Final = 32
KV_GIB: Final = 1
CORE: Final = "1"
SIZES: Final = {
    "hidden_size": 512,
    "intermediate_size": 1536,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 64,
}
KV_TOKEN_BYTES: Final = 2 * 8 * 4 * 64 * 4
"""Keys and values of eight layers with four heads of 64, four bytes each."""

ARGUMENTS: Final = (
    "--load-format=dummy",
    "--enable-logging-iteration-details",
    "--no-enable-prefix-caching",
    f"--max-num-batched-tokens={MOST_TOKENS}",
    f"--max-num-seqs={MOST_SEQUENCES}",
)
ENVIRONMENT: Final = {
    "OMP_NUM_THREADS": "1",
    "VLLM_CPU_OMP_THREADS_BIND": CORE,
    "VLLM_CPU_KVCACHE_SPACE": str(KV_GIB),
}
STEP: Final = re.compile(
    r"Iteration\(\d+\): (\d+) context requests, (\d+) context tokens, (\d+) generation requests, "
    r"\d+ generation tokens, iteration elapsed time: ([\d.]+) ms, CPU KV cache usage: ([\d.]+)%"
)


@dataclass(frozen=True, slots=True)
class Recording:
    """A request's tokens came at `tokens_s[i]`, seconds after it was sent. `steps` are those of the engine.

    A step has the requests and tokens of prompts, the requests that decode, its seconds, and the share of the
    KV memory that is used.
    """

    tokens_s: tuple[Floats, ...]
    steps: Floats

    @property
    def ttft_s(self) -> Floats:
        return np.array([times[0] for times in self.tokens_s])

    @property
    def e2e_s(self) -> Floats:
        return np.array([times[-1] for times in self.tokens_s])

    @property
    def gaps_s(self) -> Floats:
        """Times between the tokens of all requests."""
        return np.concatenate([np.diff(times) for times in self.tokens_s])


def save(recording: Recording, path: Path) -> None:
    """As JSON lines: the steps, then each request's times in tenths of milliseconds."""
    lines = [json.dumps(recording.steps.tolist())]
    lines += [json.dumps(np.round(times * 1e4).astype(int).tolist()) for times in recording.tokens_s]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress("\n".join(lines).encode(), mtime=0))


def load(path: Path) -> Recording:
    """What `save` has written."""
    steps, *rows = gzip.decompress(path.read_bytes()).decode().splitlines()
    return Recording(tuple(np.array(json.loads(row)) / 1e4 for row in rows), np.array(json.loads(steps)))


@contextmanager
def engine() -> Iterator[tuple[Server, Path]]:
    """A warm engine and its log, while it runs."""
    with Engines(venvs.ensure(), _model()) as engines:
        server = engines.start("engine", *ARGUMENTS, **ENVIRONMENT)
        server.wait()
        for tokens in (64, 300, 600):
            server.complete("sea " * tokens, tokens=8)
        yield server, server.process.log


def record(server: Server, log: Path, of: Load) -> Recording:
    """Send a load's requests when they are due, without waiting for each other."""
    begin = log.stat().st_size
    tokens_s = asyncio.run(_sent(server.url, of))
    with log.open("rb") as file:
        file.seek(begin)
        found = STEP.findall(file.read().decode(errors="replace"))
    steps = np.array(found, np.float64)
    steps[:, 3] /= 1e3
    steps[:, 4] /= 100.0
    return Recording(tuple(tokens_s), steps)


async def _sent(url: str, of: Load) -> list[Floats]:
    trace, dice = of.trace(), random.Random(of.seed)
    rows = zip(
        trace.arrival_s.tolist(), trace.prompt_tokens.tolist(), trace.output_tokens.tolist(), strict=True
    )
    limits = httpx.Limits(max_connections=len(trace))
    async with httpx.AsyncClient(base_url=url, timeout=600.0, trust_env=False, limits=limits) as client:
        began_s = time.monotonic() + 0.5
        asked = [
            _asked(
                client,
                began_s + arrival_s,
                prompt=[dice.randint(5, 200) for _ in range(prompt)],
                output=output,
            )
            for arrival_s, prompt, output in rows
        ]
        return await asyncio.gather(*asked)


async def _asked(client: httpx.AsyncClient, at_s: float, *, prompt: list[int], output: int) -> Floats:
    """When the tokens of a request came, in seconds from when it was due."""
    await asyncio.sleep(max(0.0, at_s - time.monotonic()))
    body: dict[str, Any] = {"model": NAME, "prompt": prompt, "max_tokens": output, "ignore_eos": True}
    times_s = []
    async with client.stream(
        "POST", "/v1/completions", json={**body, "temperature": 0, "stream": True}
    ) as answer:
        async for line in answer.aiter_lines():
            if line.startswith("data: {"):
                times_s.append(time.monotonic() - at_s)
    return np.array(times_s)


def _model() -> Path:
    """The configuration and the tokenizer; the engine draws the weights."""
    folder = cache() / "engines" / "models" / "engine-error"
    vocabulary, merges = models.words_in_pieces()
    models.write_documents(folder, vocabulary, merges, config={**models.config(len(vocabulary)), **SIZES})
    return folder
