"""
The source of a version of vLLM that isn't installed, to compare what the plugin relies on.

There is no build of vLLM 0.33 for a CPU, so it can't run here; but its source is on PyPI. It is fetched once
a machine, checked against its hash, and only its Python files are kept.
"""

import hashlib
import os
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path

import httpx

from testbed.cluster.errors import BuildFailed
from testbed.cluster.toolchains import cache

FETCH_S = 300.0


@dataclass(frozen=True, slots=True)
class Release:
    """A source distribution on PyPI, by the path and the hash that PyPI lists."""

    version: str
    path: str
    sha256: str

    @property
    def url(self) -> str:
        """Where it lies."""
        return f"https://files.pythonhosted.org/packages/{self.path}/vllm-{self.version}.tar.gz"


NEXT = Release(
    "0.33.0",
    "f7/25/aa5684e9c59d6fc75f78926b7f15e8d9adc7de2d9e6e7575b80776ad8169",
    "f4c33c2503d52bb411146afa9618a4f48bed68912f617e6803ac8d76e4c74112",
)
"""The release after the one that the plugin is for."""


def ensure(release: Release) -> Path:
    """The directory that holds the package `vllm`, fetched if it isn't there; raises BuildFailed."""
    target = cache() / "engines" / "sources" / release.sha256[:12]
    if not target.exists():
        fresh = target.with_name(f".{target.name}-{os.getpid()}")
        fresh.mkdir(parents=True)
        try:
            _fetch(release, fresh)
            (fresh / f"vllm-{release.version}").rename(target)
        except OSError as error:
            if not target.exists():  # else another process was quicker
                raise BuildFailed(f"vLLM's source could not be unpacked: {error}") from error
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return target


def _fetch(release: Release, directory: Path) -> None:
    archive, digest = directory / "source.tar.gz", hashlib.sha256()
    try:
        with httpx.stream("GET", release.url, timeout=FETCH_S) as answer, archive.open("wb") as file:
            answer.raise_for_status()
            for chunk in answer.iter_bytes():
                digest.update(chunk)
                file.write(chunk)
    except httpx.HTTPError as error:
        raise BuildFailed(f"vLLM's source could not be fetched from {release.url}: {error}") from error
    if digest.hexdigest() != release.sha256:
        raise BuildFailed(f"{release.url} has the hash {digest.hexdigest()}, not {release.sha256}")
    with tarfile.open(archive) as opened:
        wanted = (one for one in opened if one.name.split("/")[1:2] == ["vllm"] and one.name.endswith(".py"))
        opened.extractall(directory, members=wanted, filter="data")
