"""Routings of tests: drawn by Hypothesis, or small ones that say what they are."""

import numpy as np
from hypothesis import strategies as st

from loadline_sim.experts.routings import Routing


def routing_of(ids: object, *, experts: int, sequence: list[int] | None = None) -> Routing:
    """A routing with these ids, of shape (tokens, layers, experts per token), and falling weights."""
    array = np.array(ids, dtype=np.int64)
    weights = np.broadcast_to(1.0 / (np.arange(array.shape[2]) + 2.0), array.shape)
    return Routing(
        name="drawn",
        experts=experts,
        layer_numbers=tuple(range(1, array.shape[1] + 1)),
        ids=array,
        weights=weights,
        sequence=np.array(sequence or [0] * array.shape[0], dtype=np.int64),
    )


@st.composite
def routings(draw: st.DrawFn) -> Routing:
    """Any small routing: 1 to 3 layers of 2 to 5 experts, 2 to 5 requests."""
    experts = draw(st.integers(2, 5))
    per_token = draw(st.integers(1, experts - 1))
    layers = draw(st.integers(1, 3))
    lengths = draw(st.lists(st.integers(1, 6), min_size=2, max_size=5))
    tokens = sum(lengths)
    seed = draw(st.integers(0, 2**32 - 1))
    order = np.random.default_rng(seed).random((tokens, layers, experts)).argsort(axis=2)
    return routing_of(
        order[:, :, :per_token],
        experts=experts,
        sequence=[i for i, length in enumerate(lengths) for _ in range(length)],
    )
