"""
Compiles the fake NVML, once for each state of its sources.

The library lies in the user's cache, under the hash of sources and flags, so
that a changed line is a new library and a second checkout shares the first
one's. A C compiler of the system is used where there is one; else PyPI's
ziglang, in an environment of its own beside the library.

A library is only handed out when its structs lie where layouts.py believes them:
a mirror that drifted would read watts out of a clock.

`environment()` is what a child process needs to see a node's GPUs through an
unmodified pynvml; `preload()` does the same to the process itself.
"""

import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from testbed.fakegpu import layouts

SOURCES = ("nvml.c", "power.c", "clocks.c", "node.c")
HEADERS = ("node.h", "board.h")
SONAME = "libnvidia-ml.so.1"
FLAGS = ("-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-fvisibility=hidden")
ZIGLANG = "ziglang==0.15.2"
HERE = Path(__file__).parent


class Offset(ctypes.Structure):
    """One row of the library's table of offsets."""

    _fields_ = (("name", ctypes.c_char_p), ("value", ctypes.c_uint64))


def cache_directory() -> Path:
    """Where libraries and the fallback compiler are kept, outside any checkout."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "loadline" / "fakegpu"


def library() -> Path:
    """The compiled library, built if these sources have not been built before.

    Raises RuntimeError with the compiler's words if it can't be compiled, or if
    its layout isn't layouts.py's.
    """
    target = cache_directory() / _fingerprint() / SONAME
    if not target.exists():
        _build(target)
    return target


def environment(board_path: Path, node: int | str) -> dict[str, str]:
    """What to add to a child's environment so that its NVML is a node of the board.

    The right to set comes from the board then, not from the process's capabilities.
    """
    directory = str(library().parent)
    inherited = os.environ.get("LD_LIBRARY_PATH")
    path = f"{directory}:{inherited}" if inherited else directory
    return {**_named(board_path, node), "LD_LIBRARY_PATH": path}


def mounted_environment(folder: Path, node: int | str) -> dict[str, str]:
    """The same for a container that finds board and library in one folder of its own."""
    return {**_named(folder / "board", node), "LD_LIBRARY_PATH": str(folder)}


def preload() -> ctypes.CDLL:
    """Load the library into this process, where a later dlopen of its name finds it."""
    return ctypes.CDLL(str(library()), mode=ctypes.RTLD_GLOBAL)


def _named(board_path: Path, node: int | str) -> dict[str, str]:
    return {
        "LOADLINE_FAKEGPU_BOARD": str(board_path),
        "LOADLINE_FAKEGPU_NODE": str(node),
        "LOADLINE_NVML_PRIVILEGE": "1",
    }


def _fingerprint() -> str:
    digest = hashlib.sha256(" ".join((*FLAGS, os.uname().machine)).encode())
    for source in (*SOURCES, *HEADERS):
        digest.update((HERE / source).read_bytes())
    return digest.hexdigest()[:16]


def _build(target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{SONAME}.{os.getpid()}")
    try:
        sources = (str(HERE / source) for source in SOURCES)
        _run((*_compiler(), *FLAGS, f"-Wl,-soname,{SONAME}", "-o", str(draft), *sources))
        _refuse_drift(draft)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def _compiler() -> tuple[str, ...]:
    for name in ("cc", "gcc", "clang"):
        if found := shutil.which(name):
            return (found,)
    return _ziglang()


def _ziglang() -> tuple[str, ...]:
    home = cache_directory() / "ziglang"
    python = home / "bin" / "python"
    done = home / "installed"
    if not done.exists():
        _run((sys.executable, "-m", "venv", "--clear", str(home)))
        _run((str(python), "-m", "pip", "install", "--quiet", ZIGLANG))
        done.touch()
    return (str(python), "-m", "ziglang", "cc")


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(
            f"compiling the fake NVML: `{' '.join(command)}` failed\n{done.stderr or done.stdout}"
        )


def _refuse_drift(path: Path) -> None:
    """Compare every offset that the library exports with layouts.py's.

    In a process of its own: a draft that this process had loaded would keep the
    name under which pynvml then looks for the library.
    """
    code = f"from testbed.fakegpu import build; print(build.differences({str(path)!r}))"
    search = os.pathsep.join(filter(None, (str(HERE.parents[1]), os.environ.get("PYTHONPATH"))))
    child = {**os.environ, "PYTHONPATH": search}
    said = subprocess.run(
        (sys.executable, "-c", code), env=child, capture_output=True, text=True, check=True
    ).stdout.strip()
    if said:
        raise RuntimeError(f"layouts.py and board.h disagree: {said}; make their structs equal")


def differences(path: str) -> str:
    """What the library at `path` says of its structs and layouts.py doesn't; empty if they agree."""
    theirs = offsets(ctypes.CDLL(path))
    ours = layouts.offsets()
    wrong = [name for name in theirs if theirs[name] != ours.get(name)]
    return ", ".join(f"{name} is {theirs[name]}, not {ours.get(name)}" for name in wrong)


def offsets(library: ctypes.CDLL) -> dict[str, int]:
    """The library's sizes of structs and offsets of their members, by name, in bytes."""
    rows: dict[str, int] = {}
    table = (Offset * 128).in_dll(library, "fakegpu_layout")
    for row in table:
        if row.name is None:
            break
        rows[row.name.decode()] = int(row.value)
    return rows
