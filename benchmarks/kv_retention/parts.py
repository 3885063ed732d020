"""
Runs the parts of retention's benchmark one after the other, each in the engine's interpreter.

A part is a piece (`benchmarks.resumable`): a run of the same code, model and options goes on where another
ended. Nothing here needs torch or vLLM.
"""

import hashlib
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks import engine_runs
from benchmarks.kv_retention.setups import STREAMING, TRIMKV, Setup
from benchmarks.resumable import finished
from loadline_sim.resumable import Piece, code_hash

ROOT: Final = Path(__file__).parents[2]
PROGRESS: Final = ROOT / "build" / "kv"
CODE: Final = (
    "benchmarks/admissions",
    "benchmarks/kv_retention",
    "policies/loadline_policies/kv",
    "policies/loadline_policies/models",
    "testbed/engines",
    "testbed/kv",
    "workers/loadline_vllm",
)
WEIGHTS: Final = "testbed/kv"

BOUNDED: Final = ((TRIMKV, 32), (TRIMKV, 64), (STREAMING, 64))
"""Policies and budgets whose tokens are compared with the reference's."""

LARGE: Final = 512
"""M of requests that are never folded."""

MANY_BLOCKS, FEW_BLOCKS, POOL_BLOCKS = 128, 17, 32
POOL_STEP_TOKENS: Final = 256
HEAD: Final = 128
"""Head size in the arithmetic of 4 bits: that of Llama-3 and Qwen3. In a small one scales weigh more."""

ARMS: Final = ("stock", "retention")
"""Of the agentic sessions."""

Parts = Mapping[str, tuple[Callable[..., Piece], tuple[Any, ...]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How much of everything. The defaults are the whole run."""

    requests: int = 48
    tokens: int = 40
    preempted_requests: int = 24
    preempted_tokens: int = 150
    pool_tokens: int = 200
    samples: int = 32
    pairs: int = 60
    rank_requests: int = 60
    sessions: int = 24
    session_seeds: tuple[int, ...] = (0, 1, 2)
    seed: int = 0


QUICK: Final = Options(
    requests=6,
    tokens=8,
    preempted_requests=12,
    preempted_tokens=60,
    pool_tokens=60,
    samples=2,
    pairs=3,
    rank_requests=12,
    sessions=4,
    session_seeds=(0,),
)


def blocks_of_4_bits(blocks: int) -> int:
    """Blocks of as many bytes as so many at 16 bits, with a scale and an offset for each token and head."""
    return blocks * 16 * HEAD // (4 * HEAD + 2 * 16)


def recall(options: Options) -> Piece:
    """The accuracies of all arms."""
    return _done({"recall": _part("accuracies", options.samples, options.seed)}, options)["recall"]


def others(options: Options) -> dict[str, Piece]:
    """All parts but the accuracies, by their names."""
    return _done(dict(_others(options)), options)


def _others(options: Options) -> Iterator[tuple[str, tuple[Callable[..., Piece], tuple[Any, ...]]]]:
    yield from _equal_tokens(options)
    yield from _preempted(options)
    for name, setup in pools(options).items():
        yield f"pool: {name}", (counted, (str(setup),))
    yield "ranks", _part("rank_agreements", options.rank_requests)
    for seed in options.session_seeds:
        for arm in ARMS:
            yield f"sessions: {arm}, seed {seed}", _part("prefix_hits", arm, seed, options.sessions)
    yield "idle", _part("idle_costs", options.pairs)


def _equal_tokens(options: Options) -> Iterator[tuple[str, tuple[Callable[..., Piece], tuple[Any, ...]]]]:
    asked = Setup(blocks=MANY_BLOCKS, tokens=options.tokens, requests=options.requests, seed=options.seed)
    yield "tokens: stock", _part("engine_answers", asked.with_(plugin=False))
    yield "tokens: all kept", _part("engine_answers", asked)
    yield "tokens: large budget", _part("engine_answers", asked.with_(kept_tokens=LARGE))
    for policy, kept in BOUNDED:
        setup = asked.with_(policy=policy, kept_tokens=kept)
        yield f"tokens: {policy} {kept}", _part("engine_answers", setup)
        yield f"reference: {policy} {kept}", _part("reference_answers", setup)


def _preempted(options: Options) -> Iterator[tuple[str, tuple[Callable[..., Piece], tuple[Any, ...]]]]:
    asked = Setup(
        blocks=FEW_BLOCKS,
        tokens=options.preempted_tokens,
        requests=options.preempted_requests,
        policy=TRIMKV,
        kept_tokens=64,
        seed=options.seed + 1,
    )
    yield "preempted: few blocks", _part("engine_answers", asked)
    yield "preempted: many blocks", _part("engine_answers", asked.with_(blocks=MANY_BLOCKS))


def pools(options: Options) -> dict[str, Setup]:
    """The engines of the small pool, those of as many bytes at 4 bits, and those whose prompts are shared.

    Prefix caching is on in all: vLLM's requests share the blocks of shared prompts, and bounded ones don't.
    """
    stock = Setup(
        blocks=POOL_BLOCKS,
        tokens=options.pool_tokens,
        requests=options.requests,
        distinct=True,
        running=options.requests,
        step_tokens=POOL_STEP_TOKENS,
        plugin=False,
        seed=options.seed,
    )
    bounded = {
        f"trimkv {kept}": stock.with_(plugin=True, policy=TRIMKV, kept_tokens=kept) for kept in (32, 64)
    }
    at_16_bits = {"stock": stock, **bounded}
    larger = blocks_of_4_bits(POOL_BLOCKS)
    at_4_bits = {f"{name}, 4 bits": one.with_(blocks=larger) for name, one in at_16_bits.items()}
    shared = {
        f"{name}, shared prompts": at_16_bits[name].with_(distinct=False) for name in ("stock", "trimkv 32")
    }
    return at_16_bits | at_4_bits | shared


def counted(setup: str) -> Piece:
    """What an engine did, without the tokens that it answered.

    Its prompts are computed in large chunks, which see what is folded later, so first tokens show nothing.
    """
    found = engine_runs.run("benchmarks.kv_retention.engine_answers", setup)
    return {name: value for name, value in found.items() if name not in {"answers", "right"}}


def _part(module: str, *arguments: object) -> tuple[Callable[..., Piece], tuple[Any, ...]]:
    return engine_runs.run, (f"benchmarks.kv_retention.{module}", *map(str, arguments))


def _done(parts: Parts, options: Options) -> dict[str, Piece]:
    """What comes of them, in their order."""
    asked = f"{code_hash(ROOT, CODE)} {_weights_hash()} {options}"
    file = PROGRESS / f"{hashlib.sha256(asked.encode()).hexdigest()[:16]}.jsonl"
    found = finished(parts, file, jobs=1, said=_said)
    return {name: found[name] for name in parts}


def _weights_hash() -> str:
    """The hash of the model and its gates."""
    digest = hashlib.sha256()
    for path in sorted((ROOT / WEIGHTS).rglob("*.safetensors")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _said(name: str, done: int, of: int) -> None:
    print(f"{done:4} of {of}  {name}", file=sys.stderr, flush=True)
