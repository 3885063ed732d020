"""
Which of the waiting tokens to compute together, so that a batch needs few distinct experts.

`longest_queues_first` is Algorithm 1 of Read-ME (arXiv 2410.19123): repeatedly take the expert for
which the most tokens wait, until the token budget is full. It needs one expert for each token, known
before the batch is formed. Read-ME has both, since one router decides for all layers before the
first one runs. In a model with a router in each layer, a layer's experts are known only once the
layers before it are computed; `grouping` groups tokens by one layer's first choice as if that were
known, and counts the distinct experts in all layers. The rule lets tokens of rare experts wait, so it
counts that too.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from loadline_sim.arrays import Ints
from loadline_sim.experts.routings import Routing, distinct_experts, first_choices

Schedule = Callable[[Ints, int], Ints]
"""Chooses from the queue, which has each waiting token's expert in order of arrival: positions to compute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouping:
    """The batches of a schedule: the mean number of distinct experts a batch needs.

    `in_layer` is of the layer by which tokens were grouped (first choices only, and all choices),
    `in_all` the mean over all layers. `longest_wait` is the most batches that a token waited.
    """

    batches: int
    first_choices_in_layer: float
    in_layer: float
    in_all: float
    longest_wait: int


def arrival_order(queue: Ints, budget: int) -> Ints:
    """The tokens that have waited the longest."""
    return np.arange(min(budget, queue.size), dtype=np.int64)


def longest_queues_first(queue: Ints, budget: int) -> Ints:
    """Read-ME's Algorithm 1; of experts with equally many tokens, the one with the lower id first."""
    experts, waiting = np.unique(queue, return_counts=True)
    chosen: list[int] = []
    for expert in experts[np.argsort(-waiting, kind="stable")].tolist():
        if len(chosen) >= budget:
            break
        chosen += np.flatnonzero(queue == expert)[: budget - len(chosen)].tolist()
    return np.array(chosen, dtype=np.int64)


SCHEDULES: dict[str, Schedule] = {
    "arrival order": arrival_order,
    "longest queues first": longest_queues_first,
}


def grouping(
    routing: Routing, *, layer: int, waiting: int, budget: int, schedule: Schedule, seed: int
) -> Grouping:
    """Compute all tokens in batches of `budget`, from a queue that is refilled to `waiting` tokens.

    Each token stands for one request; they arrive in an order drawn by `seed`. Batches smaller than the
    budget, at the end, don't count.
    """
    arriving = np.random.default_rng(seed).permutation(routing.tokens).tolist()[::-1]
    choices = first_choices(routing, layer=layer)
    queue: list[int] = []
    since: dict[int, int] = {}
    counted: list[tuple[int, Ints]] = []
    longest = 0
    while len(queue) + len(arriving) >= budget:
        while arriving and len(queue) < waiting:
            queue.append(arriving.pop())
            since[queue[-1]] = len(counted)
        positions = schedule(choices[queue], budget)
        tokens = np.array(queue, dtype=np.int64)[positions]
        longest = max(longest, *(len(counted) - since[token] for token in tokens.tolist()))
        counted.append((int(np.unique(choices[tokens]).size), distinct_experts(routing, tokens)))
        left = set(tokens.tolist())
        queue = [token for token in queue if token not in left]
    first = np.array([one for one, _ in counted])
    distinct = np.array([by_layer for _, by_layer in counted])
    return Grouping(
        batches=len(counted),
        first_choices_in_layer=float(first.mean()),
        in_layer=float(distinct[:, layer].mean()),
        in_all=float(distinct.mean()),
        longest_wait=longest,
    )
