"""
A port for the API server that nobody else can take, not even while the server is down.

The bed binds the port and never listens on it; the server shares it by SO_REUSEPORT
(`--permit-port-sharing`). So two beds never meet on one port, a stopped server comes
back on its old one, and clients are refused meanwhile, as they should be.
"""

import socket


class Reservation:
    """A port of 127.0.0.1, held until closed."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._socket.bind(("127.0.0.1", 0))

    @property
    def port(self) -> int:
        """The port's number."""
        return int(self._socket.getsockname()[1])

    def close(self) -> None:
        """Let go of the port."""
        self._socket.close()
