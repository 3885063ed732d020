"""
What to do about a value that pydantic refuses, in a sentence for whoever wrote it.

He wrote YAML, JSON or a flag. Most of pydantic's sentences suit him; those that name types of
Python are said in other words here.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

MAPPING: Final = "give a mapping of names to values"
LIST: Final = "give a list"

WORDS: Final[Mapping[str, str]] = {
    "bool_parsing": "give true or false",
    "bool_type": "give true or false",
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
    "string_type": "give a text",
    "tuple_type": LIST,
}
"""By pydantic's word for the kind of fault."""


def mend_of(fault: "ErrorDetails") -> str:
    """What to do about one fault."""
    said = fault["msg"]
    return WORDS.get(fault["type"]) or said[:1].lower() + said[1:]
