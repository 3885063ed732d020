"""
The numbers that specs may hold, and what their units and bounds are.

Kubernetes specs hold no floats: two writers would print the same value differently
and fight over it for ever. So watts, seconds and counts are integers with the unit in
the field's name, percent are integers, and the few ratios are decimal strings.

The upper bounds are not physics but guards against a slipped digit or a wrong unit
(milliwatts for watts); they also let the API server bound the cost of CEL rules. In a
status they bound what a node that was broken into can have others believe, and lie beyond
whatever a sound one can have to say; `told_watts` and `told_count` keep to them all the same,
since a status that is refused says nothing.

Objects of others hold amounts as Kubernetes writes them, and the API server writes 8000 as `8k`;
`amount` reads every form of these.
"""

import re
from decimal import Decimal, InvalidOperation
from typing import Annotated, Final

from pydantic import AfterValidator, Field
from pydantic.config import JsonDict

from loadline_api.schemas import rule, validations
from loadline_policies.power.protocol.bounds import BUDGET_WATTS, GPU_WATTS, HOST_WATTS

INT32: JsonDict = {"format": "int32"}
INT64: JsonDict = {"format": "int64"}

DECIMAL = "^[0-9]{1,4}([.][0-9]{1,4})?$"


def _decimal(text: str) -> str:
    if not re.match(DECIMAL, text):
        raise ValueError('write a decimal number in quotes, such as "0.5"')
    return text


Watts = Annotated[int, Field(strict=True, ge=BUDGET_WATTS[0], le=BUDGET_WATTS[1], json_schema_extra=INT64)]
"""A budget: from one watt to a gigawatt."""

HostWattage = Annotated[int, Field(strict=True, ge=HOST_WATTS[0], le=HOST_WATTS[1], json_schema_extra=INT32)]
"""One server without its GPUs: up to a hundred kilowatts."""

Seconds = Annotated[int, Field(strict=True, ge=1, le=1_000_000, json_schema_extra=INT32)]
"""A duration: up to eleven days."""

Milliseconds = Annotated[int, Field(strict=True, ge=1, le=3_600_000, json_schema_extra=INT32)]
"""A latency: up to an hour."""

Degree = Annotated[int, Field(strict=True, ge=1, le=1024, json_schema_extra=INT32)]
"""A degree of parallelism."""

GpuWatts = Annotated[int, Field(strict=True, ge=GPU_WATTS[0], le=GPU_WATTS[1], json_schema_extra=INT32)]
"""One GPU: up to ten kilowatts, so that milliwatts are noticed."""

MOST_REPLICAS: Final = 10_000
"""Of one pool; far above any service."""

Replicas = Annotated[int, Field(strict=True, ge=0, le=MOST_REPLICAS, json_schema_extra=INT32)]
"""How many replicas; zero is a service at rest."""

SomeReplicas = Annotated[int, Field(strict=True, ge=1, le=MOST_REPLICAS, json_schema_extra=INT32)]
"""How many replicas, where none would make no sense."""

MOST_COUNTED: Final = 2**31 - 1
"""Of anything in a status: milliseconds are three weeks then."""

MOST_REPORTED_WATTS: Final = 10 * BUDGET_WATTS[1]
"""In a status: ten times what the largest domain of the largest servers could draw."""

Count = Annotated[int, Field(strict=True, ge=0, le=MOST_COUNTED, json_schema_extra=INT64)]
"""A count in a status."""

ReportedWatts = Annotated[
    int, Field(strict=True, ge=-MOST_REPORTED_WATTS, le=MOST_REPORTED_WATTS, json_schema_extra=INT64)
]
"""Watts in a status; headroom may be negative."""

RefreshSeconds = Annotated[int, Field(strict=True, ge=1, le=600, json_schema_extra=INT64)]
"""A promise to write again; up to ten minutes, since a dead writer is believed for three times as long."""

DecimalText = Annotated[
    str,
    Field(
        max_length=9,
        json_schema_extra=validations(
            rule(
                f"self.matches('{DECIMAL}')",
                says="'%s is not a ratio: write a decimal number in quotes, such as \"0.5\"'.format([self])",
            )
        ),
    ),
    AfterValidator(_decimal),
]
"""A ratio written as a decimal string, for example "0.5"."""

Port = Annotated[int, Field(strict=True, ge=1, le=65535, json_schema_extra=INT32)]
"""A TCP port."""

Name = Annotated[
    str,
    Field(
        min_length=1,
        max_length=253,
        json_schema_extra=validations(
            rule(
                "self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",
                says="'%s is not a valid object name: use lowercase letters, digits, dashes and dots, with a"
                " letter or digit at both ends'.format([self])",
            )
        ),
    ),
]
"""The name of a Kubernetes object."""


def told_watts(watts: float) -> int:
    """Whole watts for a status."""
    return round(max(-MOST_REPORTED_WATTS, min(MOST_REPORTED_WATTS, watts)))


def told_count(value: float) -> int:
    """A whole number for a status."""
    return round(max(0, min(MOST_COUNTED, value)))


def ratio(text: str) -> Decimal:
    """The exact value of a DecimalText."""
    return Decimal(text)


_SUFFIXES: Final = {
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate(("n", "u", "m", ""), start=-3)},
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate("kMGTPE", start=1)},
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", start=1)},
}
_AMOUNT: Final = re.compile(
    r"([+-]?(?:[0-9]+[.]?[0-9]*|[.][0-9]+))(?:([numkMGTPE]|[KMGTPE]i)|[eE]([+-]?[0-9]{1,3}))?"
)
_LONGEST_AMOUNT: Final = 64


def amount(said: object) -> Decimal | None:
    """The value of an amount as Kubernetes writes it (`8k`, `1500Gi`, `100m`, `1e3`); None if it is none."""
    text = str(said) if isinstance(said, str | int | float) and not isinstance(said, bool) else ""
    found = _AMOUNT.fullmatch(text) if len(text) <= _LONGEST_AMOUNT else None
    if found is None:
        return None
    try:
        number = Decimal(found[1])
    except InvalidOperation:  # digits of another script
        return None
    return number.scaleb(int(found[3])) if found[3] else number * _SUFFIXES[found[2] or ""]


def amount_text(value: Decimal, *, binary: bool = False) -> str:
    """An amount in the shortest form in which Kubernetes writes it; `binary` by powers of 1024."""
    base, letters = (1024, "KMGTPE") if binary else (1000, "kMGTPE")
    power = 0
    while power < len(letters) and value and value % base == 0:
        value, power = value / base, power + 1
    if value != value.to_integral_value():
        return f"{int(value * 1000)}m" if (value * 1000) % 1 == 0 else f"{value.normalize():f}"
    suffix = letters[power - 1] if power else ""
    return f"{int(value)}{suffix}{'i' if binary and power else ''}"
