"""Sequences of a batch have the shape that was asked for, and know which tokens their answers need."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from testbed.kv.recall_curricula import STAGES, WINDOWS_TOKENS, hidden_keys
from testbed.kv.recall_sequences import KEYS, MARK, QUERY, SLOT_TOKENS, Shape, drawn

SHAPES = st.sampled_from([shape for stage in STAGES for shape in stage.shapes])
SEEDS = st.integers(0, 2**32)


@given(SHAPES, SEEDS)
def test_an_answer_follows_each_judged_position(shape: Shape, seed: int) -> None:
    batch = drawn(np.random.default_rng(seed), 3, shape)
    for ids, judged in zip(batch.ids, batch.judged, strict=True):
        (at,) = judged.nonzero()
        assert len(at) == shape.asked
        assert (ids[at - 1] == QUERY).all()
        assert np.isin(ids[at], KEYS).all()


@given(SHAPES, SEEDS)
def test_facts_are_where_the_batch_says(shape: Shape, seed: int) -> None:
    batch = drawn(np.random.default_rng(seed), 3, shape)
    for ids, places, asked in zip(batch.ids, batch.places, batch.asked_facts, strict=True):
        marks = (ids[: shape.context_tokens] == MARK).nonzero()[0]
        assert sorted(places[shape.system : shape.system + shape.marked]) == list(marks)
        at = shape.context_tokens + SLOT_TOKENS * np.arange(shape.asked)
        assert (ids[at + 1] == ids[places[asked] + 1]).all()


@given(SHAPES, SEEDS)
def test_what_answers_need_is_never_hidden_nor_is_what_is_young(shape: Shape, seed: int) -> None:
    generator = np.random.default_rng(seed)
    batch = drawn(generator, 2, shape)
    hidden = hidden_keys(generator, batch)
    if hidden is None:
        return
    ages = np.arange(batch.ids.shape[1])[:, None] - np.arange(batch.ids.shape[1])
    assert not hidden[:, ages <= min(WINDOWS_TOKENS)].any()
    for one, needed, places in zip(hidden, batch.needed, batch.places, strict=True):
        assert not one[:, needed].any()
        assert needed[places[: shape.askable] + 2].all()


def test_some_steps_hide_all_that_is_old_and_some_nothing() -> None:
    generator = np.random.default_rng(0)
    batch = drawn(generator, 1, STAGES[-1].shapes[0])
    shares = [
        0.0 if hidden is None else hidden[0, -1, : -max(WINDOWS_TOKENS) - 1][~batch.needed[0, :-33]].mean()
        for hidden in (hidden_keys(generator, batch) for _ in range(40))
    ]
    assert (min(shares), max(shares)) == (0.0, 1.0)
