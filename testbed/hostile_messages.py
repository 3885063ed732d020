"""
Reports as a broken or hostile member may send them: good ones as JSON, with parts of them changed at random.

What is changed is one value of the JSON, for one that lies at a bound of something, is of another type, or
is far too much; so that a report gets as far into a coordinator as its worst part lets it.
"""

import copy
import json
from collections.abc import Iterator
from random import Random
from typing import Any, Final

INTEGERS: Final = (
    *(0, -1, 1, 2, 63, 64, 65, 2**31 - 1, 2**31, 2**53, 2**63 - 1, 2**63, 2**64, 10**400, -(2**63)),
)
FRACTIONS: Final = (
    *(0.0, -0.0, 0.5, 1.0, 0.999, 1.05, -0.001, 5e-324, 1e-9, 99.5, 100.0, 400.0, 400.5, 520.0, 801.0),
    *(1e4, 10001.0, 1e5, 1e6, 1e9, 1e15, 1e200, 1.7e308, -2000.0, -1e200),
)
TEXTS: Final = ("", "x", "\u0000", "x" * 400, "é" * 10_000, "node-0", "row")
LISTS: Final[tuple[Any, ...]] = ([], {}, [[]], [None] * 100)
OTHERS: Final[tuple[Any, ...]] = (None, True, False, *TEXTS, *INTEGERS, *FRACTIONS, *LISTS)
NO_REPORTS: Final = (b"", b"{", b"[]", b"null", b"\xff" * 100, b"[" * 5000, b" " * 300_000)
EXTRA_KEYS: Final = ("standby", "", "__class__", "x" * 1000)


def changed(body: bytes, random: Random) -> bytes:
    """A good report's bytes with up to three of its values changed; sometimes what is no JSON at all."""
    if random.random() < 0.02:
        return random.choice((*NO_REPORTS, body[:-1], body * 2))
    said = json.loads(body)
    for _ in range(random.randint(1, 3)):
        _change(said, random)
    return json.dumps(said).encode(errors="replace")


def _change(said: dict[str, Any], random: Random) -> None:
    """Change one value somewhere, leave it out, write it twice, or add one."""
    holder, key = random.choice(list(_places(said)))
    value = holder[key]
    match random.randrange(12):
        case 0 if isinstance(holder, dict):
            del holder[key]
        case 1 if isinstance(value, list) and value:
            value.append(copy.deepcopy(value[0]))
        case 2 if isinstance(holder, dict):
            holder[random.choice(EXTRA_KEYS)] = copy.deepcopy(random.choice(OTHERS))
        case 3:
            holder[key] = copy.deepcopy(random.choice(OTHERS))
        case 4 | 5 if isinstance(value, int | float) and not isinstance(value, bool):
            holder[key] = value + random.choice((-1, 1, 2, 1000))
        case _:
            holder[key] = copy.deepcopy(random.choice(_like(value)))


def _like(value: object) -> tuple[Any, ...]:
    """Other values of the same type."""
    match value:
        case bool():
            return (not value,)
        case int():
            return INTEGERS
        case float():
            return FRACTIONS
        case str():
            return TEXTS
        case _:
            return OTHERS


def _places(said: Any) -> Iterator[tuple[Any, Any]]:
    """Every value as its holder and its key in there."""
    pairs = said.items() if isinstance(said, dict) else enumerate(said) if isinstance(said, list) else ()
    for key, value in list(pairs):
        yield said, key
        yield from _places(value)
