"""
Messages and records as another version of Loadline writes them.

The versions that a rollout or a downgrade brings together can't all exist yet. But what they
may differ in is laid down (`loadline_api.reports`, `armed_records`): keys more in a message, keys
left out, bytes more behind a record, or another form of it. That is made here of what the
product writes, so that a test has both sides of a mixed row.
"""

import json
import zlib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

LATER = {"later": {"watts": -1.0, "why": "nobody here knows this key"}}
"""What a later version adds to every object of a message."""

OPTIONAL = frozenset(
    {"services", "owners", "clock_mhz", "heat_age_s", "found_watts", "default_watts", "policy_level"}
)
"""Keys whose absence costs their node nothing that it needs in a full row."""

PROOFS = frozenset({"able", "proven"})
"""Keys without which a GPU is counted on for nothing."""

SLOT, SLOTS = 4096, 4
_FORM_AT, _CRC_AT, _LENGTH_AT, _PAYLOAD_AT = 7, 8, 12, 24


def later(message: bytes) -> bytes:
    """The JSON of a message as a later version writes it: with a key more in every object."""
    return json.dumps(_with_later(json.loads(message))).encode()


def without(message: bytes, keys: Collection[str]) -> bytes:
    """The JSON of a message as a version writes it that doesn't know these keys."""
    return json.dumps(_without(json.loads(message), keys)).encode()


def lengthen(record: Path, tail: bytes = b"\x00later=1") -> None:
    """Let every slot of a record's file end as a later version ends it."""
    _rewrite(record, lambda slot: _sealed(slot[:_PAYLOAD_AT] + _payload(slot) + tail))


def reform(record: Path, form: int = 2) -> None:
    """Put every slot of a record's file into another form, of which this version knows only the head."""
    _rewrite(record, lambda slot: slot[:_FORM_AT] + bytes([form]) + slot[_FORM_AT + 1 :])


def _with_later(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_later(one) for one in value]
    if isinstance(value, dict):
        return {key: _with_later(one) for key, one in value.items()} | LATER
    return value


def _without(value: Any, keys: Collection[str]) -> Any:
    if isinstance(value, list):
        return [_without(one, keys) for one in value]
    if isinstance(value, dict):
        return {key: _without(one, keys) for key, one in value.items() if key not in keys}
    return value


def _rewrite(record: Path, change: Callable[[bytes], bytes]) -> None:
    data = record.read_bytes().ljust(SLOT * SLOTS, b"\x00")
    slots = (data[at : at + SLOT] for at in range(0, SLOT * SLOTS, SLOT))
    record.write_bytes(b"".join(change(one).ljust(SLOT, b"\x00") if any(one) else one for one in slots))


def _payload(slot: bytes) -> bytes:
    length = int.from_bytes(slot[_LENGTH_AT : _LENGTH_AT + 4], "little")
    return slot[_PAYLOAD_AT : _PAYLOAD_AT + length]


def _sealed(slot: bytes) -> bytes:
    """The slot with the length and the checksum of what it holds."""
    length = (len(slot) - _PAYLOAD_AT).to_bytes(4, "little")
    body = length + slot[_LENGTH_AT + 4 :]
    return slot[:_CRC_AT] + zlib.crc32(body).to_bytes(4, "little") + body
