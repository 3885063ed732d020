"""
How prompts of the recall tasks are drawn: many at once, since a training needs millions of tokens.

A sequence is a first token, slots of three tokens, and then queries with their right answers. All sequences
of a batch have one shape, so a fact's tokens are set by arrays of places. For one seed they are the same
wherever NumPy is.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Mask = NDArray[np.bool_]

VOCABULARY: Final = 128
PAD, BOS, EOS, MARK, QUERY, WITHHOLD, REFUSED = range(7)
KEYS, VALUES, NOISE = range(8, 88), range(88, 112), range(112, 128)
"""More keys than two heads can keep tokens at a budget of 32, so that the limit of `plain_recall` binds."""
SLOT_TOKENS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How many slots a prompt has, and what is in them; all others are noise.

    The prompt begins with `system` facts without a mark, and with `withheld` instructions, one for each of
    the first marked facts. Then come `marked` and `plain` facts, anywhere; with `parts` above 1, fact after
    fact in another one of so many equal parts. `asked` is the number of queries. Plain facts are asked only
    if `asks_plain`.
    """

    slots: int
    system: int = 0
    withheld: int = 0
    marked: int = 0
    plain: int = 0
    asked: int
    asks_plain: bool = False
    parts: int = 1

    @property
    def facts(self) -> int:
        return self.system + self.marked + self.plain

    @property
    def askable(self) -> int:
        return self.facts if self.asks_plain else self.system + self.marked

    @property
    def first_tokens(self) -> int:
        """Up to the end of what the prompt begins with."""
        return 1 + SLOT_TOKENS * (self.system + self.withheld)

    @property
    def context_tokens(self) -> int:
        return 1 + SLOT_TOKENS * self.slots


@dataclass(frozen=True, slots=True)
class Batch:
    """Sequences, [sequences, tokens], and what is known of them.

    `judged` are the positions whose next token is an answer, `needed` those of tokens that answers need.
    `places`, [sequences, facts], is where each fact begins: the system's, the marked, then the plain ones.
    `asked_facts`, [sequences, queries], are their numbers.
    """

    ids: Ids
    judged: Mask
    needed: Mask
    places: Ids
    asked_facts: Ids


def drawn(generator: np.random.Generator, count: int, shape: Shape) -> Batch:
    """So many sequences of a shape."""
    tokens = shape.context_tokens + SLOT_TOKENS * shape.asked
    ids = generator.integers(NOISE.start, NOISE.stop, (count, tokens))
    ids[:, 0] = BOS
    keys = KEYS.start + _choices(generator, count, among=len(KEYS), taken=shape.facts)
    values = generator.integers(VALUES.start, VALUES.stop, (count, shape.facts))
    places = _places(generator, count, shape)
    _put(ids, places[:, shape.system : shape.system + shape.marked], MARK)
    _put(ids, places + 1, keys)
    _put(ids, places + 2, values)
    answers = _withheld(shape, ids, keys=keys, values=values)
    asked_facts = _asked(generator, count, shape)
    at = shape.context_tokens + SLOT_TOKENS * np.arange(shape.asked)
    ids[:, at] = QUERY
    ids[:, at + 1] = np.take_along_axis(keys, asked_facts, axis=1)
    ids[:, at + 2] = np.take_along_axis(answers, asked_facts, axis=1)
    judged = np.zeros(ids.shape, dtype=np.bool_)
    judged[:, at + 1] = True
    return Batch(ids, judged, _needed(ids, places, shape), places, asked_facts)


def _choices(generator: np.random.Generator, count: int, *, among: int, taken: int) -> Ids:
    """For each of `count` rows `taken` different numbers below `among`, in any order."""
    return np.argsort(generator.random((count, among)), axis=1)[:, :taken]


def _places(generator: np.random.Generator, count: int, shape: Shape) -> Ids:
    """Where facts begin."""
    first = shape.system + shape.withheld
    others = shape.marked + shape.plain
    each = (shape.slots - first) // shape.parts
    slots = np.empty((count, others), dtype=np.int64)
    for part in range(shape.parts):
        mine = range(part, others, shape.parts)
        slots[:, mine] = first + part * each + _choices(generator, count, among=each, taken=len(mine))
    system = np.broadcast_to(np.arange(shape.system), (count, shape.system))
    return 1 + SLOT_TOKENS * np.concatenate([system, slots], axis=1)


def _withheld(shape: Shape, ids: Ids, *, keys: Ids, values: Ids) -> Ids:
    """Write the instructions to withhold facts; the right answers with them."""
    answers = values.copy()
    for number in range(shape.withheld):
        at, fact = 1 + SLOT_TOKENS * (shape.system + number), shape.system + number
        ids[:, at], ids[:, at + 1], ids[:, at + 2] = WITHHOLD, keys[:, fact], REFUSED
        answers[:, fact] = REFUSED
    return answers


def _asked(generator: np.random.Generator, count: int, shape: Shape) -> Ids:
    """Which facts are asked: each at most once if that is enough, else any.

    Not each once before any again: a model would learn to exclude what was asked, instead of looking it up.
    """
    if shape.asked > shape.askable:
        return generator.integers(0, shape.askable, (count, shape.asked))
    return _choices(generator, count, among=shape.askable, taken=shape.asked)


def _needed(ids: Ids, places: Ids, shape: Shape) -> Mask:
    needed = np.zeros(ids.shape, dtype=np.bool_)
    needed[:, : shape.first_tokens] = True
    for part in range(SLOT_TOKENS):
        np.put_along_axis(needed, places[:, : shape.askable] + part, values=True, axis=1)
    return needed


def _put(ids: Ids, places: Ids, tokens: Ids | int) -> None:
    np.put_along_axis(ids, places, tokens, axis=1)
