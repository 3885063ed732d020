"""The recorded batches are those of the simulator's example, with more tokens and fewer layers."""

import numpy as np

from benchmarks.expert_parallel import recorded
from loadline_sim.experts import excerpts, routing_files


def test_the_example_is_part_of_it() -> None:
    whole, example = recorded.read(), routing_files.example().in_layers(recorded.LAYERS)
    assert (whole.tokens, whole.layers, len(whole.sequences)) == (8_327, len(recorded.LAYERS), 33)
    for sequence in example.sequences.tolist():
        tokens = np.flatnonzero(whole.sequence == sequence)[excerpts.SKIPPED :][: excerpts.KEPT]
        assert np.array_equal(whole.ids[tokens], example.ids[example.sequence == sequence])


def test_layers_side_by_side_have_the_experts_of_both() -> None:
    routing = recorded.read()
    one, two = (recorded.batch(routing, layers=layers, tokens=5) for layers in ((0,), (0, 1)))
    assert (one.experts, one.top_k, two.experts, two.top_k) == (64, 6, 128, 12)
    assert np.array_equal(two.ids[:, 6:], routing.ids[:5, 1] + 64)
    assert np.array_equal(two.scores[:, :6], one.scores)


def test_loads_count_each_pair() -> None:
    routing = recorded.read().first(10)
    loads = recorded.loads(routing, layer=3)
    assert (len(loads), sum(loads)) == (64, 10 * 6)
