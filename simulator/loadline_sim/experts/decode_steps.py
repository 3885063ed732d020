"""
Turns a routing into the sequence in which a decoding engine needs experts.

`batch` requests decode together: a step takes the next token of each, and a request that ends gives
its place to the next one (continuous batching). Within a step the layers follow each other, and a
layer needs each distinct expert of the batch once. It computes them one after another, in the order
of their ids; so every policy is asked for the same experts in the same order, and one slot suffices.

The result is one flat array of accesses. A *group* is one layer of one step.
"""

from dataclasses import dataclass

import numpy as np

from loadline_sim.arrays import Ints
from loadline_sim.experts.routings import Routing


@dataclass(frozen=True, slots=True, kw_only=True)
class Accesses:
    """Every need of an expert, in order.

    `key` is the expert's slot key. Group g has the accesses from `group_starts[g]` to
    `group_starts[g + 1]`; it is layer `g % layers` of step `g // layers`. `next_use` is the index of
    the next access to the same expert, or the number of accesses if there is none. `step_tokens` has
    the tokens of each step, as indices into the routing.
    """

    key: Ints
    group_starts: Ints
    next_use: Ints
    layers: int
    experts: int
    step_tokens: tuple[Ints, ...]

    @property
    def steps(self) -> int:
        return len(self.step_tokens)

    @property
    def tokens(self) -> int:
        return sum(int(tokens.size) for tokens in self.step_tokens)

    @property
    def model_experts(self) -> int:
        return self.layers * self.experts

    @property
    def distinct(self) -> int:
        """How many experts are needed at all: each must be loaded at least once."""
        return int(np.unique(self.key).size)

    @property
    def per_layer(self) -> float:
        """The mean number of distinct experts that a layer needs in a step."""
        return self.key.size / (self.steps * self.layers)


def accesses_of(routing: Routing, *, batch: int) -> Accesses:
    """The accesses of a decoding engine that keeps `batch` requests running."""
    steps = decode_steps(routing, batch=batch)
    layers, experts = routing.layers, routing.experts
    step_of_token = np.repeat(np.arange(len(steps)), [tokens.size for tokens in steps])
    ids = routing.ids[np.concatenate(steps)]
    groups = step_of_token[:, np.newaxis] * layers + np.arange(layers)
    needed = np.unique(groups[:, :, np.newaxis] * experts + ids)
    group_of = needed // experts
    key = (group_of % layers) * experts + needed % experts
    return Accesses(
        key=key,
        group_starts=np.searchsorted(group_of, np.arange(len(steps) * layers + 1)),
        next_use=next_uses(key),
        layers=layers,
        experts=experts,
        step_tokens=steps,
    )


def decode_steps(routing: Routing, *, batch: int) -> tuple[Ints, ...]:
    """The tokens of each step, as indices into the routing; the last steps have fewer than `batch`."""
    waiting = [np.flatnonzero(routing.sequence == number).tolist() for number in routing.sequences]
    waiting.reverse()
    running: list[list[int]] = []
    steps = []
    while waiting or running:
        while waiting and len(running) < batch:
            running.append(waiting.pop()[::-1])
        steps.append(np.array([tokens.pop() for tokens in running], dtype=np.int64))
        running = [tokens for tokens in running if tokens]
    return tuple(steps)


def next_uses(key: Ints) -> Ints:
    """For each access the index of the next access with the same key, `key.size` if there is none."""
    order = np.argsort(key, kind="stable")
    following = np.full(key.size, key.size, dtype=np.int64)
    same = key[order[1:]] == key[order[:-1]]
    following[order[:-1][same]] = order[1:][same]
    return following
