"""Requests for a scheduler without a model: how long each really becomes is known beforehand."""

import random
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

VOCABULARY: Final = 128
EOS: Final = 2
FIRST_WORD: Final = 8
"""The first token that isn't special."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request: its prompt, how many tokens it really produces, and how many it may."""

    request_id: str
    prompt: tuple[int, ...]
    output_tokens: int
    most_tokens: int
    priority: int = 0
    arrived_s: float = 0.0
    extra_args: Mapping[str, Any] = field(default_factory=dict)


def word(seed: str) -> int:
    """A token, always the same for a seed."""
    return FIRST_WORD + zlib.crc32(seed.encode()) % (VOCABULARY - FIRST_WORD)


def words(seed: str, count: int) -> tuple[int, ...]:
    """A prompt of so many tokens, always the same for a seed."""
    return tuple(word(f"{seed}/{place}") for place in range(count))


def mixed(seed: int, *, count: int = 40, shared_tokens: int = 0) -> list[Asked]:
    """Requests of mixed lengths, half of them short, whose prompts begin with the same tokens."""
    chance = random.Random(seed)
    return [
        Asked(
            request_id=f"r{number:03}",
            prompt=words("system", shared_tokens) + words(f"{seed}/{number}", chance.randint(1, 80)),
            output_tokens=chance.choice([chance.randint(1, 20), chance.randint(20, 120)]),
            most_tokens=200,
            priority=chance.randint(0, 3),
            arrived_s=float(number),
        )
        for number in range(count)
    ]


def growing(*prompt_tokens: int, extra_args: Mapping[int, Mapping[str, Any]] | None = None) -> list[Asked]:
    """Requests with prompts of these lengths that produce 100 tokens each."""
    return [
        Asked(
            request_id=f"r{number}",
            prompt=words(str(number), tokens),
            output_tokens=100,
            most_tokens=100,
            arrived_s=float(number),
            extra_args=(extra_args or {}).get(number, {}),
        )
        for number, tokens in enumerate(prompt_tokens)
    ]
