"""
The wire between a node and its coordinator: the same values, as JSON.

The messages themselves are plain frozen dataclasses of `loadline_policies`, since
the pure protocol speaks them; here they are read strictly (wrong types are refused,
sizes are bounded, keys of a later version are passed over) and written compactly. A peer that speaks
another version is told so by its version, not by a parse error.
"""

from typing import Final, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from loadline_policies.errors import InvalidInput
from loadline_policies.power.protocol.messages import Lease, Report

WIRE_VERSION: Final = "1"
"""Sent with every message in `VERSION_HEADER`; a higher one is refused before it is read."""

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
        raise InvalidInput(kind, f"{len(body)} bytes", mend=f"send at most {LONGEST_MESSAGE}")
    try:
        return adapter.validate_json(body, strict=True)
    except ValidationError as error:
        first: ErrorDetails = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in (kind, *first["loc"]))
        raise InvalidInput(field, first.get("input"), mend=first["msg"]) from error
