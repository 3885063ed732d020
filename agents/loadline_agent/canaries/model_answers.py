"""
What an engine answers to a test prompt, as the OpenAI API has it.

The answer is a tenant's, so nothing in it is believed beyond its bounds. Pure: answers as bytes.
"""

import json
from typing import Any, Final

from loadline_policies.errors import InvalidInput

COMPLETIONS_PATH: Final = "/v1/completions"
MODELS_PATH: Final = "/v1/models"

LONGEST_ANSWER: Final = 2 * 1024 * 1024
"""Bytes of an answer: some 100 for each of the tokens of the longest prompt. Chosen."""

LOWEST_LOGPROB: Final = -1000.0
"""No token that a model may choose has a lower log-probability. Chosen."""


def served_model(answer: bytes) -> str:
    """The first model that an engine serves under its own name; InvalidInput if it names none."""
    try:
        name = parsed(answer)["data"][0]["id"]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InvalidInput("models", "an answer without models", fix="serve the OpenAI API") from error
    if not isinstance(name, str) or not 0 < len(name) <= 512:
        raise InvalidInput("models", name, fix="give the model a name of at most 512 characters")
    return name


def parsed(answer: bytes) -> Any:
    """What the JSON of an answer holds; ValueError also for nesting that exhausts the parser."""
    try:
        return json.loads(answer)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def logprob(value: object) -> float:
    """A log-probability in nats; TypeError or ValueError for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(value)
    if not LOWEST_LOGPROB <= value <= 1e-6:  # NaN isn't within, either
        raise ValueError(value)
    return float(value)
