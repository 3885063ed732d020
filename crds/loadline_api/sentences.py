"""
Names in a sentence: some of many, and how many more there are.
"""

from collections.abc import Sequence


def some_of(names: Sequence[str], most: int = 5) -> str:
    """The first so many names, and the number of the others."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
