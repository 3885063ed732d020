"""
Servers whose steps go by a model of what is in them: requests that decode, their contexts, prompts and pairs.

The model is a sum, so tables of the tokens of a step hold its part by tokens, and the extras of a fleet the
rest.
"""

from typing import Final

import numpy as np

from loadline_policies.models.step_parameters import EngineModel
from loadline_sim.serving.servers import Fleet, no_extras, servers_of

UTILIZATION: Final = 0.9
"""Of the GPU's memory that an engine may use, vLLM's default."""

BYTES_PER_S: Final = 50e9
"""Of KV from one server to another: a network card of 400 Gbit/s; assumed."""


def fleet(model: EngineModel, servers: int, *, most_tokens: int) -> Fleet:
    """So many servers of one engine, priced for steps and prompts of at most so many tokens."""
    steps, tokens = model.steps, np.arange(most_tokens + 1, dtype=np.float64)
    extras = no_extras(1)
    extras["decode_s"] = steps.decode_s - steps.prefill_s
    extras["context_s"], extras["pair_s"] = steps.context_s, steps.pair_s
    kv_bytes = model.kv_tokens(UTILIZATION) * model.kv_bytes_per_token
    made = servers_of(np.zeros(servers, np.int64), memory_bytes=kv_bytes, weight_bytes=0)
    base_s = np.where(tokens > 0, steps.base_s, 0.0)
    prompt_s, token_s = (base_s + each_s * tokens for each_s in (steps.prefill_s, steps.decode_s))
    tables = prompt_s[np.newaxis], token_s[np.newaxis]
    return Fleet(made, *tables, extras, model.kv_bytes_per_token, BYTES_PER_S)
