"""
The answering: which words, after how long, and what is counted on the way.

An answer hangs on the prompt alone, so that split or unsplit, on whichever replica, the
same prompt gets the same words. Tokens are words. Threads call `generate`; a request
beyond `--max-num-seqs` waits for its turn, as in vLLM.
"""

import hashlib
import threading
import time
import uuid
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

from testbed.engines.standin import transfers
from testbed.engines.standin.metrics import Metrics
from testbed.engines.standin.settings import Settings

VOCABULARY = "anchor bay beam bow buoy cable chart crew deck ebb fleet gale harbour hull keel knot mast tide"
WORDS = tuple(VOCABULARY.split())
LEAST_WORDS, MORE_WORDS = 4, 12
"""Chosen: so long is an answer whose end nobody forbids."""


class Refused(Exception):
    """A request that can't be served; `code` is the HTTP status."""

    def __init__(self, code: int, *, kind: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code, self.kind = code, kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is wanted, read from a completion or a chat."""

    prompt: str
    most_tokens: int | None
    ignore_eos: bool = False
    transfer: dict[str, Any] | None = None


class Answer:
    """One request under way: its tokens as they come, and how it ended."""

    def __init__(self, request: Request, *, prompt_tokens: int, tokens: int, reason: str) -> None:
        self.request, self.prompt_tokens, self.tokens = request, prompt_tokens, tokens
        self.reason = reason
        self.identity = uuid.uuid4().hex[:16]
        self.said = 0
        self.transfer: dict[str, Any] | None = None

    def words(self) -> Iterator[str]:
        """What will be said, word by word."""
        digest = hashlib.sha256(self.request.prompt.encode()).digest()
        for number in range(self.tokens):
            chance = hashlib.sha256(digest + number.to_bytes(4, "big")).digest()[0]
            yield " " + WORDS[chance % len(WORDS)]


class Engine:
    """Answers requests by its settings."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics(settings.names[0], transfers=settings.role is not None)
        self.held_kv = transfers.HeldKv(settings.side_host, settings.side_port) if settings.produces else None
        self._turns = threading.BoundedSemaphore(settings.most_running)
        self._closing = threading.Event()
        self._cut = threading.Event()
        self._idle = threading.Condition()
        self._under_way = 0
        self._tokens_held = 0

    def admit(self, request: Request, model: str | None) -> Answer:
        """The request's answer, not yet begun; raises Refused as vLLM does."""
        if self._closing.is_set():
            raise Refused(
                500, kind="InternalServerError", sentence="cannot schedule new futures after shutdown"
            )
        if model and model not in self.settings.names:
            raise Refused(404, kind="NotFoundError", sentence=f"The model `{model}` does not exist.")
        prompt_tokens = max(len(request.prompt.split()), 1)
        room = self.settings.context_tokens - prompt_tokens
        if room < max(request.most_tokens or 1, 1):
            raise Refused(
                400,
                kind="BadRequestError",
                sentence=(
                    f"This model's maximum context length is {self.settings.context_tokens} tokens, the "
                    f"prompt has {prompt_tokens}: shorten it, or ask for fewer than "
                    f"{request.most_tokens} tokens."
                ),
            )
        most = room if request.most_tokens is None else request.most_tokens
        own = LEAST_WORDS + hashlib.sha256(request.prompt.encode()).digest()[1] % MORE_WORDS
        tokens = most if request.ignore_eos else min(most, own)
        return Answer(
            request, prompt_tokens=prompt_tokens, tokens=tokens, reason="length" if tokens == most else "stop"
        )

    def generate(self, answer: Answer) -> Generator[str]:
        """The answer's tokens, each when its time has come; what was counted as running ends with it."""
        began_s = time.monotonic()
        self._count(1)
        reason = "abort"
        try:
            with self._turn(answer.prompt_tokens + answer.tokens):
                self._prefill(answer)
                yield from self._decode(answer, began_s)
                reason = answer.reason
                if self.held_kv is not None and (answer.request.transfer or {}).get("do_remote_decode"):
                    answer.transfer = self.held_kv.put(f"cmpl-{answer.identity}", answer.prompt_tokens)
        except Refused:
            reason = "error"
            raise
        finally:
            self.metrics.add("vllm:request_success_total", labels=f'finished_reason="{reason}"')
            self.metrics.observe("vllm:e2e_request_latency_seconds", time.monotonic() - began_s)
            self._count(-1)

    def close(self, drain_s: float) -> bool:
        """Take no more requests, give those under way so long; says whether all were answered."""
        self._closing.set()
        with self._idle:
            done = self._idle.wait_for(lambda: not self._under_way, drain_s)
        self._cut.set()
        return done

    def _turn(self, tokens: int) -> "_Turn":
        return _Turn(self, tokens)

    def _prefill(self, answer: Answer) -> None:
        source = "local_compute"
        if (answer.request.transfer or {}).get("do_remote_prefill") and self.settings.consumes:
            source = self._load(answer)
        self.metrics.add("vllm:prompt_tokens_total", amount=answer.prompt_tokens)
        self.metrics.add(
            "vllm:prompt_tokens_by_source_total", amount=answer.prompt_tokens, labels=f'source="{source}"'
        )
        self._wait(self.settings.behaviour.ttft_ms)

    def _load(self, answer: Answer) -> str:
        """Fetch the KV; gives the source that the prompt's tokens are counted under."""
        try:
            tokens = transfers.fetch(answer.request.transfer or {})
        except transfers.TransferFailed as error:
            self.metrics.add("vllm:nixl_num_failed_transfers_total")
            if self.settings.recompute:
                return "local_compute"
            raise Refused(500, kind="InternalServerError", sentence=f"KV load failed: {error}") from error
        self.metrics.add("vllm:nixl_bytes_transferred_count")
        self.metrics.add("vllm:nixl_bytes_transferred_sum", amount=tokens * transfers.BYTES_A_TOKEN)
        return "external_kv_transfer"

    def _decode(self, answer: Answer, began_s: float) -> Iterator[str]:
        last_s = began_s
        for number, word in enumerate(answer.words()):
            if number:
                self._wait(self.settings.behaviour.itl_ms)
            if self._cut.is_set():
                raise Refused(500, kind="InternalServerError", sentence="EngineCore encountered an issue.")
            now_s = time.monotonic()
            name = "vllm:inter_token_latency_seconds" if number else "vllm:time_to_first_token_seconds"
            self.metrics.observe(name, now_s - last_s)
            self.metrics.add("vllm:generation_tokens_total")
            last_s = now_s
            answer.said += 1
            yield word

    def _wait(self, ms: float) -> None:
        if ms > 0:
            self._cut.wait(ms / 1000)

    def _count(self, change: int) -> None:
        with self._idle:
            self._under_way += change
            self._idle.notify_all()

    def _hold(self, tokens: int) -> None:
        with self._idle:
            self._tokens_held += tokens
            self.metrics.add("vllm:num_requests_running", amount=1 if tokens > 0 else -1)
            share = self._tokens_held / self.settings.behaviour.kv_tokens
            self.metrics.set("vllm:kv_cache_usage_perc", min(share, 1.0))


class _Turn:
    """A request's place among those that run, and its tokens in the KV cache."""

    def __init__(self, engine: Engine, tokens: int) -> None:
        self._engine, self._tokens = engine, tokens

    def __enter__(self) -> None:
        self._engine.metrics.add("vllm:num_requests_waiting")
        self._engine._turns.acquire()
        self._engine.metrics.add("vllm:num_requests_waiting", amount=-1)
        self._engine._hold(self._tokens)

    def __exit__(self, *_: object) -> None:
        self._engine._hold(-self._tokens)
        self._engine._turns.release()
