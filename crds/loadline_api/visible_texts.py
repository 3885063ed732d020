"""
Text of others in a sentence of ours, made so that nobody who carries or shows it chokes on it.

Conditions and Events quote schedulers, kubelets, admission, engines and other controllers, and
those quote whatever they met. Half of an emoji has no UTF-8, a line feed breaks a table, an escape
sequence writes to the terminal of whoever reads it, a direction mark turns the rest of a line
round. So such characters are shown as Python writes them (`\\x07`, `\\u202e`, `\\ud800`), and what is
too long is cut, counted in bytes, at a character.

Shown once is shown for good: a text that has been through here stays the same. Everything that
people read elsewhere is told by the same function, so one cause has one text.
"""

import json
import re
from typing import Final

_MARKS: Final = "\u061c\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\U000e0000-\U000e007f"
"""What moves or hides its neighbours; joiners stay, since scripts and emojis are written with them."""

_NO_CHARACTERS: Final = "\ufdd0-\ufdef" + "".join(
    f"{chr(0x10000 * plane + 0xFFFE)}{chr(0x10000 * plane + 0xFFFF)}" for plane in range(17)
)

_ODD: Final = re.compile(f"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff{_MARKS}{_NO_CHARACTERS}]")


def visible(text: str) -> str:
    """The same text, in which no character does anything but show."""
    if text.isascii() and text.isprintable():  # nearly all, in a fiftieth of the time
        return text
    return _ODD.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def visible_lines(text: str) -> str:
    """As `visible`, but for the ends of lines."""
    return "\n".join(map(visible, text.split("\n")))


def visible_json(text: str) -> str:
    """The same JSON, in which no character does anything but show or end a line."""
    return _ODD.sub(lambda found: found[0] if found[0] == "\n" else json.dumps(found[0])[1:-1], text)


def told(text: str, *, most_bytes: int) -> str:
    """As `visible`, and no longer in UTF-8 than `most_bytes`."""
    encoded = visible(text).encode()
    if len(encoded) <= most_bytes:
        return encoded.decode()
    return encoded[: most_bytes - len("…".encode())].decode(errors="ignore") + "…"
