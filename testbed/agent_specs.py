"""What an agent writes into the spec of its NodeCapacity, of the right form and otherwise made up."""

from typing import Any

CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
"""The API server looks at its form alone."""


def agent_spec(address: str = "10.0.0.7:9476") -> dict[str, Any]:
    """The spec of an agent that listens at `address`."""
    return {"certificate": CERTIFICATE, "address": address}
