"""
The programs of the bed: found where a developer has them, else built once.

A directory named by `KUBEBUILDER_ASSETS` comes first, for those programs that it
holds. The others lie in the cache by version, outside the checkout, and are built
from Go modules when they don't: modules and checksums are pinned in `modules/`, whose
go.mod is also the only place that names the versions. Two builders at once take turns.
Kubernetes is pinned twice: `KUBERNETES=1.36` chooses the other one by its minor version.

Five programs make a control plane, and `ensure` is about them. What a real node needs,
Helm and LeaderWorkerSet's controllers are built only where somebody asks for them.
"""

import fcntl
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

from rich.console import Console

from testbed.cluster import toolchains
from testbed.cluster.builds import Command, build, module_directory
from testbed.cluster.errors import BuildFailed

MODULES = Path(__file__).parent / "modules"
ASSETS = "KUBEBUILDER_ASSETS"

CHOSEN = "KUBERNETES"
"""The variable that names a minor version other than the one that is built unless told."""

LEAST_MINOR = 33
"""From Kubernetes 1.33 on a token bound to a Node names it to the admission policies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a program comes from. `cold_s` was measured on two cores, each after those before it."""

    module: str
    requirement: str
    package: str
    cold_s: float


def _kubernetes(name: str, cold_s: float) -> Source:
    package = f"k8s.io/kubernetes/cmd/{name}"
    return Source(module="kubernetes", requirement="k8s.io/kubernetes", package=package, cold_s=cold_s)


SOURCES = {
    "etcd": Source(module="etcd", requirement="go.etcd.io/etcd/server/v3", package=".", cold_s=60.0),
    "kube-apiserver": _kubernetes("kube-apiserver", 410.0),
    "kubectl": _kubernetes("kubectl", 70.0),
    "kube-controller-manager": _kubernetes("kube-controller-manager", 110.0),
    "kube-scheduler": _kubernetes("kube-scheduler", 50.0),
    "kubelet": _kubernetes("kubelet", 25.0),
    "kube-proxy": _kubernetes("kube-proxy", 6.0),
    "coredns": Source(module="coredns", requirement="github.com/coredns/coredns", package=".", cold_s=65.0),
    "helm": Source(
        module="helm", requirement="helm.sh/helm/v4", package="helm.sh/helm/v4/cmd/helm", cold_s=70.0
    ),
    "lws-controller-manager": Source(
        module="lws", requirement="sigs.k8s.io/lws", package="sigs.k8s.io/lws/cmd", cold_s=320.0
    ),
}

NODE_NAMES = ("kubelet", "kube-proxy", "coredns")
"""What a node that runs pods needs beside the control plane."""


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
    text = (folder(module) / "go.mod").read_text()
    pinned = re.search(rf"^require {re.escape(requirement)} v(\S+)$", text, re.MULTILINE)
    if pinned is None:
        raise BuildFailed(f"modules/{module}/go.mod names no version of {requirement}: add a `require` line")
    return pinned[1]


def folder(module: str) -> Path:
    """Where a module is pinned; Kubernetes where the environment has chosen it.

    Raises BuildFailed for a version that isn't pinned.
    """
    chosen = os.environ.get(CHOSEN, "")
    if module != "kubernetes" or not chosen:
        return MODULES / module
    own = {_minor(path): path for path in MODULES.glob("kubernetes*")}
    if chosen not in own:
        raise BuildFailed(f"{CHOSEN} is {chosen!r}: use one of {', '.join(sorted(own))}, or unset it")
    return own[chosen]


def _minor(module: Path) -> str:
    text = (module / "go.mod").read_text()
    pinned = re.search(r"^require k8s.io/kubernetes v(\d+\.\d+)", text, re.MULTILINE)
    return pinned[1] if pinned is not None else ""


def kubernetes_version() -> str:
    """The Kubernetes that is built, as in `1.37.2`."""
    return version("kubernetes", "k8s.io/kubernetes")


def cached(name: str) -> Path:
    """Where the cache keeps a program, there or not."""
    source = SOURCES[name]
    directory = f"{source.module}-{version(source.module, source.requirement)}"
    return toolchains.cache() / "bin" / directory / name


def find(name: str) -> Path:
    """Where a program is, or would be once built."""
    own = Path(os.environ.get(ASSETS) or "/nonexistent") / name
    return own if os.access(own, os.X_OK) else cached(name)


def missing(names: Sequence[str] = NAMES) -> tuple[str, ...]:
    """Those of the programs that would have to be built, in the order of building."""
    return tuple(name for name in names if not find(name).exists())


def need(*names: str, console: Console | None = None) -> tuple[Path, ...]:
    """Where these programs are, after building those that are missing; progress goes to stderr."""
    for name in missing(names):
        with _turn(cached(name).parent):
            if not cached(name).exists():  # whoever had the turn before may have built it
                build(
                    command(name),
                    target=cached(name),
                    go=toolchains.go(),
                    console=console or Console(stderr=True),
                )
    return tuple(map(find, names))


def ensure(console: Console | None = None) -> Binaries:
    """The control plane's programs, after building those that are missing; progress goes to stderr.

    Raises BuildFailed, also when KUBEBUILDER_ASSETS holds an API server that is too old.
    """
    paths = need(*NAMES, console=console)
    found = {name.replace("-", "_"): path for name, path in zip(NAMES, paths, strict=True)}
    if found["kube_apiserver"] != cached("kube-apiserver"):
        _refuse_old(found["kube_apiserver"])
    return Binaries(**found)


def sources(name: str) -> Path:
    """The folder with the sources of a program's module, for the manifests that lie among them."""
    source = SOURCES[name]
    wanted = f"{source.requirement}@v{version(source.module, source.requirement)}"
    return module_directory(folder(source.module), wanted, go=toolchains.go())


def command(name: str) -> Command:
    """How a program is built."""
    source = SOURCES[name]
    return Command(
        name=name,
        module=folder(source.module),
        package=source.package,
        ldflags=" ".join(("-s -w", *_stamps(source))),
        cold_s=source.cold_s,
    )


def _stamps(source: Source) -> list[str]:
    """What makes a program tell its version as a released one does, for those whose version is looked at."""
    told = version(source.module, source.requirement)
    if source.module == "helm":
        return [f"-X helm.sh/helm/v4/internal/version.version=v{told}"]
    if source.module != "kubernetes":
        return []
    major, minor, _ = told.split(".", 2)
    stamps = {"gitVersion": f"v{told}", "gitMajor": major, "gitMinor": minor}
    return [f"-X k8s.io/component-base/version.{key}={value}" for key, value in stamps.items()]


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
