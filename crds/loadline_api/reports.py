"""
The wire between a node and its coordinator: the same values, as JSON.

The messages themselves are plain frozen dataclasses of `loadline_policies`, since
the pure protocol speaks them; here they are read strictly (wrong types are refused,
sizes are bounded, keys of a later version are passed over) and written compactly. A peer that speaks
another version is told so by its version, not by a parse error.

Later versions may add keys, as long as a reader that passes over them, or misses them, counts on
nothing that isn't so. What can't be said that way is a new version of the wire, across which an
enforced row is released first: the chart's upgrade hook compares what the agents publish.
"""

from typing import Final, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from loadline_policies.errors import InvalidInput
from loadline_policies.fixes import fix_of
from loadline_policies.power.protocol.messages import Lease, Report

WIRE_VERSION: Final = 2
"""What this version writes: sent with every report in `VERSION_HEADER`, published by each agent in its
NodeCapacity's `wireVersion`. 1 refused keys that it didn't know, and published nothing."""

READ_VERSIONS: Final = frozenset({"1", str(WIRE_VERSION)})
"""Whose reports are read; others are refused before that. One of version 1 tells of no proof, so its GPUs
count as unable: at what they hold."""

VERSION_HEADER: Final = "Loadline-Wire"

LONGEST_MESSAGE: Final = 256 * 1024
"""Bytes. A report of 8 GPUs has some 2 KiB; 64 GPUs with a dozen owners each still fit."""

_REPORT: Final = TypeAdapter(Report)
_LEASE: Final = TypeAdapter(Lease)

M = TypeVar("M", Report, Lease)


def encode_report(report: Report) -> bytes:
    """A report as JSON."""
    return _REPORT.dump_json(report)


def decode_report(body: bytes) -> Report:
    """The report in `body`; InvalidInput says what is wrong with it."""
    return _decoded(_REPORT, body, kind="report")


def encode_lease(lease: Lease) -> bytes:
    """A lease as JSON."""
    return _LEASE.dump_json(lease)


def decode_lease(body: bytes) -> Lease:
    """The lease in `body`; InvalidInput says what is wrong with it."""
    return _decoded(_LEASE, body, kind="lease")


def _decoded(adapter: TypeAdapter[M], body: bytes, *, kind: str) -> M:
    if len(body) > LONGEST_MESSAGE:
        raise InvalidInput(kind, f"{len(body)} bytes", fix=f"send at most {LONGEST_MESSAGE}")
    try:
        return adapter.validate_json(body, strict=True)
    except ValidationError as error:
        first: ErrorDetails = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in (kind, *first["loc"]))
        raise InvalidInput(field, first.get("input"), fix=fix_of(first)) from error
