"""
What a service asks for when a cap makes it miss an objective: one claim for each of its nodes.

Which claims there are is worked out from reports in `protocol.relief_claims`; which are
granted is decided in `reliefs`.
"""

from dataclasses import dataclass

MISSED = 1.0
"""An objective is missed above this ratio of latency to objective (`ServiceReport.missed`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One service's GPUs on one node.

    `missed` is the ratio that `ServiceReport` explains, `capped` whether a cap of this
    coordinator holds a GPU of it now, `rise_watts` how much more its GPUs could draw than
    they are seen to, sensor gain included, if they were let go.
    """

    service: str
    node: str
    priority: int
    missed: float | None
    gpus: tuple[str, ...]
    capped: bool
    rise_watts: float

    @property
    def key(self) -> tuple[str, str]:
        """What tells claims apart."""
        return self.service, self.node

    @property
    def misses(self) -> bool:
        """Whether the service is known to miss its objective."""
        return self.missed is not None and self.missed > MISSED

    @property
    def asks(self) -> bool:
        """Whether the service misses while a cap holds it."""
        return self.capped and self.misses
