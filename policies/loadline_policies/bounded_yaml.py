"""
Reads untrusted YAML, and checks its size, depth and number of values before it builds objects from it.

With aliases, some 470 bytes of YAML can stand for gigabytes. A number of 5,000 digits, a date with day 45,
a tag, or a nesting of a thousand levels each raise a different error in the library. Each could block or
end a process that reads a tenant's document in its event loop. So the library's own parser (libyaml if it
is available) yields events one by one, and the first event beyond a bound is rejected. The result consists
of mappings, lists, strings, numbers, booleans and null only. Tags, aliases and duplicate keys are rejected;
dates are read as strings, and merge keys as ordinary keys.

Every error is an InvalidInput whose field is the line.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

import yaml
from yaml.composer import Composer
from yaml.constructor import BaseConstructor, SafeConstructor
from yaml.resolver import BaseResolver

from loadline_policies.errors import InvalidInput

PARSER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MAX_CHARACTERS: Final = 16 * 1024 if yaml.__with_libyaml__ else 4 * 1024
"""The limit is lower without libyaml: the parser in pure Python takes some 60 s for a MiB."""

MAX_DEPTH: Final = 16
MAX_VALUES: Final = 1000
"""Keys and values together; the longest document that the product ships has 40."""

MAX_NUMBER_CHARACTERS: Final = 32
SHOWN_CHARACTERS: Final = 60
_CORE: Final = "tag:yaml.org,2002:"
_PLAIN: Final = frozenset({"bool", "float", "int", "null"})


def read(text: str) -> Any:
    """The content of one YAML document; InvalidInput if it is not valid YAML or beyond a bound."""
    if len(text) > MAX_CHARACTERS:
        raise InvalidInput(
            "document", excerpt(text), fix=f"shorten it to at most {MAX_CHARACTERS} characters"
        )
    try:
        return _Reader(_bounded(yaml.parse(text, Loader=PARSER))).get_single_data()
    except InvalidInput:
        raise
    except yaml.YAMLError as error:
        raise _broken(text, getattr(error, "problem_mark", None)) from error
    except Exception as error:  # any error of the library is caused by the text
        fix = f"write plain YAML: the parser failed with {type(error).__name__}"
        raise InvalidInput("document", excerpt(text), fix=fix) from error


def excerpt(text: str, most: int = SHOWN_CHARACTERS) -> str:
    """The first `most` characters of a text."""
    return text if len(text) <= most else text[:most] + "…"


def _bounded(events: Iterator[yaml.Event]) -> Iterator[yaml.Event]:
    """Pass the events on; InvalidInput at the first one beyond a bound."""
    depth = values = 0
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            fix = "replace the alias by its value: aliases are not supported"
            raise InvalidInput(_line(event), f"*{event.anchor}", fix=fix)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if isinstance(event, yaml.NodeEvent):
            values += 1
            _check_tag(event)
        if depth > MAX_DEPTH:
            raise InvalidInput(
                _line(event), f"nested {depth} levels deep", fix=f"use at most {MAX_DEPTH} levels"
            )
        if values > MAX_VALUES:
            fix = f"use at most {MAX_VALUES} keys and values"
            raise InvalidInput(_line(event), f"beyond {MAX_VALUES} keys and values", fix=fix)
        yield event


def _check_tag(event: Any) -> None:
    if event.tag is not None:
        fix = "remove the tag: tags are not supported"
        raise InvalidInput(_line(event), excerpt(event.tag), fix=fix)


def _line(of: Any) -> str:
    return f"line {of.start_mark.line + 1}"


def _broken(text: str, mark: Any) -> InvalidInput:
    """The error of a YAML parser with its line; an unclosed bracket is reported at the last line."""
    if mark is None:
        return InvalidInput("document", excerpt(text), fix="write plain YAML without control characters")
    lines = text.splitlines() or [""]
    line = min(mark.line, len(lines) - 1)
    return InvalidInput(f"line {line + 1}", excerpt(lines[line]), fix="fix the YAML syntax of this line")


class _Resolver(BaseResolver):
    """Resolves numbers, booleans and null; everything else, dates and merge keys too, is a string."""


for _first, _rules in yaml.SafeLoader.yaml_implicit_resolvers.items():
    for _tag, _pattern in _rules:
        if _tag.removeprefix(_CORE) in _PLAIN:
            _Resolver.add_implicit_resolver(_tag, re.compile(_pattern), [_first])


class _Reader(Composer, SafeConstructor, _Resolver):
    """Builds one document from a parser's events."""

    def __init__(self, events: Iterator[yaml.Event]) -> None:
        Composer.__init__(self)
        SafeConstructor.__init__(self)
        _Resolver.__init__(self)
        self._events = events
        self._next: yaml.Event | None = None

    def peek_event(self) -> Any:
        if self._next is None:
            self._next = next(self._events, None)
        return self._next

    def get_event(self) -> Any:
        event, self._next = self.peek_event(), None
        return event

    def check_event(self, *choices: type) -> bool:
        event = self.peek_event()
        return event is not None and (not choices or isinstance(event, choices))

    def compose_scalar_node(self, anchor: Any) -> Any:
        node = super().compose_scalar_node(anchor)
        number = node.tag in (f"{_CORE}int", f"{_CORE}float")
        if number and len(node.value) > MAX_NUMBER_CHARACTERS:
            fix = f"shorten the number to {MAX_NUMBER_CHARACTERS} characters, or put a string in quotes"
            raise InvalidInput(_line(node), excerpt(node.value), fix=fix)
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            named = (key.tag, key.value if isinstance(key, yaml.ScalarNode) else f"{key.start_mark}")
            if named in seen:
                raise InvalidInput(_line(key), excerpt(named[1]), fix="remove the duplicate key")
            seen.add(named)
        return BaseConstructor.construct_mapping(self, node, deep=deep)
