"""
What a node needs of the distribution, and how a machine gets it that hasn't it.

containerd, runc and the CNI plug-ins are taken as Debian and Ubuntu ship them: they
are what most clusters run, and small. Nobody's machine is changed unasked: a bed says
what is missing, `python -m testbed.cluster prepare` installs just that, as root and aloud.
"""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from testbed.cluster.containers import PLUGINS
from testbed.cluster.errors import BedError
from testbed.cluster.images import PROGRAM
from testbed.cluster.machines import PATH

HINT = "as root, run `python -m testbed.cluster prepare`"


def _program(name: str) -> Callable[[], bool]:
    return lambda: shutil.which(name, path=PATH) is not None


def _plugins() -> bool:
    return any(Path(directory, "bridge").exists() for directory in PLUGINS)


def _static_busybox() -> bool:
    """One that is linked dynamically names its loader in the first page."""
    if not PROGRAM.exists():
        return False
    with PROGRAM.open("rb") as file:
        return b"/ld-" not in file.read(4096)


NODE_PARTS: dict[str, Callable[[], bool]] = {
    "containerd": _program("containerd"),
    "runc": _program("runc"),
    "containernetworking-plugins": _plugins,
    "busybox-static": _static_busybox,
    "iproute2": _program("ip"),
    "iptables": _program("iptables"),
    "nftables": _program("nft"),
}
"""What a node needs to run pods, by package."""

IMAGE_PARTS: dict[str, Callable[[], bool]] = {
    "buildah": _program("buildah"),
    "debootstrap": _program("debootstrap"),
}
"""What images are made with that have more than one program in them."""


def missing(parts: dict[str, Callable[[], bool]] = NODE_PARTS) -> tuple[str, ...]:
    """The packages of which this machine lacks what they are here for."""
    return tuple(package for package, there in parts.items() if not there())


def obstacle() -> str | None:
    """Why no node can run pods here, in a sentence that says what to do; None if one can."""
    if os.geteuid():
        return "a node that runs pods needs root: mounts, network cards and control groups"
    if lacking := missing():
        return f"a node that runs pods needs {', '.join(lacking)}: {HINT}"
    return None


def require() -> None:
    """Raise BedError with the obstacle, if there is one."""
    if (found := obstacle()) is not None:
        raise BedError(found)


def install(console: Console) -> None:
    """Install the packages that are missing, of both kinds; raises BedError where that can't be."""
    packages = (*missing(NODE_PARTS), *missing(IMAGE_PARTS))
    if not packages:
        return
    if os.geteuid() or shutil.which("apt-get") is None:
        raise BedError(f"{', '.join(packages)}: needs root and apt-get to be installed; nothing was changed")
    console.print(f"installing from the distribution: {' '.join(packages)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
        done = subprocess.run(
            ["apt-get", "--quiet", *command], env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise BedError(f"apt-get {' '.join(command)}:\n{(done.stderr or done.stdout)[-2000:]}")
