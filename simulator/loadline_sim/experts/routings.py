"""
Recorded routing: which experts each token used, in each layer of a mixture-of-experts model.

A routing holds whole tokens: each has the same layers, and in each layer the same number of experts.
Files are read and checked by `routing_files`; here are the arrays, and what several modules derive
from them. An expert has two numbers: its id within a layer, 0 to E-1, as the model's router numbers
it, and its *slot key*, `layer index · E + id`, which is unique in the model.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from loadline_sim.arrays import Floats, Ints

Marks = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """The experts of each token and layer.

    `ids` has the shape (tokens, layers, experts per token). `weights` has the same shape: the weight
    that the router gave to each expert. `sequence` says which request a token belongs to; a request's
    tokens are consecutive and in order. `experts` is E, the number of experts in each layer, and
    `layer_numbers` are the layers' numbers in the model.
    """

    name: str
    experts: int
    layer_numbers: tuple[int, ...]
    ids: Ints
    weights: Floats
    sequence: Ints

    @property
    def tokens(self) -> int:
        return int(self.ids.shape[0])

    @property
    def layers(self) -> int:
        return int(self.ids.shape[1])

    @property
    def experts_per_token(self) -> int:
        return int(self.ids.shape[2])

    @property
    def model_experts(self) -> int:
        """The routed experts of all layers together."""
        return self.layers * self.experts

    @property
    def sequences(self) -> Ints:
        """The numbers of the requests, in the order of the file."""
        numbers, first = np.unique(self.sequence, return_index=True)
        return np.asarray(numbers[np.argsort(first)], dtype=np.int64)

    def only(self, sequences: Iterable[int]) -> "Routing":
        """The tokens of some of the requests, in the order of the file."""
        return self._chosen(np.flatnonzero(np.isin(self.sequence, np.fromiter(sequences, dtype=np.int64))))

    def first(self, tokens: int) -> "Routing":
        """The first tokens; the last request may be cut."""
        return self._chosen(np.arange(min(tokens, self.tokens)))

    def in_layers(self, numbers: Iterable[int]) -> "Routing":
        """All tokens in some of the layers, given by their numbers in the model."""
        indices = [self.layer_numbers.index(number) for number in numbers]
        return replace(
            self,
            layer_numbers=tuple(self.layer_numbers[index] for index in indices),
            ids=self.ids[:, indices],
            weights=self.weights[:, indices],
        )

    def _chosen(self, tokens: Ints) -> "Routing":
        return replace(
            self, ids=self.ids[tokens], weights=self.weights[tokens], sequence=self.sequence[tokens]
        )


def used(routing: Routing) -> Marks:
    """1 where a token used an expert, else 0; shape (tokens, layers, E)."""
    shape = (routing.tokens, routing.layers, routing.experts)
    marks = np.zeros(shape, dtype=np.float32)
    np.put_along_axis(marks, routing.ids, 1.0, axis=2)
    return marks


def first_choices(routing: Routing, *, layer: int) -> Ints:
    """The expert to which the router gave the largest weight, for each token."""
    best = routing.weights[:, layer].argmax(axis=1)
    return np.asarray(routing.ids[np.arange(routing.tokens), layer, best], dtype=np.int64)


def halves(routing: Routing, *, seed: int) -> tuple[Routing, Routing]:
    """Two halves of the requests, drawn by `seed`: one to learn from, one to replay.

    A whole request goes into one half, so that nothing is predicted from its own other tokens.
    """
    numbers = np.random.default_rng(seed).permutation(routing.sequences)
    middle = numbers.size // 2
    return routing.only(numbers[:middle].tolist()), routing.only(numbers[middle:].tolist())


def distinct_experts(routing: Routing, tokens: Ints) -> Ints:
    """How many distinct experts some tokens use together, in each layer."""
    return np.array([np.unique(routing.ids[tokens, layer]).size for layer in range(routing.layers)])
