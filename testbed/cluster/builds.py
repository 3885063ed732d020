"""
Building one command from a Go module, with an estimate of how long it will take.

A cold build of kube-apiserver takes minutes and says nothing. So the packages that
are not in Go's build cache are counted beforehand, `go build -v` names each as it
comes to it, and the display says how many are left and about how long that takes:
first by what was measured once, then more and more by this build itself.

A command is built beside its place and renamed into it, so nobody ever meets half of
one. What is built, and where it goes, is `binaries`' affair.
"""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from testbed.cluster.errors import BuildFailed

MEASURED_CORES = 2
PLAIN_EVERY_S = 15.0
"""Without a terminal a line at this pace: often enough to see that it lives."""

TRUST_OWN_PACE_FROM = 0.25
"""Chosen: packages cost unevenly, so a build's first quarter is not extrapolated alone."""

ENVIRONMENT = {"CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off", "GOTOOLCHAIN": "local"}
FLAGS = ("-mod=readonly", "-trimpath", "-buildvcs=false")

Report = Callable[[int, int, float], None]
"""Called with packages done, packages in all, and about how many seconds are left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command of a Go module. `cold_s` is what a first build took on two idle cores."""

    name: str
    module: Path
    package: str
    ldflags: str
    cold_s: float


def build(command: Command, *, target: Path, go: Path, console: Console) -> None:
    """Build the command into `target`; raises BuildFailed with the compiler's last words."""
    fresh = target.with_name(f".{target.name}-{os.getpid()}")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with display(command.name, console) as report:
            _run(command, target=fresh, go=go, report=report)
        os.replace(fresh, target)
    finally:
        fresh.unlink(missing_ok=True)


def remaining_s(*, done: int, total: int, elapsed_s: float, cold_s: float) -> float:
    """About how long a build goes on, of whose `total` packages `done` are compiled.

    `cold_s` is believed at first, this build's own pace from a quarter of it on.
    """
    fraction = min(done / total, 1.0) if total else 1.0
    if fraction == 0:
        return cold_s
    trust = min(fraction / TRUST_OWN_PACE_FROM, 1.0)
    whole_s = trust * elapsed_s / fraction + (1 - trust) * cold_s
    return max(whole_s - elapsed_s, 0.0)


def duration(seconds: float) -> str:
    """A duration as a person says it."""
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{max(round(seconds, -1), 10):.0f} s"


@contextmanager
def display(name: str, console: Console) -> Iterator[Report]:
    """A progress bar on a terminal, a line now and then elsewhere."""
    if console.is_terminal:
        with _bar(name, console) as report:
            yield report
        return
    started_s = last_s = time.monotonic()

    def report_line(done: int, total: int, left_s: float) -> None:
        nonlocal last_s
        if time.monotonic() - last_s >= PLAIN_EVERY_S or done == 0:
            last_s = time.monotonic()
            console.print(f"{name}: {done} of {total} packages, about {duration(left_s)} left")

    yield report_line
    console.print(f"{name}: built in {duration(time.monotonic() - started_s)}")


@contextmanager
def _bar(name: str, console: Console) -> Iterator[Report]:
    columns = (
        TextColumn("{task.description:<23}"),
        BarColumn(bar_width=18),
        MofNCompleteColumn(),
        TextColumn("packages"),
        TextColumn("{task.fields[left]}"),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(name, total=None, left="resolving modules")

        def report(done: int, total: int, left_s: float) -> None:
            left = f"about {duration(left_s)} left" if done < total else "linking"
            progress.update(task, completed=done, total=total, left=left)

        yield report
        progress.update(task, completed=progress.tasks[task].total, left="built")


def _run(command: Command, *, target: Path, go: Path, report: Report) -> None:
    deps, stale = _packages(command, go)
    cold_s = command.cold_s * MEASURED_CORES / (os.cpu_count() or 1) * (stale + 1) / (deps + 1)
    arguments = [
        str(go),
        "build",
        *FLAGS,
        "-v",
        "-ldflags",
        command.ldflags,
        "-o",
        str(target),
        command.package,
    ]
    started_s, done, errors = time.monotonic(), 0, list[str]()
    report(0, stale, cold_s)
    with subprocess.Popen(
        arguments, cwd=command.module, env={**os.environ, **ENVIRONMENT}, stderr=subprocess.PIPE, text=True
    ) as build:
        assert build.stderr is not None
        for line in build.stderr:
            if not is_package(line):
                errors.append(line)
                continue
            done = min(done + 1, stale)
            elapsed_s = time.monotonic() - started_s
            report(done, stale, remaining_s(done=done, total=stale, elapsed_s=elapsed_s, cold_s=cold_s))
    if build.returncode:
        raise BuildFailed(f"{command.name} could not be built:\n{''.join(errors[-20:])}")


def is_package(line: str) -> bool:
    """Whether a line of `go build -v` names a package; the others are downloads and errors."""
    return bool(line.strip()) and " " not in line.strip() and not line.startswith(("#", "\t"))


def module_directory(main: Path, wanted: str, *, go: Path) -> Path:
    """Where Go keeps the sources of `module@version`, fetched if they aren't there yet.

    Raises BuildFailed, also when they are not what the main module's go.sum says.
    """
    done = subprocess.run(
        [str(go), "mod", "download", "-json", wanted],
        cwd=main,
        env={**os.environ, **ENVIRONMENT},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BuildFailed(f"{wanted} could not be fetched:\n{(done.stderr or done.stdout)[-2000:]}")
    return Path(json.loads(done.stdout)["Dir"])


def _packages(command: Command, go: Path) -> tuple[int, int]:
    """How many packages the command is made of, and how many of them must be compiled."""
    arguments = [str(go), "list", *FLAGS, "-deps", "-f", "{{.Stale}} {{.StaleReason}}", command.package]
    listed = subprocess.run(
        arguments,
        cwd=command.module,
        env={**os.environ, **ENVIRONMENT},
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        raise BuildFailed(f"the modules of {command.name} could not be fetched:\n{listed.stderr[-2000:]}")
    lines = listed.stdout.splitlines()
    return len(lines), sum(line.startswith("true") and "in build cache" not in line for line in lines)
