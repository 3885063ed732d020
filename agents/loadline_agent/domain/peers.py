"""
Who may be spoken to, as the API server has told: client, server and declarations share it.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Peer:
    """A member that may be spoken to: where it listens, and the one certificate that is its own (DER)."""

    node: str
    address: str
    certificate: bytes
