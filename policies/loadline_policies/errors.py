"""
The tree of errors that Loadline raises, one class for each thing a caller can do.

::

    LoadlineError
    ├── InvalidInput            mend the field; whatever was in force stays
    │   ├── InvalidPolicy         a policy document
    │   ├── InvalidDomain         a power domain
    │   └── InvalidTrace          a row of a trace
    ├── UnsafeDomain            the domain can't be enforced as declared; observe only
    ├── LeaseRefused            the node keeps what it has; the sender isn't obeyed
    └── HardwareError           a device didn't do as asked
        ├── GpuLost               gone until the driver is reset
        ├── NoPermission          the process lacks a right; observe only
        └── OutOfRange            the device refuses the value

An error's text names the field, the value and the mend, because it ends up in a
condition, an Event or a terminal where nobody sees the code.
"""

import reprlib
from typing import Final

MOST_VALUE: Final = 200
"""Bytes of a value that a sentence shows: it came from outside, and may be megabytes."""

MOST_FIELD: Final = 100
MOST_MEND: Final = 400


class LoadlineError(Exception):
    """The root: catch it to catch all that Loadline raises on purpose."""


class InvalidInput(LoadlineError, ValueError):
    """Something that a person wrote can't be used; the last good one stays in force.

    A ValueError too, so that pydantic's validators may raise it.
    """

    def __init__(self, field: str, value: object, *, mend: str) -> None:
        self.field, self.value, self.mend = _cut(field), value, _cut(mend, MOST_MEND)
        super().__init__(f"{self.field} is {self.shown}: {self.mend}")

    @property
    def shown(self) -> str:
        """The value as a sentence may show it."""
        return shown(self.value)


class _Shown(reprlib.Repr):
    """A value's `repr`, of which no more is made than is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxstring, self.maxother = 3, MOST_VALUE, MOST_VALUE

    def repr_int(self, value: int, level: int) -> str:
        return repr(value) if value.bit_length() <= MOST_VALUE else f"a number of {value.bit_length()} bits"


_SHOWN = _Shown()


def shown(value: object) -> str:
    """What a sentence shows of any value that came from outside: its `repr`, cut short."""
    return _cut(_SHOWN.repr(value), MOST_VALUE)


def _cut(text: str, most: int = MOST_FIELD) -> str:
    encoded = text.encode(errors="replace")
    return text if len(encoded) <= most else encoded[: most - 3].decode(errors="ignore") + "…"


class InvalidPolicy(InvalidInput):
    """A policy document can't be used."""


class InvalidDomain(InvalidInput):
    """A power domain's declaration contradicts itself."""


class InvalidTrace(InvalidInput):
    """A row of a trace can't be replayed."""


class UnsafeDomain(LoadlineError):
    """The domain can't be enforced without risking its breaker; it stays in Observe.

    `reason` is the CamelCase word that the condition carries.
    """

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


class LeaseRefused(LoadlineError):
    """A node doesn't take a lease: it is late, old, replayed or for somebody else.

    `reason` is the CamelCase word that counts the refusal in a metric.
    """

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


class HardwareError(LoadlineError):
    """A device didn't do as asked."""


class GpuLost(HardwareError):
    """The GPU has fallen off the bus, and stays lost until its driver is reset."""


class NoPermission(HardwareError):
    """The process may read but not set; the node can only observe."""


class OutOfRange(HardwareError):
    """The device refuses the value asked for."""
