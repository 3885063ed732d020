"""
Times and token counts out of a file's values, a column at a time, with each value that is none.

A column in order is converted by Arrow. If that refuses it, one of its values at least is odd, and each is
looked at by itself; whatever Arrow accepts, that second way must accept with the same result.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from loadline_sim.arrays import Floats, Ints

MOST_TOKENS: Final = 10_000_000
"""Of a prompt or an answer; ten times the longest context that an engine offers, so more is a mistake."""

MOST_S: Final = 1e11
"""Seconds that a time may be from zero: some 3,000 years."""

HOLE: Final = "fill the hole, or take the row out"
NO_TIME: Final = "give a time that is a number"
NO_TIMESTAMP: Final = "write it as a number or as YYYY-MM-DD HH:MM:SS.ffffff"
NO_COUNT: Final = "give a whole number of tokens"
NEGATIVE: Final = "give a number of tokens that is not negative"
TOO_MANY: Final = f"give at most {MOST_TOKENS} tokens"
MOST_PRIORITY: Final = 1_000_000
NO_PRIORITY: Final = f"give a whole number, the lower the earlier, of at most {MOST_PRIORITY} either way"
NO_BLOCKS: Final = "give a list of ids, whole numbers from 0 on"

Values = Any
"""A column: an array of Arrow, which has no types, or a list of Python's objects."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A value that can't be taken, and how to mend it."""

    value: object
    fix: str


Faults = dict[int, Fault]
"""By place in the column."""


def seconds(values: Values, unit_s: float) -> tuple[Floats, Faults]:
    """Times of a column in seconds, timestamps since the epoch; NaN at each fault."""
    quick = _quick_seconds(values, unit_s) if isinstance(values, pa.Array) else None
    if quick is not None and (np.abs(quick) <= MOST_S).all():
        return quick, {}
    found, faults = np.full(len(values), np.nan), Faults()
    for place, value in enumerate(_plain(values)):
        taken = _time_of(value, unit_s)
        if isinstance(taken, Fault):
            faults[place] = taken
        else:
            found[place] = taken
    return found, faults


def tokens(values: Values) -> tuple[Ints, Faults]:
    """Counts of a column; -1 at each fault."""
    quick = _quick_tokens(values) if isinstance(values, pa.Array) else None
    if quick is not None and ((quick >= 0) & (quick <= MOST_TOKENS)).all():
        return quick, {}
    found, faults = np.full(len(values), -1, np.int64), Faults()
    for place, value in enumerate(_plain(values)):
        taken = _count_of(value)
        if isinstance(taken, Fault):
            faults[place] = taken
        else:
            found[place] = taken
    return found, faults


def priorities(values: Values) -> tuple[Ints, Faults]:
    """Priorities of a column; 0 at each fault."""
    found, faults = np.zeros(len(values), np.int64), Faults()
    for place, value in enumerate(_plain(values)):
        number = None if value is None else _whole(value)
        if number is None or abs(number) > MOST_PRIORITY:
            faults[place] = Fault(value, NO_PRIORITY)
        else:
            found[place] = number
    return found, faults


def block_ids(values: Sequence[Any]) -> tuple[list[list[int]], Faults]:
    """Lists of ids; an empty one at each fault and where there is none."""
    found, faults = [], Faults()
    for place, value in enumerate(values):
        ids = [] if value is None else value
        if not isinstance(ids, list) or not all(type(one) is int and 0 <= one < 2**48 for one in ids):
            faults[place] = Fault(value, NO_BLOCKS)
            ids = []
        found.append(ids)
    return found, faults


def _quick_seconds(values: pa.Array, unit_s: float) -> Floats | None:
    """All at once; None if there is a hole, or if Arrow reads one of them as no time."""
    if values.null_count:
        return None
    if pa.types.is_timestamp(values.type):
        return _since_epoch(values)
    for kind in (pa.float64(), pa.timestamp("ns"), pa.timestamp("ns", "UTC")):
        try:
            found = pc.cast(values, kind)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            continue
        if kind == pa.float64():
            numbers: Floats = found.to_numpy(zero_copy_only=False) * unit_s
            return numbers
        return _since_epoch(found)
    return None


def _quick_tokens(values: pa.Array) -> Ints | None:
    if values.null_count or pa.types.is_boolean(values.type):
        return None
    try:
        found: Ints = pc.cast(values, pa.int64()).to_numpy(zero_copy_only=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None
    return found


def _since_epoch(stamps: pa.Array) -> Floats:
    """Whole microseconds, as Python's datetime has them: finer is cut off."""
    nanoseconds = pc.cast(pc.cast(stamps, pa.timestamp("ns", stamps.type.tz)), pa.int64())
    found: Floats = nanoseconds.to_numpy(zero_copy_only=False) // 1000 / 1e6
    return found


def _plain(values: Values) -> Sequence[Any]:
    """Python's objects."""
    found: Sequence[Any] = values.to_pylist() if isinstance(values, pa.Array) else values
    return found


def _time_of(value: Any, unit_s: float) -> float | Fault:
    if value is None or (isinstance(value, str) and not value.strip()):
        return Fault(value, HOLE)
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return Fault(value, NO_TIMESTAMP)
    try:
        found = float(value) * unit_s
    except (ValueError, OverflowError):
        return _timestamp_of(value)
    return found if abs(found) <= MOST_S else Fault(value, NO_TIME)


def _timestamp_of(value: Any) -> float | Fault:
    try:
        stamp = datetime.fromisoformat(str(value).strip())
        return (stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return Fault(value, NO_TIMESTAMP)


def _count_of(value: Any) -> int | Fault:
    if value is None or (isinstance(value, str) and not value.strip()):
        return Fault(value, HOLE)
    count = _whole(value)
    if count is None:
        return Fault(value, NO_COUNT)
    if count < 0:
        return Fault(value, NEGATIVE)
    return count if count <= MOST_TOKENS else Fault(value, TOO_MANY)


def _whole(value: Any) -> int | None:
    """A whole number, also one that is written as 5.0, as programs do whose column had a hole."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return int(value, 16) if isinstance(value, str) and value[:2] in {"0x", "0X"} else _of_text(value)
    except (ValueError, OverflowError):
        return None


def _of_text(value: int | float | str) -> int | None:
    try:
        return int(value) if not isinstance(value, float) else _integral(value)
    except ValueError:
        return _integral(float(value))


def _integral(number: float) -> int | None:
    return int(number) if math.isfinite(number) and number.is_integer() else None
