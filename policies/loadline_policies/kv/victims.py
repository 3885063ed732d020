"""
Whose memory is taken when running requests need more blocks than are free.

A request that is preempted loses its keys and values and is computed again from its beginning, so what is
lost is what it has computed. vLLM preempts the request that started last. That is often the one that has
computed least, but not if it had a long prompt (vllm-project/vllm#54644).

Requests are ordered with those that should keep their memory first, since vLLM takes it from the end.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from types import MappingProxyType
from typing import Final

MOST_PREEMPTIONS: Final = 3
"""A request that was preempted this often keeps its memory before all others, so that it ends. Chosen."""


class VictimRule(StrEnum):
    """How the request is chosen that is preempted first."""

    NEWEST = "newest"
    LEAST_COMPUTED = "least-computed"
    DEADLINE = "deadline"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningRequest:
    """What a rule looks at. `deadline_s` is on any clock, infinite if the request has none."""

    computed_tokens: int
    preemptions: int = 0
    deadline_s: float = inf


def kept_first(running: Sequence[RunningRequest], rule: VictimRule) -> list[int]:
    """Places of `running`, those that should keep their memory first; vLLM's own order decides ties."""
    order = _ORDERS[rule]
    return sorted(
        range(len(running)),
        key=lambda place: (running[place].preemptions < MOST_PREEMPTIONS, *order(running[place])),
    )


_ORDERS: Mapping[VictimRule, Callable[[RunningRequest], tuple[float, ...]]] = MappingProxyType(
    {
        VictimRule.NEWEST: lambda _: (),
        VictimRule.LEAST_COMPUTED: lambda one: (-one.computed_tokens,),
        VictimRule.DEADLINE: lambda one: (one.deadline_s, -one.computed_tokens),
    }
)
