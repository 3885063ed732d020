"""
What is sent to the API server: JSON that its YAML reader takes as well.

A server-side apply is read as YAML, which has no surrogate pairs: an emoji in the manner of
`json.dumps` ("\\ud83d\\ude80") is refused, and the whole object with it. So characters go as UTF-8.
Some of those YAML refuses or folds when they are written out (controls, line separators, a
byte order mark), and takes in JSON's escaped form. Half of a pair can be sent in neither; it
becomes U+FFFD, as in Go's own decoder.
"""

import json
import re
from typing import Final

_ESCAPED: Final = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_HALVES: Final = re.compile("[\ud800-\udfff]")


def request_body(value: object) -> bytes:
    """A value as JSON and as YAML, in UTF-8."""
    text = json.dumps(value, ensure_ascii=False)
    if text.isascii() and "\x7f" not in text:  # nearly all, at the cost of `json.dumps` alone
        return text.encode()
    escaped = _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    return _HALVES.sub("\ufffd", escaped).encode()
