"""
What a stand-in is told: by vLLM's command line how to serve, by its environment how to misbehave.

A pod template is written for vLLM; so every argument of vLLM is accepted, and those that
change what a client sees are obeyed. A name in `STANDIN_*` that nobody knows is refused:
a test that asks for a crash by the wrong name would pass for the wrong reason.
"""

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

PREFIX = "STANDIN_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How this engine differs from a good one, each from `STANDIN_` and the field's name in capitals."""

    start_s: float = 0.0
    """So long nobody listens, as while weights are loaded."""
    never_ready: bool = False
    """It listens, and `/health` answers 503 for ever."""
    ttft_ms: float = 0.0
    """Before the first token."""
    itl_ms: float = 0.0
    """Before each further token."""
    crash_after_s: float | None = None
    """It exits so long after its start, in the middle of whatever it does; 0 is at once."""
    exit_code: int = 1
    """With which it exits when it crashes."""
    last_words: str = ""
    """Written to stderr before a crash; the termination message of a pod."""
    hang_after_s: float | None = None
    """From then on nothing is answered any more, not even `/health`."""
    allocate_mib: int = 0
    """Memory to fill once it listens; more than the container's limit is an OOM kill."""
    kv_tokens: int = 100_000
    """How many tokens fill its KV cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All that a stand-in goes by."""

    host: str
    port: int
    model: str
    names: tuple[str, ...]
    context_tokens: int
    most_running: int
    drain_s: float
    """vLLM's `--shutdown-timeout`: how long requests may end after SIGTERM; with 0 they are cut."""
    role: str | None
    """`kv_producer`, `kv_consumer`, `kv_both`, or None without a KV connector."""
    recompute: bool
    """A decode that can't load KV computes it again; otherwise its request fails, as in vLLM by default."""
    side_host: str
    side_port: int
    behaviour: Behaviour

    @property
    def produces(self) -> bool:
        """Whether it hands out KV."""
        return self.role in ("kv_producer", "kv_both")

    @property
    def consumes(self) -> bool:
        """Whether it loads KV from elsewhere."""
        return self.role in ("kv_consumer", "kv_both")


def read(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings in a command line and an environment; raises SystemExit for what can't be meant."""
    told = _arguments(arguments)
    model = told.model or told.tag or "standin"
    transfer: dict[str, Any] = json.loads(told.kv_transfer_config or "{}")
    return Settings(
        host=told.host or "0.0.0.0",
        port=told.port,
        model=model,
        names=tuple(told.served_model_name or [model]),
        context_tokens=told.max_model_len or 2048,
        most_running=told.max_num_seqs or 256,
        drain_s=told.shutdown_timeout,
        role=transfer.get("kv_role"),
        recompute=transfer.get("kv_load_failure_policy") == "recompute",
        side_host=environment.get("VLLM_NIXL_SIDE_CHANNEL_HOST", "localhost"),
        side_port=int(environment.get("VLLM_NIXL_SIDE_CHANNEL_PORT", "5600")),
        behaviour=behaviour(environment),
    )


def behaviour(environment: Mapping[str, str]) -> Behaviour:
    """What `STANDIN_*` asks for."""
    kinds = {field.name: field.type for field in fields(Behaviour)}
    told: dict[str, Any] = {}
    for name, text in environment.items():
        if name.startswith(PREFIX):
            key = name.removeprefix(PREFIX).lower()
            if key not in kinds:
                raise SystemExit(
                    f"{name} is unknown: use one of {', '.join(PREFIX + k.upper() for k in kinds)}"
                )
            told[key] = _value(name, text, kind=kinds[key])
    return Behaviour(**told)


def _value(name: str, text: str, *, kind: object) -> bool | int | float | str:
    if kind is str:
        return text
    if kind is bool:
        return text.lower() in ("1", "true", "yes")
    try:
        return int(text) if kind is int else float(text)
    except ValueError:
        raise SystemExit(f"{name} is {text!r}: give a number") from None


def _arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Whatever vLLM knows, and what it will know: the rest is ignored, values and all."""
    parser = argparse.ArgumentParser(allow_abbrev=False, add_help=False, prog="vllm serve")
    parser.add_argument("--model")
    parser.add_argument("--served-model-name", nargs="+")
    parser.add_argument("--host")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--max-model-len", type=int)
    parser.add_argument("--max-num-seqs", type=int)
    parser.add_argument("--shutdown-timeout", type=float, default=0.0)
    parser.add_argument("--kv-transfer-config")
    words = [word for word in arguments if word != "serve"] if arguments[:1] == ["serve"] else list(arguments)
    tag = words.pop(0) if words and not words[0].startswith("-") else None
    told, _ = parser.parse_known_args([_dashed(word) for word in words])
    told.tag = tag
    return told


def _dashed(word: str) -> str:
    """vLLM takes `--max_model_len` for `--max-model-len`."""
    if not word.startswith("--"):
        return word
    name, equals, value = word.partition("=")
    return name.replace("_", "-") + equals + value
