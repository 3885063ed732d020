"""
Sends requests to a served model as a client does, one at a time or as a steady load.

`Load` keeps some requests in flight and counts how each ended: a rolling update loses no request if
none of them failed, was cut short or got no answer. It runs in a thread with its own event loop, so
that its caller may block.
"""

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

import httpx

TIMEOUT_S = 60.0
PROMPT = "Tell me about number {number} of the ships in the harbour, and about its load line:"


def complete(url: str, model: str, prompt: str, *, tokens: int = 16) -> str:
    """The greedy completion of a prompt; httpx.HTTPError if the request fails."""
    body = {"model": model, "prompt": prompt, "max_tokens": tokens, "temperature": 0.0}
    answer = httpx.post(f"{url}/v1/completions", json=body, timeout=TIMEOUT_S, trust_env=False)
    answer.raise_for_status()
    return str(answer.json()["choices"][0]["text"])


def stream(url: str, model: str, prompt: str, *, tokens: int = 32) -> Iterator[str]:
    """The pieces of a completion, as the engine streams them."""
    body = {"model": model, "prompt": prompt, "max_tokens": tokens, "temperature": 0.0, "stream": True}
    with httpx.stream(
        "POST", f"{url}/v1/completions", json=body, timeout=TIMEOUT_S, trust_env=False
    ) as answer:
        answer.raise_for_status()
        for line in answer.iter_lines():
            if line.startswith("data: ") and line != "data: [DONE]":
                yield str(json.loads(line.removeprefix("data: "))["choices"][0]["text"])


@dataclass(slots=True)
class Tally:
    """How many requests of a load were answered, and why others failed."""

    answered: int = 0
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def failed(self) -> int:
        """The number of requests without a complete answer."""
        return self.failures.total()


class Load:
    """A context manager that keeps `at_once` requests in flight until its block ends.

    `prompt` is a format with `number`, which is another one in each request.
    """

    def __init__(
        self, url: str, model: str, *, at_once: int = 4, tokens: int = 24, prompt: str = PROMPT
    ) -> None:
        self.tally = Tally()
        self._url, self._model, self._at_once, self._tokens = url, model, at_once, tokens
        self._prompt = prompt
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="load", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    async def _run(self) -> None:
        """Each request uses a new connection, as from a new client."""
        limits = httpx.Limits(max_keepalive_connections=0)
        async with (
            httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False, limits=limits) as http,
            asyncio.TaskGroup() as tasks,
        ):
            for number in range(self._at_once):
                tasks.create_task(self._ask(http, number))

    async def _ask(self, http: httpx.AsyncClient, number: int) -> None:
        while not self._stop.is_set():
            number += self._at_once
            prompt = self._prompt.format(number=number)
            body = {"model": self._model, "prompt": prompt, "max_tokens": self._tokens, "ignore_eos": True}
            try:
                fault = _fault(await http.post(f"{self._url}/v1/completions", json=body), self._tokens)
            except httpx.HTTPError as error:
                fault = type(error).__name__
            if fault:
                self.tally.failures[fault] += 1
                await asyncio.sleep(0.1)
            else:
                self.tally.answered += 1


def _fault(answer: httpx.Response, tokens: int) -> str:
    """What is wrong with an answer; empty for a complete one."""
    if answer.status_code != 200:
        return f"{answer.status_code}: {answer.text[:120]}"
    told = answer.json()["usage"]["completion_tokens"]
    return "" if told == tokens else f"{told} of {tokens} tokens"
