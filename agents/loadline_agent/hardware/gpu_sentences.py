"""
What is to be said of several GPUs, in one text that a condition can hold.

A driver that goes takes all eight or sixteen GPUs of a node with it, and a program that writes limits
mostly writes them all. A sentence for each would be longer than a condition's message, which is cut
at its bound: the GPUs behind the cut would go unnamed. So each sentence is said once, after the UUIDs
of all GPUs that it is true of; whatever doesn't fit even so is counted.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from loadline_api.conditions import MOST_MESSAGE_BYTES
from loadline_api.sentences import some_of

MOST_NAMED: Final = 16
"""GPUs named in one sentence: their UUIDs leave it 300 bytes of a condition's message."""


def named(uuids: Sequence[str]) -> str:
    """The GPUs of one sentence; of a server with more than sixteen, the rest is counted."""
    return some_of(uuids, MOST_NAMED)


def by_gpu(sentences: Iterable[tuple[str, str]], *, most_bytes: int = MOST_MESSAGE_BYTES) -> str:
    """Pairs of a GPU's UUID and what is so of it, as one text of at most `most_bytes` of UTF-8.

    Where a sentence names its own GPU, it says «the GPU» instead.
    """
    groups: dict[str, list[str]] = {}
    for uuid, sentence in sentences:
        groups.setdefault(sentence.replace(uuid, "the GPU"), []).append(uuid)
    rows = [(f"{named(uuids)}: {sentence}", len(uuids)) for sentence, uuids in groups.items()]
    texts = [_text(rows, first) for first in range(len(rows), -1, -1)]
    return next((text for text in texts if len(text.encode(errors="replace")) <= most_bytes), texts[-1])


def _text(rows: list[tuple[str, int]], first: int) -> str:
    """The first so many rows, and how many GPUs the others are about."""
    more = sum(gpus for _, gpus in rows[first:])
    rest = [f"and {more} more GPUs" if first else f"{more} GPUs"] if more else []
    return "; ".join([*[text for text, _ in rows[:first]], *rest])
