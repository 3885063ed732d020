"""
What a node's half of the protocol asks of whoever carries for it, and what it tells of itself.

The carrier sends, writes and reads, and comes back with what became of it.
"""

from dataclasses import dataclass

from loadline_policies.errors import LeaseRefused
from loadline_policies.power.protocol.messages import Lease, Report


@dataclass(frozen=True, slots=True)
class Send:
    """Report to whoever leads `report.domain`; then `answered`, `superseded` or `unanswered`."""

    report: Report
    out_of_turn: bool = False


@dataclass(frozen=True, slots=True)
class CarryOut:
    """Record the promise, then put it on the GPUs; or, by `Act.RELEASE`, give back what was found.

    Then `carried_out`, or `failed` if the promise couldn't be recorded.
    """

    lease: Lease
    deadline_s: float


@dataclass(frozen=True, slots=True)
class Restore:
    """Give back what was found, by a person's order; then `restored`."""


@dataclass(frozen=True, slots=True)
class ReadBack:
    """Read the GPUs' limits, since an order should be in force by now; then `looked`."""


@dataclass(frozen=True, slots=True)
class Taken:
    """The node stands by this lease; `before` is the one it held."""

    lease: Lease
    before: Lease | None


@dataclass(frozen=True, slots=True)
class Refused:
    """An answer that the node doesn't take."""

    error: LeaseRefused


Output = Send | CarryOut | Restore | ReadBack | Taken | Refused
