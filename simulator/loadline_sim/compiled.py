"""
The one door to the compiler, so that compiled functions keep their types.

Numba ships no type hints, and an untyped decorator would make every function under
it untyped as well. It keeps machine code as long as the file that holds the function is the same,
also where a function that it calls has changed in another file: so the cache lies in a directory
that is named after all sources with compiled functions. Where that can't be made, numba chooses one.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numba
from numba.core import config
from numba.extending import overload

P = ParamSpec("P")
R = TypeVar("R")

MARKS = b"@compiled\n", b"@compiled_making_arrays\n", b"@handles("
"""One of them is in each source with compiled functions."""


def sources_hash(folder: Path) -> str:
    """Of all sources with compiled functions in a folder: another one after a change of any."""
    texts = [path.read_bytes() for path in sorted(folder.rglob("*.py"))]
    marked = (text for text in texts if any(mark in text for mark in MARKS))
    return hashlib.sha256(b"\0".join(marked)).hexdigest()[:16]


def _directory() -> str:
    """Where machine code of these sources is kept; what the user has chosen comes first."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    name = sources_hash(Path(__file__).parent) + ("-checked" if getattr(config, "BOUNDSCHECK", None) else "")
    kept = Path(home) / "loadline" / "compiled" / name
    return str(getattr(config, "CACHE_DIR", "") or kept)


vars(config)["CACHE_DIR"] = _directory()

WITHOUT_MEMORY: Any = {"cache": True, "_nrt": False}
"""The second option isn't among numba's types: its own extensions use it."""


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """`function`, compiled on its first call and then read from the cache. It makes and returns no array.

    Numba counts references to each array that is passed on, which took three quarters of a plant's tick. A
    function without memory of its own needn't. One that makes an array raises TypingError when it is called.
    """
    machine_code: Callable[P, R] = numba.njit(**WITHOUT_MEMORY)(function)
    return machine_code


def compiled_making_arrays(function: Callable[P, R]) -> Callable[P, R]:
    """As `compiled`, for a function that makes or returns arrays or lists."""
    machine_code: Callable[P, R] = numba.njit(cache=True)(function)
    return machine_code


def chosen_by_type(stub: Callable[..., Any], kind: type, function: Callable[..., Any]) -> None:
    """Let compiled code that calls `stub(state, simulation, index)` call `function` for states of a kind.

    A kind is a NamedTuple, and the function is compiled. Which it is is decided while the caller is compiled.
    """

    def choose(state: Any, simulation: Any, index: Any) -> Callable[..., Any] | None:
        if getattr(state, "instance_class", None) is not kind:
            return None
        return lambda state, simulation, index: function(state, simulation, index)

    choose.__annotations__ = {}  # numba compares them with those of what is chosen
    overload(stub)(choose)
