"""
How large the numbers of a power domain may be: one table for whoever declares, checks, sends or keeps them.

Where the CRD takes more than a coordinator believes, a domain is accepted and none of its members
is ever heard; where it takes less, an agent can't publish what it has. So the CRDs, the operator,
the protocol and the agent's record go by these, whatever their own form. None of them is physics:
they keep a slipped digit, or milliwatts given for watts, from being believed.
"""

from typing import Final

LEASE_SECONDS: Final = (2, 30)
"""What may be declared; no node binds itself for longer. Chosen: at most twice a Kubernetes Lease."""

BUDGET_WATTS: Final = (1, 1_000_000_000)
"""Of one breaker: from one watt to a gigawatt."""

HOST_WATTS: Final = (1, 100_000)
"""Of one server without its GPUs: more than a rack has today."""

GPU_WATTS: Final = (1, 10_000)
"""Of one board: several times the rating of any that there is."""

GPUS: Final = (1, 32)
"""Of one server that has any."""

UUID_BYTES: Final = 48
"""Of a GPU's UUID: NVML's own have 40 characters."""

MEMBERS: Final = 2048
"""Nodes on one breaker."""

CLOCK_MHZ: Final = (1, 10_000)
"""Of a streaming multiprocessor."""

COUNTS: Final = 2**63 - 1
"""Of sequences and versions: an int64."""

NAMES: Final = 320
"""Characters of a name: `namespace/name` of an object has 317."""

OWNERS: Final = 64
"""Services on one GPU, or on one node."""

FAULTS: Final = 32
"""Reasons that keep one node from being armed."""

TRANSITIONS: Final = 2**31 - 1
"""leaseTransitions is an int32 in Kubernetes' API."""
