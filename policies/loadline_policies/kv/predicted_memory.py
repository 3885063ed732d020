"""
The policy `predicted-memory`: admit requests by the memory that they will need, and choose who is preempted.

It decides inside the engine, at each step, and the agent only passes its settings on. So this module has the
settings alone, without the arrays that the decision needs. A document without settings observes: the engine
admits as vLLM does, and counts what the policy would have refused.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from pydantic import Field

from loadline_policies.kv.victims import VictimRule
from loadline_policies.settings import Settings

LONGEST_WINDOW: Final = 10_000
"""Requests whose lengths are remembered at most, whatever a document sets. Chosen: they take a megabyte."""


class AdmissionMode(StrEnum):
    """How far the policy goes."""

    OBSERVE = "observe"
    ENFORCE = "enforce"


class EstimatorName(StrEnum):
    """The estimators that a document may name."""

    HISTORY = "history"
    BUCKETS = "buckets"
    WORST_CASE = "worst-case"


class Config(Settings):
    """What a `predicted-memory` document may set."""

    admission: AdmissionMode = Field(
        AdmissionMode.OBSERVE,
        strict=False,
        description="observe: count the requests that would be refused; enforce: let them wait until the"
        " batch with them is predicted to fit",
    )
    estimator: EstimatorName = Field(
        EstimatorName.HISTORY,
        strict=False,
        description="how the length of an answer is predicted. history: as the lengths of the last requests;"
        " buckets: from the prompt, by a classifier that learns while serving; worst-case: as long as the"
        " request allows",
    )
    victim: VictimRule = Field(
        VictimRule.LEAST_COMPUTED,
        strict=False,
        description="which request is preempted first when memory runs out after all, under enforce."
        " newest: as vLLM does; least-computed: the one with the least to compute again; deadline: the one"
        " whose deadline is latest. An engine with priority scheduling goes by the requests' priorities",
    )
    reserve_percent: int = Field(
        2, ge=0, le=50, description="share of the KV memory that predicted batches leave free"
    )
    window_requests: int = Field(
        1000, ge=10, le=LONGEST_WINDOW, description="requests whose lengths are remembered"
    )
    least_requests: int = Field(
        50,
        ge=0,
        le=10_000,
        description="requests that must have ended before predictions go by them alone",
    )
    initial_tokens: int = Field(
        2048,
        ge=1,
        le=10_000_000,
        description="length of an answer that is assumed for each request that is missing of leastRequests",
    )


@dataclass(frozen=True, slots=True)
class MemoryPolicy:
    """A policy whose settings the engine's plugin gets as they are."""

    name: str
    summary: str
    config: type[Config] = Config


PREDICTED_MEMORY = MemoryPolicy(
    "predicted-memory",
    "Admit a request when the batch with it is predicted to fit into the KV memory until its last request"
    " ends, and choose which request is preempted if it doesn't.",
)
