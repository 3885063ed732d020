"""
What a node and its leader tell each other, once a second: a report up, a lease down.

Bare watts; the sensor gain and the host enter the sums only. A lease that was lost is known by
the order that the next report names, so no sequence numbers are needed here.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Report:
    """One node's report.

    `holds_watts` is what it may draw now; the maximum where it can't be read. `at_fault` says that it
    is unable by a fault or a stranger, not only unproven. `safe_watts` and `safe_epoch` are in its
    armed record, None and 0 where it is unarmed; `order_watts` and `order_epoch` are the last lease's.
    """

    lowest_watts: int
    highest_watts: int
    holds_watts: int
    requested_watts: int
    drawn_watts: int
    able: bool
    at_fault: bool
    safe_watts: int | None
    safe_epoch: int
    order_watts: int | None
    order_epoch: int
    braked: bool = False
    heat: float = 0.0
    heat_age_s: int = 0

    @property
    def armed(self) -> bool:
        """Whether a record of this boot binds the node."""
        return self.safe_watts is not None


@dataclass(frozen=True, kw_only=True)
class Lease:
    """One node's orders for `Times.lease_s`.

    `held` says that the row is held or braked, `release` that the node is to be disarmed.
    """

    epoch: int
    order_watts: int
    safe_watts: int
    held: bool = False
    braked: bool = False
    release: bool = False
    heat: float = 0.0
