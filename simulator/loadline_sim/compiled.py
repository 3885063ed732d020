"""
The one door to the compiler, so that compiled functions keep their types.

Numba ships no type hints, and an untyped decorator would make every function under
it untyped as well. Machine code is cached beside the module that holds the function,
by that file's own time stamp only: compiled functions that call each other therefore
live in one module, or a change in one would not recompile the other.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numba

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """`function`, compiled on its first call and from then on read from the cache."""
    machine_code: Callable[P, R] = numba.njit(cache=True)(function)
    return machine_code
