"""
What bounded requests compute that others find in the prefix cache, on agentic sessions; JSON at the end.

    python -m benchmarks.kv_retention.prefix_hits ARM SEED SESSIONS

ARM is `stock`, vLLM's scheduler with prefix caching, or `retention`, Loadline's with a budget for each
request, which then neither reads nor publishes cached blocks. Both schedule the same turns in simulated time,
with the pool and the step times of Llama-3.1-8B in FP8 on an H200. Nothing is computed: tokens are counted as
they are scheduled. A recorded prompt has the answer before it, which an engine may have cached; here it
counts among the tokens that are new to a cache.

A request waits for its time, not for the answer before it. So the engine with retention falls behind.
"""

import json
import logging
import sys
from dataclasses import dataclass
from typing import Any, Final

import torch
from vllm.v1.core.sched.async_scheduler import AsyncScheduler

from benchmarks.admissions.engines import SimulatedEngine
from benchmarks.admissions.workloads import Arrival
from benchmarks.kv_retention import bounded_schedulers, sessions
from benchmarks.kv_retention.bounded_schedulers import Bounds
from benchmarks.kv_retention.sessions import Turn
from loadline_policies.models import step_parameters
from loadline_vllm.schedulers import LoadlineScheduler
from testbed.engines.schedulers import Limits, Memory, built, hasher

BLOCK_TOKENS: Final = 16
CONTEXT_TOKENS: Final = 131_072
"""Of Llama-3.1."""
LIMITS: Final = Limits(requests=1_024, tokens=8_192, context_tokens=CONTEXT_TOKENS)
BOUNDS: Final = Bounds(
    kept_tokens=8_192, buffer_tokens=1_024, block_tokens=BLOCK_TOKENS, step_tokens=LIMITS.tokens
)
MEMORY_SHARE: Final = 0.9
"""Of the GPU's memory, vLLM's own default."""

WITHIN_S: Final = 1_800.0
FIRST_WORD: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionArrival(Arrival):
    """A turn's request. Its prompt's tokens are told by session and place, and so begin as earlier ones."""

    session: int

    def prompt(self) -> list[int]:
        return [FIRST_WORD + self.session] * 2 + [
            FIRST_WORD + place % 1_000 for place in range(self.prompt_tokens - 2)
        ]


def arrivals(turns: list[Turn]) -> list[Arrival]:
    """Requests that end where the turn did."""
    return [
        SessionArrival(
            request_id=str(number),
            arrived_s=turn.at_s,
            prompt_tokens=turn.prompt_tokens,
            output_tokens=turn.output_tokens,
            most_tokens=turn.output_tokens,
            session=turn.session,
        )
        for number, turn in enumerate(turns)
    ]


def scheduler(arm: str) -> Any:
    """The scheduler of an arm, with the pool of the modelled engine."""
    blocks = step_parameters.load().kv_tokens(MEMORY_SHARE) // BLOCK_TOKENS
    memory = Memory(blocks=blocks, block_tokens=BLOCK_TOKENS, prefix_caching=True)
    if arm == "stock":
        return built(AsyncScheduler, memory, LIMITS)
    found = built(LoadlineScheduler, memory, LIMITS, groups=[bounded_schedulers.group(BOUNDS)])
    if found.budgets is None:
        raise RuntimeError(f"no request would have a budget: {found.unbounded}")
    return found


def counted(arm: str, turns: list[Turn]) -> dict[str, Any]:
    """Tokens that an arm computes for all turns."""
    engine = SimulatedEngine(
        scheduler=scheduler(arm),
        steps=step_parameters.load().steps,
        arrivals=arrivals(turns),
        hasher=hasher(BLOCK_TOKENS),
    )
    engine.run()
    return {
        "arm": arm,
        "sessions": len({turn.session for turn in turns}),
        "requests": len(turns),
        "prompt_tokens": sum(turn.prompt_tokens for turn in turns),
        "output_tokens": sum(turn.output_tokens for turn in turns),
        "computed_tokens": engine.work.computed_tokens,
        "recomputed_tokens": engine.work.recomputed_tokens,
        "preemptions": engine.work.preemptions,
        "mean_usage": engine.work.usage_sum / engine.work.steps,
    }


def main() -> None:
    """Schedule, and print one JSON document."""
    logging.getLogger("vllm").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    arm, seed, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    turns = sessions.drawn(
        sessions.read(), sessions=count, context_tokens=CONTEXT_TOKENS, within_s=WITHIN_S, seed=seed
    )
    print(json.dumps({"seed": seed, **counted(arm, turns)}))


if __name__ == "__main__":
    main()
