"""
What the model of the recall tasks is trained on, stage by stage: from short prompts to those of the tasks.

Prompts are short at first, since looking up a pair is the same in a prompt of 25 tokens as in one of 240, and
costs a tenth. In a part of the steps, tokens that no answer needs are hidden once they are a few tokens old,
as if a perfect policy had dropped them. A model that never sees this puts facts into the noise beside them,
and fails with whatever is kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from testbed.kv.recall_sequences import Batch, Mask, Shape
from testbed.kv.recall_tasks import INSTRUCTIONS, MARKED, PLAIN, SYSTEM, WITHHELD


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Shapes to draw from, and how many sequences a step has.

    The stage is over after so many `steps`, or earlier when each shape's `accuracy` is reached. `guided` is
    the weight of the loss that draws attention to where a fact stands. `hides` says whether tokens are
    hidden, `fades` whether rates fall to zero.
    """

    shapes: Sequence[Shape]
    sequences: int
    steps: int = 2000
    accuracy: float = 1.1
    guided: float = 0.0
    hides: bool = True
    fades: bool = False


def _asked(shape: Shape, asked: int) -> Shape:
    """The shape with more queries: answers are what a step learns from."""
    return replace(shape, asked=asked)


def _grown(slots: int, *, facts: int, asked: int) -> tuple[Shape, ...]:
    """A prompt in which two of three slots or less have a fact, and half of the facts a mark."""
    marked = facts // 2
    plain = facts - marked
    return (
        Shape(slots=slots, marked=marked, plain=plain, asked=asked, asks_plain=True),
        Shape(slots=slots, marked=marked, plain=plain, asked=asked),
    )


STAGES: Final = (
    Stage(shapes=_grown(8, facts=4, asked=16), sequences=64, accuracy=0.95, guided=0.5, hides=False),
    Stage(shapes=_grown(12, facts=8, asked=24), sequences=48, accuracy=0.95, guided=0.2),
    Stage(shapes=_grown(24, facts=16, asked=32), sequences=32, accuracy=0.95, guided=0.1),
    Stage(shapes=_grown(48, facts=32, asked=48), sequences=24, accuracy=0.9, guided=0.1),
    Stage(
        shapes=(
            _asked(MARKED, 18),
            _asked(SYSTEM, 22),
            _asked(INSTRUCTIONS, 24),
            _asked(WITHHELD, 18),
            _asked(PLAIN, 60),
        ),
        sequences=24,
        steps=2000,
        fades=True,
    ),
)

HIDDEN_SHARES: Final = (0.0, 0.5, 1.0, 1.0)
"""Chosen: of the tokens that no answer needs, each hidden with this chance; one of these for each step."""
WINDOWS_TOKENS: Final = (8, 12, 16, 32)
"""Younger tokens are never hidden."""


def hidden_keys(generator: np.random.Generator, batch: Batch) -> Mask | None:
    """Which keys (last) are hidden from which queries: [sequences, tokens, tokens]; None if none are."""
    share = HIDDEN_SHARES[generator.integers(len(HIDDEN_SHARES))]
    window = WINDOWS_TOKENS[generator.integers(len(WINDOWS_TOKENS))]
    if not share:
        return None
    at = np.arange(batch.ids.shape[1])
    dropped = ~batch.needed & (generator.random(batch.ids.shape) < share)
    hidden: Mask = (at[:, None] - at > window) & dropped[:, None, :]
    return hidden
