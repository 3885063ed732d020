"""
A model of the real engine's steps, from one recording of it, and nothing else.

The steps come from the engine's own log: least squares, each weighed by what the model says of it, over a
fixed part, requests that decode, the tokens that they hold, prompt tokens and pairs, none of them negative.
Two times aren't in a step: what passes between two of them, and the front end. They are set so that the
recording's own mean time per token and mean time to the first token come out.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import numpy as np

from benchmarks.engine_errors.loads import Load
from benchmarks.engine_errors.recordings import (
    KV_GIB,
    KV_TOKEN_BYTES,
    MOST_SEQUENCES,
    MOST_TOKENS,
    Recording,
)
from loadline_policies.models.step_parameters import EngineModel
from loadline_policies.models.steps import StepModel
from loadline_sim.arrays import Floats, Ints
from loadline_sim.serving import gaps, loops, step_fleets
from loadline_sim.serving.registry import ROUTERS, SCHEDULERS
from loadline_sim.traffic.traces import Trace

KV_TOKENS: Final = (KV_GIB << 30) // KV_TOKEN_BYTES
BLOCK_TOKENS: Final = 16
ROUNDS: Final = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedModel:
    """Steps as they are logged, what passes between them, the front end; the mean relative error of the
    steps."""

    steps: StepModel
    between_s: float
    front_end_s: float
    step_error: float

    @property
    def engine(self) -> EngineModel:
        """The engine with steps that include what passes between them."""
        memory = KV_TOKENS * KV_TOKEN_BYTES / step_fleets.UTILIZATION
        return EngineModel(
            name="engine-error",
            steps=replace(self.steps, base_s=self.steps.base_s + self.between_s),
            gpu_bytes=memory,
            other_bytes=0.0,
            kv_bytes_per_token=KV_TOKEN_BYTES,
        )


@dataclass(frozen=True, slots=True)
class Simulated:
    """What the simulator says of a load's requests, and of the times between all of their tokens."""

    ttft_s: Floats
    e2e_s: Floats
    gaps: Ints


def fit(recording: Recording, load: Load) -> FittedModel:
    """The model of one recording."""
    steps, error = fit_steps(recording.steps)
    model = FittedModel(steps=steps, between_s=0.0, front_end_s=0.0, step_error=error)
    trace = load.trace()
    further = trace.output_tokens - 1
    seen = float((recording.e2e_s - recording.ttft_s).sum() / further.sum())
    low, high = -steps.base_s / 2, steps.base_s
    for _ in range(ROUNDS):
        middle = (low + high) / 2
        found = simulated(trace, replace(model, between_s=middle))
        told = float((found.e2e_s - found.ttft_s).sum() / further.sum())
        low, high = (middle, high) if told < seen else (low, middle)
    model = replace(model, between_s=(low + high) / 2)
    late_s = float(recording.ttft_s.mean() - simulated(trace, model).ttft_s.mean())
    return replace(model, front_end_s=late_s)


def fit_steps(steps: Floats) -> tuple[StepModel, float]:
    """The model of logged steps, and its mean relative error on them."""
    prompts, prompt_tokens, decoding, seconds, used = steps.T
    held = np.maximum(used * KV_TOKENS - prompt_tokens, 0.0) * (decoding > 0)
    pairs = np.where(prompts > 0, prompt_tokens**2 / np.maximum(prompts, 1) / 2, 0.0)
    columns = np.stack([np.ones(seconds.size), decoding, held, prompt_tokens, pairs], axis=1)
    found, weights_s = np.zeros(columns.shape[1]), seconds
    for _ in range(ROUNDS):
        found = _not_negative(columns / weights_s[:, None], seconds / weights_s)
        weights_s = columns @ found
    off = np.abs(columns @ found / seconds - 1.0)
    base, slot, context, prefill, pair = (float(one) for one in found)
    model = StepModel(base_s=base, decode_s=slot, context_s=context, prefill_s=prefill, pair_s=pair)
    return model, float(off.mean())


def simulated(trace: Trace, model: FittedModel) -> Simulated:
    """What a load's requests would get from a server of this model."""
    counted = gaps.no_gaps()
    found = loops.simulate(
        trace,
        fleet=step_fleets.fleet(
            model.engine, 1, most_tokens=max(MOST_TOKENS, int(trace.prompt_tokens.max()))
        ),
        router=ROUTERS["token-queues"](),
        scheduler=partial(
            SCHEDULERS["continuous"],
            most_sequences=MOST_SEQUENCES,
            most_tokens=MOST_TOKENS,
            block_tokens=BLOCK_TOKENS,
            gaps=counted,
        ),
    )
    return Simulated(found.ttft_s + model.front_end_s, found.response_s + model.front_end_s, counted)


def _not_negative(columns: Floats, seen: Floats) -> Floats:
    """Least squares without negative coefficients: the most negative one is left out until none is."""
    used = list(range(columns.shape[1]))
    while True:
        found = np.linalg.lstsq(columns[:, used], seen, rcond=None)[0]
        if found.min() >= 0.0 or len(used) == 1:
            whole = np.zeros(columns.shape[1])
            whole[used] = np.maximum(found, 0.0)
            return whole
        used.pop(int(found.argmin()))
