"""
One question, one answer: this trace, on so many servers of that engine, with that router.

An answer is given three times: with the engine's steps as they are modelled, and with all of them shorter and
longer by the model's own error. What lies between is the range that is known; what it leaves out is said with
the engine.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from loadline_policies.errors import InvalidInput
from loadline_sim.arrays import Floats
from loadline_sim.capacity.engines import Engine
from loadline_sim.capacity.objectives import Objectives, tpot_s
from loadline_sim.progress import Progress
from loadline_sim.serving import prefix_caches
from loadline_sim.serving.loops import Outcomes, simulate
from loadline_sim.serving.prefix_caches import PrefixCache
from loadline_sim.serving.registry import ROUTERS, SCHEDULERS
from loadline_sim.serving.servers import Fleet, free_tokens
from loadline_sim.traffic.traces import Trace

BLOCK_TOKENS: Final = 16
"""Of a block of KV memory, vLLM's default."""

PERCENT: Final = tuple(range(1, 100))

QUEUES, PREFIXES = "token-queues", "prefix-aware"
ROUTINGS: Final = (QUEUES, "power-of-two", PREFIXES)
"""Routers of servers that do both, by their names in the registry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """A fleet: servers, how many of them compute prompts only, and how steps are filled.

    With no prefill servers each server does both, and `routing` names their router. Servers keep blocks of
    prompts if `keeps_prefixes`, where a trace says which begin alike. They serve the first come first, or go
    `by_priority`, the trace's.
    """

    engine: Engine
    servers: int
    prefill_servers: int = 0
    most_sequences: int = 256
    most_tokens: int = 2048
    keeps_prefixes: bool = True
    routing: str = QUEUES
    by_priority: bool = False

    def __post_init__(self) -> None:
        if self.servers < 1:
            raise InvalidInput("servers", self.servers, fix="give at least 1")
        if not 0 <= self.prefill_servers < self.servers:
            fix = f"give 0 to {self.servers - 1}: at least one of the servers has to decode"
            raise InvalidInput("prefill servers", self.prefill_servers, fix=fix)
        if self.routing not in ROUTINGS:
            raise InvalidInput("router", self.routing, fix=f"use one of {', '.join(ROUTINGS)}")
        if self.routing != QUEUES and self.prefill_servers:
            raise InvalidInput("router", self.routing, fix="leave it out: prefill apart has its own")
        if self.routing == PREFIXES and not self.keeps_prefixes:
            raise InvalidInput("router", self.routing, fix="leave it out without a prefix cache")

    @property
    def gpus(self) -> int:
        """GPUs of all servers."""
        return self.servers * self.engine.gpus

    @property
    def in_words(self) -> str:
        """Its servers, as a reader wants them."""
        servers = f"{self.servers} server{'' if self.servers == 1 else 's'}"
        return f"{servers}, {self.prefill_servers} of them for prompts" if self.prefill_servers else servers

    @property
    def router_name(self) -> str:
        """Its router's, in the registry."""
        return "separate-pools" if self.prefill_servers else self.routing

    def router(self, cache: PrefixCache) -> Any:
        """The router before the first request; `cache` is what its servers will keep."""
        made = ROUTERS[self.router_name]
        if self.prefill_servers:
            return made(self.prefill_servers)
        return made(cache) if self.routing == PREFIXES else made()


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one latency in seconds, over the requests that have it: its mean, and the value of each percent.

    `at[p - 1]` is what `p` percent of the requests don't exceed; all is NaN where no request has it.
    """

    mean: float
    at: tuple[float, ...]

    def p(self, percent: int) -> float:
        """What so many percent of the requests don't exceed."""
        return self.at[percent - 1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one simulation says: times to the first token, per further one and to the last; and the share of
    requests that kept the objectives."""

    ttft: Figures
    tpot: Figures
    e2e: Figures
    kept_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of the requests, and what would have if the engine's steps were faster or slower by its
    error."""

    design: Design
    objectives: Objectives
    trace: Trace
    outcomes: Outcomes
    result: Result
    faster: Result
    slower: Result

    @property
    def unserved(self) -> int:
        """Requests that weren't done a day after the last had come."""
        return int(np.isnan(self.outcomes.response_s).sum())

    @property
    def is_met(self) -> bool:
        """Whether the objectives hold for the share of requests that they ask for."""
        return self.result.kept_share >= self.objectives.share


def answer(
    trace: Trace, design: Design, objectives: Objectives, *, progress: Progress = lambda what, share: None
) -> Answer:
    """Simulate a trace on a design, with the engine's steps as they are, and faster and slower by its error.

    Raises InvalidTrace, by the number of the request, for one that the engine can't serve.
    """
    error, outcomes = design.engine.step_error, []
    for place, pace in enumerate((1.0, 1.0 - error, 1.0 + error)):
        progress("simulating", place / 3)
        outcomes.append(served(trace, design, pace=pace))
    progress("simulating", 1.0)
    result, faster, slower = (_result_of(one, trace, objectives) for one in outcomes)
    return Answer(
        design=design,
        objectives=objectives,
        trace=trace,
        outcomes=outcomes[0],
        result=result,
        faster=faster,
        slower=slower,
    )


def held(trace: Trace, design: Design) -> NDArray[np.bool_]:
    """For each request, whether a server of the design has memory for all of its tokens: an engine refuses
    others."""
    fleet = design.engine.fleet(1, 1)
    most = free_tokens(fleet, block_tokens=BLOCK_TOKENS)
    return trace.prompt_tokens + trace.output_tokens <= most


def served(trace: Trace, design: Design, *, pace: float = 1.0, until_s: float | None = None) -> Outcomes:
    """What becomes of a trace's requests if every step takes `pace` times what the engine's model says.

    Until then, by default a day after the last arrival, what isn't done has no end.
    """
    engine = design.engine
    if design.by_priority and trace.priority is None:
        fix = "give a trace with a column `priority`, or name it with --columns …,priority=NAME"
        raise InvalidInput("scheduling-policy", "priority", fix=fix)
    fleet = paced(engine.fleet(design.servers, priced(trace, design)), pace)
    cache = prefix_caches.no_cache()
    if design.keeps_prefixes and trace.prefixes is not None:
        cache = prefix_caches.prefix_cache(trace.prefixes, fleet, block_tokens=BLOCK_TOKENS)
    scheduler = partial(
        SCHEDULERS["continuous"],
        most_sequences=design.most_sequences,
        most_tokens=design.most_tokens,
        block_tokens=BLOCK_TOKENS,
        cache=cache,
        priorities=trace.priority if design.by_priority else None,
    )
    found = simulate(trace, fleet=fleet, router=design.router(cache), scheduler=scheduler, until_s=until_s)
    front_s = engine.front_end_s
    share = prefix_caches.hit_share(cache, trace.prompt_tokens)
    return Outcomes(found.ttft_s + front_s, found.response_s + front_s, share)


def priced(trace: Trace, design: Design) -> int:
    """The most tokens that a step or a prompt may have."""
    return max(int(trace.prompt_tokens.max(initial=1)), design.most_tokens, design.most_sequences)


def paced(fleet: Fleet, pace: float | Floats) -> Fleet:
    """A fleet all of whose steps take `pace` times as long; a number, or one for each kind of server."""
    extras, column = fleet.extras.copy(), np.reshape(pace, (-1, 1))
    for name in extras.dtype.names or ():
        extras[name] *= pace
    return fleet._replace(prompt_s=fleet.prompt_s * column, token_s=fleet.token_s * column, extras=extras)


def _result_of(outcomes: Outcomes, trace: Trace, objectives: Objectives) -> Result:
    return Result(
        ttft=figures_of(outcomes.ttft_s),
        tpot=figures_of(tpot_s(outcomes, trace.output_tokens)),
        e2e=figures_of(outcomes.response_s),
        kept_share=float(objectives.kept(outcomes, trace.output_tokens).mean()),
    )


def figures_of(values_s: Floats) -> Figures:
    """The figures of the values that there are."""
    there = values_s[np.isfinite(values_s)]
    if not there.size:
        return Figures(np.nan, (np.nan,) * len(PERCENT))
    return Figures(float(there.mean()), tuple(np.quantile(there, np.array(PERCENT) / 100.0).tolist()))
