"""The recall probe: long enough to be folded, and answers of engines that nothing is believed of."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_agent.canaries.texts import TEXTS
from loadline_agent.retention.recall_prompts import (
    ANSWER_TOKENS,
    FACTS,
    MARGIN_WORDS,
    MOST_WORDS,
    Answer,
    answer,
    drift_nats,
    prompt,
    recall_loss_fraction,
    request,
)
from loadline_policies.errors import InvalidInput
from testbed.doubles.retaining_engines import completion


def told(tokens: list[str], *, logprob: float = -0.5) -> Answer:
    filled = [*tokens, *["."] * ANSWER_TOKENS][:ANSWER_TOKENS]
    return answer(completion(filled, logprob=logprob))


ALL = told([*FACTS.values()])


@pytest.mark.parametrize("tokens", [1, 320, 2304, MOST_WORDS - MARGIN_WORDS])
def test_a_prompt_has_more_words_than_a_budget_and_its_buffer_have_tokens(tokens: int) -> None:
    assert len(prompt(tokens).split()) > tokens


def test_facts_stand_before_what_is_folded_first_and_their_answer_does_not() -> None:
    text = prompt(1000)
    assert all(text.count(code) == 1 for code in FACTS.values())
    assert len(text[: text.index(FACTS["quarry"])].split()) < MARGIN_WORDS
    assert text.endswith("the code of the harbour is")
    assert not any(code in " ".join(TEXTS) for code in FACTS.values())


def test_a_prompt_that_would_be_too_long_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"set rungTokens and bufferTokens to 8128 together, or less"):
        prompt(MOST_WORDS)


def test_a_request_asks_for_the_likeliest_answer_of_fixed_length() -> None:
    asked = json.loads(request("tiny", "some text"))
    assert (asked["model"], asked["prompt"], asked["temperature"]) == ("tiny", "some text", 0)
    assert (asked["max_tokens"], asked["ignore_eos"]) == (ANSWER_TOKENS, True)


@pytest.mark.parametrize(("named", "loss"), [(4, 0.0), (3, 0.25), (1, 0.75), (0, 1.0)])
def test_lost_are_facts_that_were_named_before(named: int, loss: float) -> None:
    assert recall_loss_fraction(ALL, told([*FACTS.values()][:named])) == loss
    assert recall_loss_fraction(told(["4815"]), told(["4815"])) == 0.0


def test_of_a_model_that_names_none_the_tokens_after_the_answers_part_are_lost() -> None:
    before = told(["a"] * ANSWER_TOKENS)
    assert recall_loss_fraction(before, before) == 0.0
    assert recall_loss_fraction(before, told(["a"] * 12 + ["b"])) == 0.75


def test_drift_is_measured_up_to_the_token_where_answers_part() -> None:
    before = told(["a", "b", "c"])
    assert drift_nats(before, before) == 0.0
    assert drift_nats(before, told(["a", "b", "c"], logprob=-0.75)) == pytest.approx(0.25)
    parted = told(["a", "other", "x"])  # whose alternatives have no b
    assert drift_nats(before, parted) == pytest.approx((0.0 + 0.01) / 2)


@given(st.integers(0, ANSWER_TOKENS), st.floats(-5.0, 0.0), st.floats(-5.0, 0.0))
def test_a_reading_is_a_number(same: int, first: float, second: float) -> None:
    before = told(["a"] * ANSWER_TOKENS, logprob=first)
    now = told(["a"] * same + ["b"] * (ANSWER_TOKENS - same), logprob=second)
    assert 0.0 <= recall_loss_fraction(before, now) <= 1.0
    assert -6.0 < drift_nats(before, now) < 6.0


def broken(**changes: Any) -> bytes:
    found = json.loads(completion(["a"] * ANSWER_TOKENS))
    found["choices"][0]["logprobs"].update(changes)
    return json.dumps(found).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[" * 100_000,
        b'{"choices": []}',
        b'{"choices": [{"logprobs": null}]}',
        completion(["a"] * (ANSWER_TOKENS - 1)),
        completion(["a"] * (ANSWER_TOKENS + 1)),
        completion(["a" * 257] * ANSWER_TOKENS),
        completion(["a"] * ANSWER_TOKENS, logprob=0.5),
        completion(["a"] * ANSWER_TOKENS, logprob=float("nan")),
        broken(tokens=[1] * ANSWER_TOKENS),
        broken(token_logprobs=["-1"] * ANSWER_TOKENS),
        broken(top_logprobs=[None] * ANSWER_TOKENS),
        broken(top_logprobs=[{str(token): -1.0 for token in range(11)}] * ANSWER_TOKENS),
        broken(top_logprobs=[{"a": -1e9}] * ANSWER_TOKENS),
    ],
)
def test_an_answer_that_cannot_be_is_no_reading(body: bytes) -> None:
    with pytest.raises(InvalidInput):
        answer(body)
