"""
A port for the API server that nobody else can take, not even while the server is down.

The bed binds the port and never listens on it; the server shares it by SO_REUSEPORT
(`--permit-port-sharing`). So two beds never meet on one port, a stopped server comes
back on its old one, and clients are refused meanwhile, as they should be.
"""

import socket


class Reservation:
    """A port of an address of this machine, held until closed."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._socket.bind((address, 0))

    @property
    def port(self) -> int:
        """The port's number."""
        return int(self._socket.getsockname()[1])

    def close(self) -> None:
        """Let go of the port."""
        self._socket.close()


def free(address: str = "127.0.0.1") -> int:
    """A port that nobody listens on, for a server that can't share one; it should be quick to take it."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])
