"""
What the pinned engine understands by an argument: its options, read out of its own parser.

vLLM takes an option in many forms: with dashes or underscores, cut short as long as nothing
else begins so, by another name, with a dot and a key of its JSON value. Whoever must know
which option an argument is, asks here, and so do the rules by which the API server refuses
arguments. The table is `engine_options.json`, written by `make engine-options` in the engine's
environment; a test there compares it with the engine that is pinned.

An argument of an option that the table doesn't know is nobody's: another version of the
engine, or a plugin of it, may know it.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files

TABLE = "engine_options.json"

OF_AN_OPTION = re.compile(r"^-(?![0-9.])")
"""What begins another option; a number below zero is a value."""


class Takes(StrEnum):
    """How many words after it are an option's values."""

    NONE = "none"
    ONE = "one"
    PERHAPS_ONE = "perhaps one"
    SEVERAL = "several"


@dataclass(frozen=True, slots=True)
class Option:
    """One option of the engine; the first of its names is the one that we call it by."""

    names: tuple[str, ...]
    takes: Takes

    @property
    def name(self) -> str:
        """How we call it."""
        return self.names[0]


@dataclass(frozen=True, slots=True)
class Said:
    """An argument as the engine reads it.

    `keys` lead into a JSON value (`--name.key=value`), `value` is None where there is none.
    """

    name: str
    keys: tuple[str, ...] = ()
    value: str | None = None


def _read() -> tuple[Option, ...]:
    table = json.loads(files(__package__).joinpath(TABLE).read_text("utf-8"))
    return tuple(Option(tuple(one["names"]), Takes(one["takes"])) for one in table["options"])


OPTIONS = _read()
"""Every option of the engine, by its name."""

BY_NAME: Mapping[str, Option] = {name: one for one in OPTIONS for name in one.names}


def option(name: str) -> Option | None:
    """The option that a name means; None for one that is unknown, or that may mean several."""
    whole = name.replace("_", "-") if name.startswith("--") else name
    if whole in BY_NAME:
        return BY_NAME[whole]
    if not whole.startswith("--") or whole == "--":
        return None
    begun = {one.name: one for one in OPTIONS if any(each.startswith(whole) for each in one.names)}
    return next(iter(begun.values())) if len(begun) == 1 else None


def said(words: Iterable[str]) -> Iterator[Said]:
    """What the words of a command line say, option by option; words of no known option are passed over."""
    left = list(words)
    while left:
        word = left.pop(0)
        if not word.startswith("-"):
            continue
        name, equals, value = word.partition("=")
        stem, *keys = name.split(".")
        found = option(stem)
        if found is None:
            continue
        if equals:
            yield Said(found.name, tuple(keys), value)
            continue
        values = _values(found, left)
        yield from (Said(found.name, tuple(keys), each) for each in values or (None,))


def _values(found: Option, left: list[str]) -> list[str]:
    """Take an option's values off the words after it."""
    most = {Takes.NONE: 0, Takes.ONE: 1, Takes.PERHAPS_ONE: 1, Takes.SEVERAL: len(left)}[found.takes]
    count = 0
    while count < most and count < len(left) and not OF_AN_OPTION.match(left[count]):
        count += 1
    taken, left[:] = left[:count], left[count:]
    return taken


def forms(names: Iterable[str]) -> str:
    """The regular expression of all arguments that mean one of these options.

    Whole or cut short, with dashes or underscores, with a key or a value behind it, and turned
    off by `--no-`.
    """
    stems = [_cut_short(each) for name in names for each in _written_out(name)]
    return f"^--(no[-_])?({'|'.join(stems)})([=.]|$)"


def _written_out(name: str) -> Iterator[str]:
    """An option's names that begin with two dashes, those that turn it off left out."""
    for each in BY_NAME[name].names:
        if each.startswith("--") and not (each.startswith("--no-") and f"--{each[5:]}" in BY_NAME):
            yield each


def _cut_short(name: str) -> str:
    """The regular expression of a name, and of as much of it as means the same."""
    whole = name.removeprefix("--")
    least = next(end for end in range(1, len(whole) + 1) if option(f"--{whole[:end]}") is BY_NAME[name])
    letters = [re.sub("-", "[-_]", letter) for letter in whole]
    sure, rest = letters[:least], letters[least:]
    return "".join(sure) + "(".join(["", *rest]) + ")?" * len(rest)
