"""
Names in a sentence: some of many and how many more there are, and words that follow a number.
"""

from collections.abc import Sequence


def some_of(names: Sequence[str], most: int = 5) -> str:
    """The first so many names, and the number of the others."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def listed(names: Sequence[str]) -> str:
    """All names, the last one after an `and`."""
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def counted(count: int, one: str, many: str = "") -> str:
    """So many of what is called `one`; `many` is its plural where that is no added `s`."""
    return f"{count} {one if count == 1 else many or f'{one}s'}"
