"""
The tree of errors that Loadline raises, one class for each thing a caller can do.

::

    LoadlineError
    ├── InvalidInput            the author must fix the field; the last valid input stays in force
    │   ├── InvalidPolicy         a policy document
    │   ├── InvalidDomain         a power domain
    │   └── InvalidTrace          a row of a trace
    ├── UnsafeDomain            the domain can't be enforced as declared; only observe it
    ├── LeaseRefused            ignore the lease; the node keeps the limits that it has
    └── HardwareError           a device didn't carry out a request
        ├── GpuLost               the GPU can't be used until the driver is reset
        ├── NoPermission          the process lacks a permission; only observe
        └── OutOfRange            the device rejects the value

An error's text names the field, the value and how to fix it, because users read it in a
condition, an Event or a terminal, without seeing the code. They wrote YAML or JSON, so values
are formatted as in these.
"""

import json
import reprlib
from collections.abc import Iterable
from enum import Enum
from itertools import islice
from typing import Any, Final

MOST_VALUE: Final = 200
"""Bytes of a value that an error's text shows: input may have megabytes."""

MOST_FIELD: Final = 100
MOST_MEND: Final = 400


class LoadlineError(Exception):
    """The root: catch it to catch every error that Loadline raises on purpose."""


class InvalidInput(LoadlineError, ValueError):
    """A user's input is invalid; the last valid one stays in force. `fix` says how to fix the field.

    Also a ValueError, so that pydantic's validators may raise it.
    """

    def __init__(self, field: str, value: object, *, fix: str) -> None:
        self.field, self.value, self.fix = _cut(field), value, _cut(fix, MOST_MEND)
        super().__init__(f"{self.field} is {self.shown}: {self.fix}")

    @property
    def shown(self) -> str:
        """The value as the error's text shows it: formatted as YAML and cut short."""
        return shown(self.value)


class _Shown(reprlib.Repr):
    """Formats a value in YAML's flow style, and builds no more of the text than is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxstring, self.maxother = 3, MOST_VALUE, MOST_VALUE

    def repr1(self, x: object, level: int) -> str:
        if isinstance(x, Enum):
            return self.repr1(x.value, level)
        if x is None or isinstance(x, bool):
            return json.dumps(x)
        if isinstance(x, dict):
            return self.repr_dict(x, level)
        if isinstance(x, list | tuple | set | frozenset):
            items = (self.repr1(one, level - 1) for one in x)
            return f"[{self._some(items, len(x), level=level)}]"
        if isinstance(x, bytes | bytearray):
            return self.repr1(x[:MOST_VALUE].decode(errors="replace"), level)
        return super().repr1(x, level)

    def repr_dict(self, x: dict[Any, Any], level: int) -> str:
        pairs = (f"{self._key(key)}: {self.repr1(value, level - 1)}" for key, value in x.items())
        return f"{{{self._some(pairs, len(x), level=level)}}}"

    def repr_str(self, x: str, level: int) -> str:
        if level == self.maxlevel:
            return super().repr_str(x, level)
        return json.dumps(x[: self.maxstring], ensure_ascii=False)

    def repr_int(self, x: int, level: int) -> str:
        return repr(x) if x.bit_length() <= MOST_VALUE else f"a number of {x.bit_length()} bits"

    def repr_instance(self, x: object, level: int) -> str:
        return str(x)

    def _key(self, key: object) -> str:
        return key[: self.maxstring] if isinstance(key, str) else self.repr1(key, 1)

    def _some(self, items: Iterable[str], count: int, *, level: int) -> str:
        if level <= 0:
            return "…" if count else ""
        return ", ".join([*islice(items, self.maxlist), *(["…"] if count > self.maxlist else [])])


_SHOWN = _Shown()


def shown(value: object) -> str:
    """Any value as text for a message: formatted as YAML and cut to MOST_VALUE bytes."""
    return _cut(_SHOWN.repr(value), MOST_VALUE)


def _cut(text: str, most: int = MOST_FIELD) -> str:
    encoded = text.encode(errors="replace")
    return text if len(encoded) <= most else encoded[: most - 3].decode(errors="ignore") + "…"


class InvalidPolicy(InvalidInput):
    """A policy document is invalid."""


class InvalidDomain(InvalidInput):
    """A power domain's declaration contradicts itself."""


class InvalidTrace(InvalidInput):
    """A row of a trace can't be replayed."""


class UnsafeDomain(LoadlineError):
    """The domain can't be enforced without a risk that its breaker trips; it stays in Observe.

    `reason` is the reason of the condition that reports it.
    """

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


class LeaseRefused(LoadlineError):
    """A node rejects a lease: it is late, old, replayed, or meant for another node.

    `reason` is the label by which a metric counts the refusal.
    """

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


class HardwareError(LoadlineError):
    """A device didn't carry out a request."""


class GpuLost(HardwareError):
    """The GPU has fallen off the bus, and stays lost until its driver is reset."""


class NoPermission(HardwareError):
    """The process may read but not set limits; the node can only observe."""


class OutOfRange(HardwareError):
    """The device rejects the requested value."""
