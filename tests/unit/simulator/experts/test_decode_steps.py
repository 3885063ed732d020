"""Which experts a decoding engine needs, and when."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from loadline_sim.experts.decode_steps import accesses_of, decode_steps
from loadline_sim.experts.routings import Routing, halves
from testbed.small_routings import routing_of, routings


def test_a_request_that_ends_gives_its_place_to_the_next() -> None:
    routing = routing_of([[[0]]] * 6, experts=2, sequence=[0, 0, 1, 2, 2, 2])
    assert [tokens.tolist() for tokens in decode_steps(routing, batch=2)] == [[0, 2], [1, 3], [4], [5]]


def test_a_layer_needs_each_expert_of_the_batch_once() -> None:
    routing = routing_of([[[2, 0], [1, 2]], [[0, 1], [2, 1]]], experts=3, sequence=[0, 1])
    accesses = accesses_of(routing, batch=2)
    assert accesses.key.tolist() == [0, 1, 2, 3 + 1, 3 + 2]
    assert accesses.group_starts.tolist() == [0, 3, 5]
    assert accesses.per_layer == 2.5


@given(routings(), st.integers(1, 4))
def test_every_token_is_computed_once_and_in_order(routing: Routing, batch: int) -> None:
    steps = decode_steps(routing, batch=batch)
    assert sorted(np.concatenate(steps).tolist()) == list(range(routing.tokens))
    for number in routing.sequences:
        mine = [token for step in steps for token in step.tolist() if routing.sequence[token] == number]
        assert mine == sorted(mine)


@given(routings(), st.integers(1, 4))
def test_accesses_are_the_experts_of_the_steps(routing: Routing, batch: int) -> None:
    accesses = accesses_of(routing, batch=batch)
    for step, tokens in enumerate(accesses.step_tokens):
        for layer in range(routing.layers):
            group = step * routing.layers + layer
            first, last = accesses.group_starts[group : group + 2]
            needed = sorted(set(routing.ids[tokens, layer].ravel().tolist()))
            assert (accesses.key[first:last] - layer * routing.experts).tolist() == needed


@given(routings(), st.integers(0, 99))
def test_the_halves_share_no_request(routing: Routing, seed: int) -> None:
    learned, asked = halves(routing, seed=seed)
    assert set(learned.sequences) | set(asked.sequences) == set(routing.sequences)
    assert not set(learned.sequences) & set(asked.sequences)
    assert learned.tokens + asked.tokens == routing.tokens
