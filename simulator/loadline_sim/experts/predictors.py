"""
Guesses which experts a token will use in a layer, before that layer's router has run.

Each predictor learns from one half of the requests and is judged on the other. `scores` gives every
expert of every layer a score, for each token of a routing; higher is likelier.

- *popularity*: how often the layer used the expert. It is the baseline of all others.
- *co-activation* (EdgeMoE, arXiv 2308.14352): from the experts that the token used in the layer
  before, by how often both were used by one token. It knows nothing of the first layer.
- *linear*: a ridge regression for each layer, from the experts of the token's first layer and those
  that the request's previous token used in this layer. It is in the spirit of ExpertFlow (arXiv
  2410.17954), which predicts all layers before the first one has run, but it is not their network:
  theirs is a transformer of 7 MB that reads the tokens, which recorded routing doesn't have.
- *perfect*: reads the answer. It bounds what any predictor could bring.
"""

from collections.abc import Callable

import numpy as np

from loadline_sim.arrays import Floats, Ints
from loadline_sim.experts.caches import NONE
from loadline_sim.experts.decode_steps import Accesses
from loadline_sim.experts.routings import Marks, Routing, used

Predictor = Callable[[Routing, Routing], Marks]
"""Learns from the first routing; returns scores for the second, of shape (tokens, layers, E)."""

PRIOR = 1.0
"""Weight of a layer's popularity among the co-activations of one expert, as a number of tokens; chosen."""

RIDGE = 10.0
"""The penalty on the squared coefficients, as a number of tokens; chosen."""


def popularity(learned: Routing, asked: Routing) -> Marks:
    """How often each expert was used; the same for all tokens."""
    return np.broadcast_to(used(learned).mean(axis=0), (asked.tokens, asked.layers, asked.experts)).copy()


def coactivation(learned: Routing, asked: Routing) -> Marks:
    """From the layer before; the first layer's scores are its popularity."""
    seen, asking = used(learned), used(asked)
    scores = popularity(learned, asked)
    for layer in range(1, asked.layers):
        together = seen[:, layer - 1].T @ seen[:, layer]
        alone = seen[:, layer - 1].sum(axis=0)[:, np.newaxis]
        share = (together + PRIOR * seen[:, layer].mean(axis=0)) / (alone + PRIOR)
        scores[:, layer] = asking[:, layer - 1] @ share
    return scores


def linear(learned: Routing, asked: Routing) -> Marks:
    """A ridge regression for each layer; the first layer's knows only the previous token."""
    seen, asking = used(learned), used(asked)
    before_seen, before_asking = _previous(seen, learned.sequence), _previous(asking, asked.sequence)
    scores = np.empty_like(asking)
    for layer in range(asked.layers):
        known = _features(seen, before_seen, layer=layer)
        gram, moments = known.T @ known, known.T @ seen[:, layer]
        coefficients = np.linalg.solve(gram + RIDGE * np.eye(gram.shape[0]), moments)
        scores[:, layer] = _features(asking, before_asking, layer=layer) @ coefficients
    return scores


def perfect(_: Routing, asked: Routing) -> Marks:
    """The experts that each token used."""
    return used(asked)


PREDICTORS: dict[str, Predictor] = {
    "popularity": popularity,
    "co-activation": coactivation,
    "linear": linear,
    "perfect": perfect,
}


def _previous(marks: Marks, sequence: Ints) -> Marks:
    """The marks of the token before, in the same request; zeros for a request's first token."""
    before = np.zeros_like(marks)
    before[1:] = marks[:-1]
    before[np.flatnonzero(np.diff(sequence, prepend=-1))] = 0.0
    return before


def _features(marks: Marks, before: Marks, *, layer: int) -> Marks:
    parts = [before[:, layer], np.ones((marks.shape[0], 1), dtype=np.float32)]
    return np.hstack(parts if layer == 0 else [marks[:, 0], *parts])


def top(scores: Marks, *, count: int) -> Ints:
    """The experts with the highest scores, the highest first; of equals the one with the lower id."""
    return np.asarray(np.argsort(-scores, axis=-1, kind="stable")[..., :count], dtype=np.int64)


def recall(scores: Marks, asked: Routing) -> Floats:
    """By layer: the share of the used experts among as many predicted ones."""
    predicted = top(scores, count=asked.experts_per_token)
    found = np.take_along_axis(used(asked), predicted, axis=2)
    return np.asarray(found.mean(axis=(0, 2)), dtype=np.float64)


def predicted_keys(scores: Marks, accesses: Accesses, *, count: int) -> Ints:
    """What is predicted for each group: the `count` best experts of each of the step's tokens, together.

    An expert that several tokens are predicted to use comes first; a row ends with NONE.
    """
    layers, experts = accesses.layers, accesses.experts
    widest = max(tokens.size for tokens in accesses.step_tokens)
    width = min(experts, count * widest) + 1
    best = top(scores, count=count)
    wanted = np.zeros_like(scores)
    np.put_along_axis(wanted, best, np.take_along_axis(scores, best, axis=2), axis=2)
    chosen = np.zeros(scores.shape, dtype=np.bool_)
    np.put_along_axis(chosen, best, np.True_, axis=2)
    rows = np.full((accesses.steps, layers, width), NONE, dtype=np.int64)
    for step, tokens in enumerate(accesses.step_tokens):
        together, any_of = wanted[tokens].sum(axis=0), chosen[tokens].any(axis=0)
        order = np.argsort(np.where(any_of, -together, np.inf), axis=1, kind="stable")[:, : width - 1]
        keys = np.arange(layers)[:, np.newaxis] * experts + order
        rows[step, :, : width - 1] = np.where(np.take_along_axis(any_of, order, axis=1), keys, NONE)
    return rows.reshape(accesses.steps * layers, width)
