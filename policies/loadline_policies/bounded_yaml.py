"""
YAML that anybody may have written, read within bounds that are checked before anything is built of it.

Some 470 bytes of YAML can stand for gigabytes, by aliases; a number of 5,000 digits, a date of the 45th
of a month, a tag, or nesting a thousand deep each raise another kind of error in the library. Whoever
reads a tenant's document in its event loop would be held up, or would die, of each of them. So the
library's own parser, libyaml where it is there, gives the events one by one; what is too long, too deep
or too much is refused at the first event that shows it; and what is built is plain: mappings, lists,
text, numbers, booleans and null. No tags, no aliases, no dates, no merged mappings, no key twice.

Whatever goes wrong is an InvalidInput: its field is the line.
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
"""The parser in pure Python takes some 60 s for a MiB."""

MAX_DEPTH: Final = 16
MAX_VALUES: Final = 1000
"""Keys count too; the longest document that is shipped has 40."""

MAX_NUMBER_CHARACTERS: Final = 32
SHOWN_CHARACTERS: Final = 60
_CORE: Final = "tag:yaml.org,2002:"
_PLAIN: Final = frozenset({"bool", "float", "int", "null"})


def read(text: str) -> Any:
    """What one YAML document says; InvalidInput where it is no YAML, or more than it may be."""
    if len(text) > MAX_CHARACTERS:
        raise InvalidInput("document", excerpt(text), mend=f"shorten it to {MAX_CHARACTERS} characters")
    try:
        return _Reader(_bounded(yaml.parse(text, Loader=PARSER))).get_single_data()
    except InvalidInput:
        raise
    except yaml.YAMLError as error:
        raise _broken(text, getattr(error, "problem_mark", None)) from error
    except Exception as error:  # whatever a text makes the library do is a fault of the text
        mend = f"write plain YAML: {type(error).__name__} while it was read"
        raise InvalidInput("document", excerpt(text), mend=mend) from error


def excerpt(text: str, most: int = SHOWN_CHARACTERS) -> str:
    """The beginning of a text."""
    return text if len(text) <= most else text[:most] + "…"


def _bounded(events: Iterator[yaml.Event]) -> Iterator[yaml.Event]:
    """The same events, as long as they stay within bounds."""
    depth = values = 0
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            mend = "write the value out: aliases aren't read"
            raise InvalidInput(_line(event), f"*{event.anchor}", mend=mend)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if isinstance(event, yaml.NodeEvent):
            values += 1
            _check_tag(event)
        if depth > MAX_DEPTH:
            raise InvalidInput(_line(event), "nested deeper", mend=f"nest {MAX_DEPTH} levels at most")
        if values > MAX_VALUES:
            raise InvalidInput(_line(event), "one more value", mend=f"write {MAX_VALUES} values at most")
        yield event


def _check_tag(event: Any) -> None:
    if event.tag is not None:
        mend = "remove the tag: a value's form says what it is"
        raise InvalidInput(_line(event), excerpt(event.tag), mend=mend)


def _line(of: Any) -> str:
    return f"line {of.start_mark.line + 1}"


def _broken(text: str, mark: Any) -> InvalidInput:
    """What isn't closed is found at the end, behind the last line."""
    if mark is None:
        return InvalidInput("document", excerpt(text), mend="write plain YAML without control characters")
    lines = text.splitlines() or [""]
    line = min(mark.line, len(lines) - 1)
    return InvalidInput(f"line {line + 1}", excerpt(lines[line]), mend="mend the YAML there")


class _Resolver(BaseResolver):
    """Numbers, booleans and null are what they look like; dates, merges and all else are text."""


for _first, _rules in yaml.SafeLoader.yaml_implicit_resolvers.items():
    for _tag, _pattern in _rules:
        if _tag.removeprefix(_CORE) in _PLAIN:
            _Resolver.add_implicit_resolver(_tag, re.compile(_pattern), [_first])


class _Reader(Composer, SafeConstructor, _Resolver):
    """Builds one document of a parser's events."""

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
            mend = f"write a number of {MAX_NUMBER_CHARACTERS} characters at most, or put text in quotes"
            raise InvalidInput(_line(node), excerpt(node.value), mend=mend)
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            told = (key.tag, key.value if isinstance(key, yaml.ScalarNode) else f"{key.start_mark}")
            if told in seen:
                raise InvalidInput(_line(key), excerpt(told[1]), mend="write each key once")
            seen.add(told)
        return BaseConstructor.construct_mapping(self, node, deep=deep)
