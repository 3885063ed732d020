"""
The programs of the bed: found where a developer has them, else built once.

A directory named by `KUBEBUILDER_ASSETS` comes first, for those programs that it
holds. The others lie in the cache by version, outside the checkout, and are built
from Go modules when they don't: modules and checksums are pinned in `modules/`, whose
go.mod is also the only place that names the versions. Two builders at once take turns.
"""

import fcntl
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

from rich.console import Console

from hack.testenv import toolchains
from hack.testenv.builds import Command, build
from hack.testenv.errors import BuildFailed

MODULES = Path(__file__).parent / "modules"
ASSETS = "KUBEBUILDER_ASSETS"

LEAST_MINOR = 33
"""From Kubernetes 1.33 on a token bound to a Node names it to the admission policies."""

COLD_S = {
    "etcd": 60.0,
    "kube-apiserver": 410.0,
    "kubectl": 70.0,
    "kube-controller-manager": 110.0,
    "kube-scheduler": 50.0,
}
"""Measured on two cores, each after those before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binaries:
    """Where the five programs are."""

    etcd: Path
    kube_apiserver: Path
    kubectl: Path
    kube_controller_manager: Path
    kube_scheduler: Path


NAMES = tuple(field.name.replace("_", "-") for field in fields(Binaries))


def version(module: str, requirement: str) -> str:
    """The version of a requirement that a module's go.mod pins, without its `v`."""
    text = (MODULES / module / "go.mod").read_text()
    pinned = re.search(rf"^require {re.escape(requirement)} v(\S+)$", text, re.MULTILINE)
    if pinned is None:
        raise BuildFailed(f"modules/{module}/go.mod names no version of {requirement}: add a `require` line")
    return pinned[1]


def kubernetes_version() -> str:
    """The Kubernetes that is built, as in `1.36.3`."""
    return version("kubernetes", "k8s.io/kubernetes")


def cached(name: str) -> Path:
    """Where the cache keeps a program, there or not."""
    if name == "etcd":
        directory = f"etcd-{version('etcd', 'go.etcd.io/etcd/server/v3')}"
    else:
        directory = f"kubernetes-{kubernetes_version()}"
    return toolchains.cache() / "bin" / directory / name


def find(name: str) -> Path:
    """Where a program is, or would be once built."""
    own = Path(os.environ.get(ASSETS) or "/nonexistent") / name
    return own if os.access(own, os.X_OK) else cached(name)


def missing() -> tuple[str, ...]:
    """The programs that would have to be built, in the order of building."""
    return tuple(name for name in NAMES if not find(name).exists())


def ensure(console: Console | None = None) -> Binaries:
    """All programs, after building those that are missing; progress goes to stderr.

    Raises BuildFailed, also when KUBEBUILDER_ASSETS holds an API server that is too old.
    """
    for name in missing():
        with _turn(cached(name).parent):
            if not cached(name).exists():  # whoever had the turn before may have built it
                build(command(name), cached(name), toolchains.go(), console or Console(stderr=True))
    found = {name.replace("-", "_"): find(name) for name in NAMES}
    if found["kube_apiserver"] != cached("kube-apiserver"):
        _refuse_old(found["kube_apiserver"])
    return Binaries(**found)


def command(name: str) -> Command:
    """How a program is built."""
    if name == "etcd":
        return Command(name=name, module=MODULES / "etcd", package=".", ldflags="-s -w", cold_s=COLD_S[name])
    told = kubernetes_version()
    major, minor, _ = told.split(".", 2)
    stamps = {"gitVersion": f"v{told}", "gitMajor": major, "gitMinor": minor}
    flags = [f"-X k8s.io/component-base/version.{key}={value}" for key, value in stamps.items()]
    return Command(
        name=name,
        module=MODULES / "kubernetes",
        package=f"k8s.io/kubernetes/cmd/{name}",
        ldflags=" ".join(("-s -w", *flags)),
        cold_s=COLD_S[name],
    )


def _refuse_old(apiserver: Path) -> None:
    asked = subprocess.run([apiserver, "--version"], capture_output=True, text=True, check=False)
    told = asked.stdout.strip()
    match = re.search(r"v1\.(\d+)\.", told)
    if match is None or int(match[1]) < LEAST_MINOR:
        raise BuildFailed(
            f"{ASSETS} is {str(apiserver.parent)!r} with kube-apiserver {told!r}: "
            f"use 1.{LEAST_MINOR} or newer, or unset it to have {kubernetes_version()} built"
        )


@contextmanager
def _turn(directory: Path) -> Iterator[None]:
    """One builder of a directory at a time; the lock goes with its holder, however that ends."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
