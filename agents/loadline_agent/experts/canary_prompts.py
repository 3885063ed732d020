"""
Loadline's own test prompts: what is asked of an engine to see what a capacity costs in quality.

The engine is asked for the log-probabilities of a text that it gets, and for no text of its own. A text that
is predicted worse under a capacity than without one shows what the capacity drops.

A capacity applies to large batches only, so a prompt has at least as many words as a large batch has tokens:
no tokenizer makes fewer tokens than words. A longer prompt repeats the texts.

Pure: requests and answers as bytes.
"""

import json
from itertools import cycle, islice
from typing import Final

from loadline_agent.canaries.model_answers import logprob, parsed
from loadline_agent.canaries.texts import TEXTS
from loadline_policies.errors import InvalidInput

LEAST_WORDS: Final = 320
MOST_WORDS: Final = 4096
"""Words of a prompt. Chosen: above them the canary alone would cost the engine a large prefill."""


def prompt(min_tokens: int) -> str:
    """A text with more words than a large batch has tokens; InvalidInput if that would be too long."""
    words = max(LEAST_WORDS, min_tokens + min_tokens // 8)
    if words > MOST_WORDS:
        raise InvalidInput("experts.minTokens", min_tokens, fix=f"set it to {MOST_WORDS * 8 // 9} or less")
    return " ".join(islice(cycle(" ".join(TEXTS).split()), words))


def request(model: str, text: str) -> bytes:
    """A request for the log-probabilities of a text.

    By the source of vLLM 0.32, `echo` with `logprobs` asks for those of the prompt, and such a request reads
    no prefix cache; with `max_tokens` 0 the answer has no generated token.
    """
    body = {"model": model, "prompt": text, "max_tokens": 0, "echo": True, "logprobs": 0, "temperature": 0}
    return json.dumps(body).encode()


def mean_logprob(answer: bytes, *, least_tokens: int) -> float:
    """The mean log-probability of the tokens of a prompt, in nats; InvalidInput if the answer has none."""
    try:
        (choice,) = parsed(answer)["choices"]
        given = choice["logprobs"]["token_logprobs"]
        logprobs = [logprob(one) for one in given[1:]]  # nothing comes before the first token
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput("canary", "an answer without log-probabilities", fix="serve them") from error
    if len(logprobs) < least_tokens - 1:
        fix = f"let the engine take a prompt of {least_tokens} tokens"
        raise InvalidInput("canary", f"{len(logprobs)} log-probabilities", fix=fix)
    return sum(logprobs) / len(logprobs)
