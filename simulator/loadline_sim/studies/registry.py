"""
Every study that `loadline study` runs: what it answers, and how long it takes.

The minutes were measured on two cores, the defaults of each, with all code compiled; the first study on a
machine takes half a minute more. A new study is an entry here and a command.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """A study by the name of its command: its question, and the seconds that its defaults take on two
    cores."""

    name: str
    answers: str
    seconds: float


STUDIES: Final = (
    Description(
        name="experts",
        answers="How long a token waits if only a part of a model's experts fits into memory.",
        seconds=20.0,
    ),
    Description(
        name="splitwise",
        answers="How many requests a second Splitwise's designs carry for the same power and the same cost.",
        seconds=120.0,
    ),
    Description(
        name="power",
        answers="How many servers a row's power budget bears for weeks, under which policy.",
        seconds=70.0,
    ),
    Description(
        name="bursts",
        answers="How many more servers bursts of requests need than requests that come independently.",
        seconds=60.0,
    ),
)
"""In the order in which they are listed."""
