"""
Whether a node can have a label at all, by the form that Kubernetes prescribes for keys and values.

A selector for anything else matches nothing for ever, which looks like nodes that are still to come.
"""

import re
from typing import Final

MOST_NAME: Final = 63
"""Characters of a key after its prefix, and of a value."""

MOST_PREFIX: Final = 253

_NAME: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_PREFIX: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*")

_WORDS: Final = "letters A to Z, digits, dashes, underscores and dots, a letter or digit at both ends"


def fault(key: str, value: str) -> str | None:
    """What of a label is against the form, and what would be right; None where nothing is."""
    prefix, slash, name = key.rpartition("/")
    if slash and not (len(prefix) <= MOST_PREFIX and _PREFIX.fullmatch(prefix)):
        return f"the key's part before the slash must be a DNS name of at most {MOST_PREFIX} characters"
    if not (len(name) <= MOST_NAME and _NAME.fullmatch(name)):
        return f"the key's name must have 1 to {MOST_NAME} {_WORDS}"
    if value and not (len(value) <= MOST_NAME and _NAME.fullmatch(value)):
        return f"the value must have at most {MOST_NAME} {_WORDS}"
    return None
