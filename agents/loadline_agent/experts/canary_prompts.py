"""
Loadline's own test prompts: what is asked of an engine to see what a capacity costs in quality.

The engine is asked for the log-probabilities of a text that it gets, and for no text of its own. A text that
is predicted worse under a capacity than without one shows what the capacity drops. The texts were written for
this purpose, are of different kinds (prose, instructions, arithmetic, a program), and hold nothing of a user.

A capacity applies to large batches only, so a prompt has at least as many words as a large batch has tokens:
no tokenizer makes fewer tokens than words. A longer prompt repeats the texts.

Pure: requests and answers as bytes. The answer is a tenant's, so nothing in it is believed beyond its bounds.
"""

import json
from itertools import cycle, islice
from typing import Any, Final

from loadline_policies.errors import InvalidInput

TEXTS: Final = (
    "The harbour lies at the mouth of a slow river, between two hills that keep the wind away. Every morning"
    " the pilots row out to the ships that wait behind the bar, climb a rope ladder, and bring them in with"
    " the tide. A loaded ship lies deep, and the pilot asks first how much water she needs. If the answer is"
    " more than the channel has, the ship waits for the next high water, however much her owner complains."
    " The oldest pilot likes to tell the young ones that he has never put a ship aground, and that he has"
    " kept more captains waiting than any other man on the coast. Both are true, and each explains the"
    " other.",
    "To repair a puncture, turn the bicycle upside down and take out the wheel. Lift one side of the tyre"
    " over the rim with two levers, then pull the tube out, beginning opposite the valve. Pump some air into"
    " the tube and hold it under water: bubbles show where the hole is. Dry the place, make it rough with"
    " sandpaper, spread a little glue on it and wait for five minutes. Press the patch on firmly. Before you"
    " put the tube back, feel along the inside of the tyre with your fingers, because whatever made the hole"
    " may still be there. Pump up the tyre, check that it sits evenly, and put the wheel back.",
    "A train leaves the first town at eight o'clock and travels at sixty kilometres an hour. A second train"
    " leaves the other town, three hundred kilometres away, at nine o'clock and travels towards the first"
    " one at ninety kilometres an hour. At nine o'clock the first train has covered sixty kilometres, so the"
    " trains are two hundred and forty kilometres apart. Together they approach each other by one hundred"
    " and fifty kilometres in an hour. Two hundred and forty divided by one hundred and fifty is one point"
    " six, so they meet after one hour and thirty-six minutes, at ten thirty-six. The first train has then"
    " travelled one hundred and fifty-six kilometres, and the second one hundred and forty-four.",
    "def merge(first, second): result = [] ; i = j = 0 ; while i < len(first) and j < len(second): if"
    " first[i] <= second[j]: result.append(first[i]) ; i = i + 1 ; else: result.append(second[j]) ; j = j +"
    " 1 ; return result + first[i:] + second[j:] . This function takes two sorted lists and returns one"
    " sorted list with the items of both. It compares the first items that are left, takes the smaller one,"
    " and goes on until one list is empty; the rest of the other list is sorted already and larger than all"
    " before it. Each item is copied once, so the time grows with the number of items in both lists.",
)

LEAST_WORDS: Final = 320
MOST_WORDS: Final = 4096
"""Words of a prompt. Chosen: above them the canary alone would cost the engine a large prefill."""

LONGEST_ANSWER: Final = 2 * 1024 * 1024
"""Bytes of an answer: some 100 for each of the tokens of the longest prompt. Chosen."""

LOWEST_LOGPROB: Final = -1000.0
"""No token that a model may choose has a lower log-probability. Chosen."""

COMPLETIONS_PATH: Final = "/v1/completions"
MODELS_PATH: Final = "/v1/models"


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
        (choice,) = _json(answer)["choices"]
        given = choice["logprobs"]["token_logprobs"]
        logprobs = [_logprob(one) for one in given[1:]]  # nothing comes before the first token
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput("canary", "an answer without log-probabilities", fix="serve them") from error
    if len(logprobs) < least_tokens - 1:
        fix = f"let the engine take a prompt of {least_tokens} tokens"
        raise InvalidInput("canary", f"{len(logprobs)} log-probabilities", fix=fix)
    return sum(logprobs) / len(logprobs)


def served_model(answer: bytes) -> str:
    """The first model that an engine serves under its own name; InvalidInput if it names none."""
    try:
        name = _json(answer)["data"][0]["id"]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InvalidInput("models", "an answer without models", fix="serve the OpenAI API") from error
    if not isinstance(name, str) or not 0 < len(name) <= 512:
        raise InvalidInput("models", name, fix="give the model a name of at most 512 characters")
    return name


def _json(answer: bytes) -> Any:
    """What a tenant's JSON holds; nesting that exhausts the parser is no JSON either."""
    try:
        return json.loads(answer)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def _logprob(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(value)
    if not LOWEST_LOGPROB <= value <= 1e-6:  # NaN isn't within, either
        raise ValueError(value)
    return float(value)
