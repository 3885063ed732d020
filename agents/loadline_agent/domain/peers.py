"""
Who may be spoken to, and where a node belongs: what the API server has told of them.

Two frozen values that client, server and declarations share.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Peer:
    """A member that may be spoken to: where it listens, and the one certificate that is its own (DER)."""

    node: str
    address: str
    certificate: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """Where this node belongs. `domain` is None where no domain selects it, `conflict` says why two do.

    Host watts are those of the domain's host model for one server without its GPUs.
    """

    domain: str | None = None
    conflict: str | None = None
    host_idle_watts: float = 0.0
    host_max_watts: float = 0.0
