"""
Questions whose answers stand in a prompt, for a model that must recall them after tokens were dropped.

A prompt is a stream of slots of three tokens. Most are noise; some hold a fact, `x key value`, in which x is
a mark, or noise. A query names a key, and its value is the right answer. Which facts are asked makes the
tasks differ: in `marked_recall` only marked ones, so that a policy can know what to keep; in `plain_recall`
any of many, so that none can, and `information_limit` bounds every policy that drops tokens.

The others are after The Pitfalls of KV Cache Compression (arXiv 2510.00231). In `system_facts` the prompt
begins with facts that nothing marks. In `several_instructions` each part of the prompt has its own facts. In
`withheld_facts` it begins with instructions not to tell the value of a fact that comes later: a model that
has lost its instruction, but not the fact, tells it.

The tasks are synthetic, and the first one flatters what is trained to know the mark. Nothing here knows a
model. How sequences are drawn is in `recall_sequences`, which the training uses too.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

import numpy as np

from loadline_policies.errors import InvalidInput
from loadline_policies.kv.spans import Span
from testbed.kv.recall_sequences import (
    MARK,
    NOISE,
    QUERY,
    REFUSED,
    SLOT_TOKENS,
    VALUES,
    WITHHOLD,
    Batch,
    Shape,
    drawn,
)


@dataclass(frozen=True, slots=True)
class Query:
    """A key that is asked for, and the right answer.

    `part` is the number of the part of the prompt that has what the answer needs. `secret` is the value of a
    fact that an instruction withholds; the right answer is REFUSED then.
    """

    key: int
    answer: int
    part: int
    secret: int | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """A prompt, what is asked about it, and its parts, the system's first where there is one."""

    context: tuple[int, ...]
    queries: tuple[Query, ...]
    parts: tuple[Span, ...]

    def request(self, number: int) -> list[int]:
        """The prompt with one query; the first token after it is the answer."""
        return [*self.context, QUERY, self.queries[number].key]

    def dialogue(self) -> tuple[list[int], list[int]]:
        """The prompt with all queries and right answers, and the positions whose next token is an answer."""
        ids, judged = list(self.context), []
        for query in self.queries:
            judged.append(len(ids) + 1)
            ids += [QUERY, query.key, query.answer]
        return ids, judged


@dataclass(frozen=True, slots=True)
class Task:
    """Samples of one kind; all have as many tokens and queries."""

    name: str
    samples: tuple[Sample, ...]


MARKED: Final = Shape(slots=65, marked=6, plain=10, asked=6)
"""195 tokens after the first one, as in the study that the budgets of 32 and 64 come from."""
PLAIN: Final = Shape(slots=80, plain=80, asked=12, asks_plain=True)
SYSTEM: Final = Shape(slots=65, system=5, marked=6, plain=10, asked=11)
"""The system's part has 16 tokens, the most that may be protected of 32."""
INSTRUCTIONS: Final = Shape(slots=64, marked=8, plain=8, asked=8, parts=4)
WITHHELD: Final = Shape(slots=65, withheld=3, marked=6, plain=10, asked=6)


def marked_recall(count: int, *, seed: int) -> Task:
    """Six marked facts among ten others and noise; the marked ones are asked."""
    return Task("marked_recall", _samples(count, MARKED, seed=seed))


def plain_recall(count: int, *, seed: int) -> Task:
    """Eighty facts, none marked; twelve of them are asked."""
    return Task("plain_recall", _samples(count, PLAIN, seed=seed))


def system_facts(count: int, *, seed: int) -> Task:
    """Five facts without a mark in the system's part, and six marked ones after it; all are asked."""
    return Task("system_facts", _samples(count, SYSTEM, seed=seed))


def several_instructions(count: int, *, seed: int) -> Task:
    """Four parts of the prompt with two marked facts each; all are asked."""
    return Task("several_instructions", _samples(count, INSTRUCTIONS, seed=seed))


def withheld_facts(count: int, *, seed: int) -> Task:
    """Three instructions in the system's part, each to withhold one of six marked facts; all are asked."""
    return Task("withheld_facts", _samples(count, WITHHELD, seed=seed))


TASKS: Mapping[str, Callable[..., Task]] = MappingProxyType(
    {
        made.__name__: made
        for made in (marked_recall, plain_recall, system_facts, several_instructions, withheld_facts)
    }
)


def information_limit(facts: int, *, kept_tokens: int, choices: int) -> float:
    """The best accuracy, on queries of any of `facts`, of a policy that drops tokens and keeps so many.

    A kept token tells one fact, and a layer may keep `choices` different sets of tokens: as many as it has KV
    heads, or 1 where the policy keeps the same in all. All else is guessed. A model that had learnt to put
    several facts into one token could do better; one that was trained with tokens hidden has not.
    """
    for field, value in (("facts", facts), ("kept_tokens", kept_tokens), ("choices", choices)):
        if value < 1:
            raise InvalidInput(field, value, fix="give at least 1")
    known = min(facts, kept_tokens * choices)
    return (known + (facts - known) / len(VALUES)) / facts


def needed_positions(context: Sequence[int]) -> tuple[int, ...]:
    """What an oracle keeps: the first token, marked facts, and instructions to withhold some."""
    starts = [at for at, token in enumerate(context) if token in (MARK, WITHHOLD)]
    return (0, *(at + part for at in starts for part in range(SLOT_TOKENS)))


def apart(task: Task) -> Task:
    """The task with each query alone after its prompt, as an engine's requests have it."""
    samples = [replace(one, queries=(query,)) for one in task.samples for query in one.queries]
    return replace(task, samples=tuple(samples))


def unmarked(task: Task) -> Task:
    """The task with noise instead of marks: nothing tells what will be asked, so no oracle can know it."""
    samples = tuple(
        replace(one, context=tuple(NOISE.start if token == MARK else token for token in one.context))
        for one in task.samples
    )
    return Task(f"{task.name}_unmarked", samples)


def _samples(count: int, shape: Shape, *, seed: int) -> tuple[Sample, ...]:
    batch = drawn(np.random.default_rng(seed), count, shape)
    parts = _parts(shape)
    return tuple(_sample(batch, row, shape=shape, parts=parts) for row in range(count))


def _parts(shape: Shape) -> tuple[Span, ...]:
    """The prompt's parts; the first token belongs to the first of them."""
    if shape.first_tokens > 1:
        ends = [shape.first_tokens, shape.context_tokens]
    else:
        each = SLOT_TOKENS * (shape.slots // shape.parts)
        ends = [1 + each * number for number in range(1, shape.parts)] + [shape.context_tokens]
    return tuple(Span(start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True))


def _sample(batch: Batch, row: int, *, shape: Shape, parts: tuple[Span, ...]) -> Sample:
    ids: list[int] = batch.ids[row].tolist()
    queries = []
    for number, fact in enumerate(batch.asked_facts[row].tolist()):
        at = shape.context_tokens + SLOT_TOKENS * number
        key, answer, place = ids[at + 1], ids[at + 2], int(batch.places[row, fact])
        secret = ids[place + 2] if answer == REFUSED else None
        part = 0 if secret is not None else _part_of(place, parts)
        queries.append(Query(key, answer, part, secret))
    return Sample(tuple(ids[: shape.context_tokens]), tuple(queries), parts)


def _part_of(position: int, parts: Sequence[Span]) -> int:
    return next(number for number, part in enumerate(parts) if part.start <= position < part.end)
