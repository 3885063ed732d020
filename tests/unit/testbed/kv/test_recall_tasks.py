"""A recall task has one right answer to each query, where it says, and is the same for one seed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_policies.errors import InvalidInput
from testbed.kv.recall_sequences import BOS, KEYS, MARK, NOISE, QUERY, REFUSED, VALUES, WITHHOLD
from testbed.kv.recall_tasks import TASKS, Sample, information_limit, needed_positions, unmarked

FIRST_TOKENS = (1, 122, 120, 116, 3, 51, 109, 112, 114, 125, 122, 126)
FIRST_QUERIES = [(9, 101), (14, 109), (47, 105)]

NAMES = st.sampled_from(sorted(TASKS))
SEEDS = st.integers(0, 2**32)


def told(sample: Sample) -> dict[int, int]:
    """The value of each key, as the tokens of the prompt have it: a key and then a value."""
    pairs = zip(sample.context, sample.context[1:], strict=False)
    return {key: value for key, value in pairs if key in KEYS and value in VALUES}


def withheld(sample: Sample) -> set[int]:
    pairs = zip(sample.context, sample.context[1:], strict=False)
    return {key for token, key in pairs if token == WITHHOLD}


@given(NAMES, SEEDS)
def test_answers_are_what_the_prompt_says(name: str, seed: int) -> None:
    for sample in TASKS[name](2, seed=seed).samples:
        for query in sample.queries:
            value = told(sample)[query.key]
            if query.key in withheld(sample):
                assert (query.answer, query.secret) == (REFUSED, value)
            else:
                assert (query.answer, query.secret) == (value, None)


@given(NAMES, SEEDS)
def test_no_key_is_told_or_asked_twice(name: str, seed: int) -> None:
    for sample in TASKS[name](2, seed=seed).samples:
        keys = [
            key
            for before, key, value in zip(
                sample.context, sample.context[1:], sample.context[2:], strict=False
            )
            if key in KEYS and before != WITHHOLD and value in VALUES
        ]
        assert len(keys) == len(set(keys))
        assert len({query.key for query in sample.queries}) == len(sample.queries)


@given(NAMES, SEEDS)
def test_the_part_of_a_query_has_what_its_answer_needs(name: str, seed: int) -> None:
    for sample in TASKS[name](2, seed=seed).samples:
        assert [part.start for part in sample.parts] == [0, *(part.end for part in sample.parts[:-1])]
        assert sample.parts[-1].end == len(sample.context)
        for query in sample.queries:
            part = sample.parts[query.part]
            assert query.key in sample.context[part.start : part.end]


@given(NAMES, SEEDS)
def test_a_task_is_the_same_for_one_seed_and_another_for_another(name: str, seed: int) -> None:
    assert TASKS[name](2, seed=seed) == TASKS[name](2, seed=seed)
    assert TASKS[name](2, seed=seed) != TASKS[name](2, seed=seed + 1)


def test_the_first_tokens_are_the_same_everywhere() -> None:
    """NumPy promises its generator's bits, not that of every method on them: a change would show here."""
    (sample,) = TASKS["marked_recall"](1, seed=0).samples
    assert sample.context[:12] == FIRST_TOKENS
    assert [(query.key, query.answer) for query in sample.queries[:3]] == FIRST_QUERIES


@pytest.mark.parametrize(
    ("name", "tokens", "queries"),
    [
        ("marked_recall", 196, 6),
        ("plain_recall", 241, 12),
        ("system_facts", 196, 11),
        ("several_instructions", 193, 8),
        ("withheld_facts", 196, 6),
    ],
)
def test_tasks_are_as_long_as_they_say(name: str, tokens: int, queries: int) -> None:
    for sample in TASKS[name](3, seed=0).samples:
        assert (len(sample.context), len(sample.queries)) == (tokens, queries)
        assert sample.context[0] == BOS


def test_a_dialogue_asks_and_answers_everything() -> None:
    (sample,) = TASKS["marked_recall"](1, seed=0).samples
    ids, judged = sample.dialogue()
    assert [ids[at + 1] for at in judged] == [query.answer for query in sample.queries]
    assert [ids[at - 1 : at + 1] for at in judged] == [[QUERY, query.key] for query in sample.queries]
    assert sample.request(2) == [*sample.context, QUERY, sample.queries[2].key]


def test_the_system_of_a_prompt_may_be_protected_at_the_smallest_budget() -> None:
    for name in ("system_facts", "withheld_facts"):
        (sample,) = TASKS[name](1, seed=0).samples
        assert sample.parts[0].tokens <= 32 // 2


def test_each_part_has_as_many_instructions() -> None:
    for sample in TASKS["several_instructions"](4, seed=0).samples:
        parts = [query.part for query in sample.queries]
        assert sorted(parts) == [0, 0, 1, 1, 2, 2, 3, 3]


@given(SEEDS)
def test_an_oracle_keeps_what_is_marked_and_fits_the_smallest_budget(seed: int) -> None:
    (sample,) = TASKS["marked_recall"](1, seed=seed).samples
    kept = [sample.context[at] for at in needed_positions(sample.context)]
    assert len(kept) == 19
    for query in sample.queries:
        at = kept.index(query.key)
        assert kept[at - 1 : at + 2] == [MARK, query.key, query.answer]


def test_an_oracle_knows_nothing_without_marks() -> None:
    task = unmarked(TASKS["marked_recall"](3, seed=0))
    for sample in task.samples:
        assert needed_positions(sample.context) == (0,)
        assert MARK not in sample.context
    assert [one.queries for one in task.samples] == [
        one.queries for one in TASKS["marked_recall"](3, seed=0).samples
    ]


def test_the_limit_counts_what_is_kept_and_guesses_the_rest() -> None:
    assert information_limit(80, kept_tokens=32, choices=1) == pytest.approx((32 + 48 / 24) / 80)
    assert information_limit(80, kept_tokens=32, choices=2) == pytest.approx((64 + 16 / 24) / 80)
    assert information_limit(80, kept_tokens=64, choices=2) == 1.0
    assert NOISE.stop == 128


@pytest.mark.parametrize("field", ["facts", "kept_tokens", "choices"])
def test_a_limit_of_nothing_is_refused(field: str) -> None:
    given_values = {"facts": 80, "kept_tokens": 32, "choices": 1} | {field: 0}
    with pytest.raises(InvalidInput, match=field):
        information_limit(
            given_values["facts"], kept_tokens=given_values["kept_tokens"], choices=given_values["choices"]
        )
