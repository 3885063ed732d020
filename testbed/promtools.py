"""
promtool, which checks alerts: from the machine, or from the distribution's package.

Only the one program is taken out of the package, into the cache; nothing is installed.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from testbed.cluster import toolchains

PACKAGE = "prometheus"


def find() -> Path | None:
    """promtool, fetched if need be; None where there is none and no apt-get to fetch it with."""
    kept = toolchains.cache() / "bin" / "promtool"
    on_path = shutil.which("promtool")
    if on_path is not None:
        return Path(on_path)
    if not kept.exists() and shutil.which("apt-get") and shutil.which("dpkg-deb"):
        _fetch(kept)
    return kept if kept.exists() else None


def _fetch(target: Path) -> None:
    """Unpack the package beside the target and rename, so that nobody meets half a program."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as directory:
        got = subprocess.run(["apt-get", "--quiet", "download", PACKAGE], cwd=directory, check=False)
        for package in Path(directory).glob("*.deb") if got.returncode == 0 else ():
            subprocess.run(["dpkg-deb", "--extract", package, directory], check=True)
            os.replace(Path(directory, "usr", "bin", "promtool"), target)
