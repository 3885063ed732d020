"""
How to fix a value that pydantic rejects, as a sentence for the author of the YAML, JSON or flag.

Most of pydantic's sentences are usable; those that name Python types are replaced here.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

MAPPING: Final = "use a mapping of keys to values"
LIST: Final = "use a list"

WORDS: Final[Mapping[str, str]] = {
    "bool_parsing": "set it to true or false",
    "bool_type": "set it to true or false",
    "dataclass_exact_type": MAPPING,
    "dataclass_type": MAPPING,
    "dict_type": MAPPING,
    "frozen_set_type": LIST,
    "list_type": LIST,
    "mapping_type": MAPPING,
    "model_attributes_type": MAPPING,
    "model_type": MAPPING,
    "none_required": "leave it out",
    "set_type": LIST,
    "string_type": "use a string",
    "tuple_type": LIST,
}
"""By pydantic's error type."""


def fix_of(fault: "ErrorDetails") -> str:
    """How to fix one error of pydantic's: our sentence for its type, else pydantic's message."""
    message = fault["msg"].removeprefix("Value error, ")
    return WORDS.get(fault["type"]) or message[:1].lower() + message[1:]
