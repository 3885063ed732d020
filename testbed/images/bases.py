"""
A root file system to stand on, made by debootstrap: no registry is needed for it.

It is the smallest Debian that runs Python, and what nobody reads in a container is taken
out of it again. This file's own text is part of the base's hash.
"""

import os
import shutil
import subprocess
from pathlib import Path

from testbed.cluster.errors import BuildFailed
from testbed.cluster.machines import PATH

SUITE = "bookworm"
MIRROR = "http://deb.debian.org/debian"
PACKAGES = ("python3", "python3-venv", "ca-certificates")
"""`venv` for the build stages; what they make is copied out of them."""

UNREAD = (
    "var/cache/apt",
    "var/lib/apt/lists",
    "var/log",
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "usr/share/info",
)
TAIL_CHARACTERS = 1_500


def write(target: Path, work: Path) -> None:
    """Write the root file system to `target`, a tar; raises BuildFailed."""
    root = work / "root"
    options = ["--variant=minbase", f"--include={','.join(PACKAGES)}"]
    _run("debootstrap", *options, SUITE, str(root), MIRROR)
    for name in UNREAD:
        shutil.rmtree(root / name, ignore_errors=True)
        (root / name).mkdir(parents=True)
    (root / "root").chmod(0o755)  # an engine mounted below a home of the host's is for other users too
    names = ("--exclude=./dev/*", "--exclude=./proc/*", "--exclude=./sys/*", "--sort=name")
    _run("tar", "--create", "--numeric-owner", *names, "--file", str(target), "--directory", str(root), ".")


def _run(*command: str) -> None:
    environment = {**os.environ, "PATH": PATH}  # root's programs are on nobody else's
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildFailed(f"the base image failed:\n{(done.stdout + done.stderr)[-TAIL_CHARACTERS:]}")
