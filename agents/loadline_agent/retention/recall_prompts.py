"""
The recall probe: a text with facts near its beginning, which the engine is asked for at its end.

A fold drops tokens between two steps of an engine, so log-probabilities of a prompt that is computed in one
step show nothing of it. The answer does, from its second token on: it is generated step by step, from what
folds have left of the prompt. So the prompt has more words than a budget and its buffer have tokens (no
tokenizer makes fewer tokens than words), and the answer is as long as it takes to name all facts.

Two answers are compared, one with all tokens kept and one under a budget. Where the first names facts, lost
are those that the second doesn't name. A model that finds no fact again still says something: then lost is
the share of its answer that has become another one. Drift is how much less likely the tokens of the first
answer are, as far as both answers are the same, and at the token where they part.

Pure: requests and answers as bytes. The answer is a tenant's, so nothing in it is believed beyond its bounds.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any, Final

from loadline_agent.canaries.model_answers import logprob, parsed
from loadline_agent.canaries.texts import TEXTS
from loadline_policies.errors import InvalidInput

FACTS: Final = {"harbour": "4815", "mill": "7302", "library": "9164", "quarry": "2587"}
"""Codes of places, as the text tells them. Four digits each, so that no other word of it is one by chance."""

MARGIN_WORDS: Final = 64
"""Words beyond a budget and its buffer, so that the first fold is over before the question. Chosen."""

MOST_WORDS: Final = 8192
"""Words of a prompt. Chosen: above them the probe alone would cost the engine a large prefill."""

ANSWER_TOKENS: Final = 48
"""Tokens of an answer: some ten for each fact. Chosen."""

ALTERNATIVES: Final = 5
"""Tokens whose log-probabilities come with each one of the answer; vLLM allows 20."""

LONGEST_TOKEN: Final = 256
"""Characters."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer token by token; `alternatives` are log-probabilities of the likeliest tokens in its place."""

    tokens: tuple[str, ...]
    logprobs: tuple[float, ...]
    alternatives: tuple[Mapping[str, float], ...]

    @property
    def facts(self) -> frozenset[str]:
        """The codes that it names."""
        text = "".join(self.tokens)
        return frozenset(code for code in FACTS.values() if code in text)


def prompt(tokens: int) -> str:
    """The probe's text with more words than `tokens`; InvalidInput if that would be too long."""
    words = tokens + MARGIN_WORDS
    if words > MOST_WORDS:
        fix = f"set rungTokens and bufferTokens to {MOST_WORDS - MARGIN_WORDS} together, or less"
        raise InvalidInput("kvCache.retention", f"{tokens} tokens", fix=fix)
    facts = " ".join(f"Note {number}: {_fact(place)} {code}." for number, (place, code) in _numbered())
    filler = " ".join(islice(cycle(" ".join(TEXTS).split()), words))
    return f"{facts} {filler} The notes again. Note 1: {_fact(next(iter(FACTS)))}"


def request(model: str, text: str) -> bytes:
    """A request for the likeliest answer, with log-probabilities."""
    body = {
        "model": model,
        "prompt": text,
        "max_tokens": ANSWER_TOKENS,
        "temperature": 0,
        "logprobs": ALTERNATIVES,
        "ignore_eos": True,
    }
    return json.dumps(body).encode()


def answer(body: bytes) -> Answer:
    """The answer of an engine; InvalidInput if it has none that could be."""
    try:
        (choice,) = parsed(body)["choices"]
        told = choice["logprobs"]
        tokens = tuple(_token(one) for one in told["tokens"])
        logprobs = tuple(logprob(one) for one in told["token_logprobs"])
        alternatives = tuple(_alternatives(one) for one in told["top_logprobs"])
        if not len(tokens) == len(logprobs) == len(alternatives) == ANSWER_TOKENS:
            raise ValueError("the answer has another length")
    except (KeyError, TypeError, ValueError) as error:
        fix = f"serve {ANSWER_TOKENS} tokens with their log-probabilities"
        raise InvalidInput("canary", "an answer that can't be", fix=fix) from error
    return Answer(tokens, logprobs, alternatives)


def recall_loss_fraction(before: Answer, now: Answer) -> float:
    """The share of facts that `before` names and `now` doesn't; without any, of tokens after they part."""
    if before.facts:
        return len(before.facts - now.facts) / len(before.facts)
    return 1.0 - _same(before, now) / len(before.tokens)


def drift_nats(before: Answer, now: Answer) -> float:
    """By how much less likely the tokens of `before` are, up to the first in which `now` differs.

    At that one the token may not be among the likeliest any more; then the least of these stands for it,
    which is more than its own.
    """
    same = _same(before, now)
    fallen = [before.logprobs[place] - now.logprobs[place] for place in range(same)]
    if same < len(before.tokens):
        others = now.alternatives[same]
        least = min((now.logprobs[same], *others.values()))
        fallen.append(before.logprobs[same] - others.get(before.tokens[same], least))
    return sum(fallen) / len(fallen)


def _same(before: Answer, now: Answer) -> int:
    """How many tokens both have in common from the beginning on."""
    pairs = zip(before.tokens, now.tokens, strict=True)
    return next((place for place, (one, other) in enumerate(pairs) if one != other), len(before.tokens))


def _numbered() -> list[tuple[int, tuple[str, str]]]:
    return list(enumerate(FACTS.items(), 1))


def _fact(place: str) -> str:
    return f"the code of the {place} is"


def _token(value: object) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_TOKEN:
        raise TypeError(value)
    return value


def _alternatives(value: Any) -> dict[str, float]:
    if not isinstance(value, Mapping) or len(value) > 2 * ALTERNATIVES:
        raise TypeError(value)
    return {_token(token): logprob(one) for token, one in value.items()}
