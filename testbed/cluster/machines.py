"""
The machine that a node of the bed takes itself to be: its namespaces, from outside.

`namespaces` makes them, in a process of the bed. Here is what the bed does with them:
hang them on the network, start programs and run commands inside, and find from outside
what the node keeps at its own places. Root is needed, and a kernel with overlayfs.
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from testbed.cluster import namespaces
from testbed.cluster.errors import BedError
from testbed.cluster.networks import Network, tell_ip
from testbed.cluster.processes import Household, Process

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
READY_S = 20.0
COMMAND_TIMEOUT_S = 300.0
HIERARCHIES = Path("/sys/fs/cgroup")

FORWARD = "echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables"
"""Pods speak to all else through the node, and by Services also to one another."""


class Machine:
    """One node's namespaces, while the household lives."""

    def __init__(self, household: Household, network: Network, *, name: str) -> None:
        self._household = household
        self._folder = household.directory / "node"
        self.name, self.network = name, network
        self._refuse_hidden(household.directory)
        holder = household.start("node", [*self._script("hold"), str(self._folder), name], grace_s=0.0)
        holder.until((self._folder / "pid").exists, timeout_s=READY_S)
        self.pid = int((self._folder / "pid").read_text())
        tell_ip(network.outside(self.pid))
        self.run("ip", "-batch", "-", input="\n".join(network.inside()))
        self.run("sh", "-c", FORWARD)

    def start(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        environment: Mapping[str, str] | None = None,
        grace_s: float = 0.0,
    ) -> Process:
        """Start a program on the node; its output is in `logs/<name>.log`, signals to it pass through."""
        entering = [*self._script("enter"), str(self.pid), *map(str, command)]
        return self._household.start(
            name, entering, environment={"PATH": PATH, **(environment or {})}, grace_s=grace_s
        )

    def run(self, *command: str | Path, input: str | None = None) -> str:
        """What a command prints on the node; raises BedError with what it wrote to stderr."""
        done = subprocess.run(
            [*self._script("enter"), str(self.pid), *map(str, command)],
            env={"PATH": PATH},
            input=input,
            text=True,
            capture_output=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
        if done.returncode:
            raise BedError(f"{' '.join(map(str, command))}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def outside(self, place: str | Path) -> Path:
        """Where this machine sees what the node sees at one of its own places, as `/var/lib/kubelet/x`."""
        return self._folder / Path(place).relative_to("/")

    def make_group(self) -> str:
        """The control group below which all pods of the bed run, in each hierarchy; gives its name."""
        name = self._household.directory.name
        unified = (HIERARCHIES / "cgroup.controllers").exists()
        for hierarchy in (HIERARCHIES,) if unified else filter(Path.is_dir, HIERARCHIES.iterdir()):
            (hierarchy / name).mkdir(exist_ok=True)
        return f"/{name}"

    def _script(self, what: str) -> list[str]:
        return [sys.executable, "-I", "-S", namespaces.__file__, what]

    def _refuse_hidden(self, directory: Path) -> None:
        for place in namespaces.OWN_FOLDERS:
            if directory.is_relative_to(Path("/", place)):
                raise BedError(
                    f"TMPDIR is {str(directory.parent)!r}: the node has its own /{place}, use another"
                )
        if os.geteuid():
            raise BedError("a node that runs pods needs root: mounts, network cards and control groups")
