"""
The networks of a node: one of 16 places, each with addresses of its own.

A node's network namespace hangs on the machine by a pair of virtual cards, and the
machine has routes to the pods and Services behind it. So tests reach both, pods reach
the machine, and nothing else is changed: no forwarding, no packet filter, no bridge
outside. Which of the 16 is taken is told by a socket's name, which the kernel frees
with its holder, however that ends; cards and routes go with the node's processes.
"""

import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from testbed.cluster.errors import BedError

PLACES = 16
"""Chosen: more beds with a node than any machine carries at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """The addresses of one place; `name` is the card's on the machine's side."""

    number: int

    @property
    def name(self) -> str:
        """The card on the machine's side."""
        return f"ll-node-{self.number}"

    @property
    def machine(self) -> str:
        """Where the node and its pods reach the machine; the API server listens here."""
        return f"10.89.{self.number}.1"

    @property
    def node(self) -> str:
        """The node's own address."""
        return f"10.89.{self.number}.2"

    @property
    def pods(self) -> str:
        return f"10.88.{self.number}.0/24"

    @property
    def services(self) -> str:
        return f"10.87.{self.number}.0/24"

    @property
    def dns(self) -> str:
        """The Service address at which pods look for names."""
        return f"10.87.{self.number}.10"

    def outside(self, pid: int) -> list[str]:
        """What `ip` is told on the machine, for the node whose process 1 this is."""
        return [
            f"link add {self.name} type veth peer name eth0 netns {pid}",
            f"address add {self.machine}/30 dev {self.name}",
            f"link set {self.name} up",
            f"route add {self.pods} via {self.node} dev {self.name} onlink",
            f"route add {self.services} via {self.node} dev {self.name} onlink",
        ]

    def inside(self) -> list[str]:
        """What `ip` is told on the node."""
        return [
            "link set lo up",
            f"address add {self.node}/30 dev eth0",
            "link set eth0 up",
            f"route add default via {self.machine}",
        ]


class Reserved:
    """A network that nobody else on this machine can take until it is closed."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self.network = Network(number=next(filter(self._take, range(PLACES)), -1))
        if self.network.number < 0:
            self._socket.close()
            raise BedError(f"all {PLACES} networks for nodes are taken: take a bed down")

    def close(self) -> None:
        """Let somebody else have it."""
        self._socket.close()

    def _take(self, number: int) -> bool:
        """Whether it is ours now; one whose card is still there belongs to a node that is just dying."""
        if Path("/sys/class/net", Network(number=number).name).exists():
            return False
        try:
            self._socket.bind(f"\0loadline-node-{number}")
        except OSError:
            return False
        return True


def tell_ip(lines: list[str]) -> None:
    """Run lines of `ip` in one go; raises BedError with its words."""
    done = subprocess.run(
        ["ip", "-batch", "-"], input="\n".join(lines), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BedError(f"ip -batch: {done.stderr.strip()}")
