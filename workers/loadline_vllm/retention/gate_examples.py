"""
What gates are trained on: lines of JSON with token ids or text, in batches whose order a seed decides.

The order is worked out from the seed and the epoch alone, so a training that is resumed sees what it would
have seen. A batch has examples of one length; what is left over of a length is left out of that epoch.
"""

import json
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from loadline_policies.errors import InvalidInput

LEAST_TOKENS: Final = 8
LONGEST_LINE: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Example:
    """Token ids, and the positions whose next token counts; all of them if None."""

    ids: tuple[int, ...]
    judged: tuple[int, ...] | None = None


def read(lines: Iterable[str], *, length: int, tokens_of: Callable[[str], Sequence[int]]) -> list[Example]:
    """The examples in lines of JSON; InvalidInput names the line that is none.

    A line has `ids`, with `judged` or without, or `text`, which `tokens_of` splits and which is cut into
    examples of `length` tokens; what remains of it is left out.
    """
    found = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            found += list(_of_line(line, f"line {number}", length=length, tokens_of=tokens_of))
    if not found:
        raise InvalidInput(
            "data", "no example", fix=f"give texts of at least {length} tokens, or lines of ids"
        )
    return found


def _of_line(
    line: str, where: str, *, length: int, tokens_of: Callable[[str], Sequence[int]]
) -> Iterator[Example]:
    fix = 'write {"ids": [1, 2, …]}, {"ids": […], "judged": [5, …]} or {"text": "…"}'
    try:
        read_line = json.loads(line) if len(line) <= LONGEST_LINE else None
    except ValueError as error:
        raise InvalidInput(where, line[:60], fix=fix) from error
    match read_line:
        case {"text": str(text)}:
            ids = tuple(tokens_of(text))
            for first in range(0, len(ids) - length + 1, length):
                yield Example(ids[first : first + length])
        case {"ids": list(ids), **more} if len(ids) >= LEAST_TOKENS and _are_numbers(ids):
            judged = more.get("judged")
            if judged is None:
                yield Example(tuple(ids))
            elif isinstance(judged, list) and judged and _are_numbers(judged) and max(judged) < len(ids) - 1:
                yield Example(tuple(ids), tuple(judged))
            else:
                raise InvalidInput(f"{where}.judged", judged, fix=f"list positions from 0 to {len(ids) - 2}")
        case _:
            raise InvalidInput(where, line[:60], fix=fix)


def _are_numbers(values: Sequence[object]) -> bool:
    return all(type(value) is int and value >= 0 for value in values)


def endless(examples: Sequence[Example], *, size: int, seed: int) -> Iterator[list[Example]]:
    """Batches of `size` examples without end, each epoch in another order; InvalidInput if none is full."""
    epoch = 0
    while True:
        order = list(examples)
        random.Random(f"{seed}/{epoch}").shuffle(order)
        batches = list(_batches(order, size))
        if not batches:
            raise InvalidInput("batch", size, fix="take fewer: no batch has enough examples of one length")
        yield from batches
        epoch += 1


def _batches(examples: Iterable[Example], size: int) -> Iterator[list[Example]]:
    waiting: dict[int, list[Example]] = {}
    for example in examples:
        alike = waiting.setdefault(len(example.ids), [])
        alike.append(example)
        if len(alike) == size:
            yield waiting.pop(len(example.ids))
