"""Canary prompts: long enough to be bounded, and answers of engines that nothing is believed of."""

import json

import pytest

from loadline_agent.experts.canary_prompts import MOST_WORDS, mean_logprob, prompt, request
from loadline_policies.errors import InvalidInput


def answer(logprobs: object) -> bytes:
    return json.dumps({"choices": [{"logprobs": {"token_logprobs": logprobs}}]}).encode()


@pytest.mark.parametrize("min_tokens", [1, 256, 1024, MOST_WORDS * 8 // 9])
def test_a_prompt_has_more_words_than_a_large_batch_has_tokens(min_tokens: int) -> None:
    assert MOST_WORDS >= len(prompt(min_tokens).split()) > min_tokens


def test_a_prompt_that_would_be_too_long_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"experts\.minTokens is 4000: set it to 3640 or less"):
        prompt(4000)


def test_a_request_asks_for_the_prompt_and_generates_nothing() -> None:
    asked = json.loads(request("tiny", "some text"))
    assert (asked["model"], asked["prompt"]) == ("tiny", "some text")
    assert (asked["echo"], asked["logprobs"], asked["max_tokens"]) == (True, 0, 0)


def test_the_mean_leaves_out_the_first_token_which_nothing_predicts() -> None:
    assert mean_logprob(answer([None, -1.0, -2.0, -3]), least_tokens=4) == -2.0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"[" * 100_000,
        b'{"choices": []}',
        b'{"choices": [{"logprobs": null}]}',
        answer(None),
        answer([None, None, -1.0, -1.0]),
        answer([None, "-1", -1.0, -1.0]),
        answer([None, True, -1.0, -1.0]),
        answer([None, 0.5, -1.0, -1.0]),
        answer([None, float("nan"), -1.0, -1.0]),
        answer([None, float("-inf"), -1.0, -1.0]),
        answer([None, -1e9, -1.0, -1.0]),
        answer([None, -(10**400), -1.0, -1.0]),
        answer([None, -1.0, -1.0]),
        answer([]),
    ],
)
def test_an_answer_that_cannot_be_is_no_reading(body: bytes) -> None:
    with pytest.raises(InvalidInput):
        mean_logprob(body, least_tokens=4)
