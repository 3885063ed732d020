"""
Arrays that compiled code works on: numbers, and records of named numbers.

What belongs together lies together, as a record. A compiled call passes every array of its arguments, so a
column for each field made a simulation several times slower.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Records = NDArray[np.void]


def record(integers: Sequence[str], floats: Sequence[str] = ()) -> "np.dtype[Any]":
    """The type of a record with fields of these names, eight bytes each."""
    return np.dtype([*((name, "f8") for name in floats), *((name, "i8") for name in integers)])
