"""What a coordinator is told of its domain: budget, curve, members, mode and policy."""

from dataclasses import dataclass, field
from enum import StrEnum

from loadline_policies.power.documents import PowerDocument
from loadline_policies.power.protocol.drill_states import DrillOrder
from loadline_policies.power.safety.breakers import Curve
from loadline_policies.power.safety.safe_states import NodeRating, Timings


class Ceiling(StrEnum):
    """How high a limit may be ordered: as its owner had it, as the driver begins with it, or all there is."""

    FOUND = "Found"
    DEFAULT = "Default"
    MAXIMUM = "Maximum"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceTerms:
    """What an InferenceService is due: its priority, and the watts that it allows each of its GPUs."""

    priority: int = 0
    max_watts: float | None = None


NO_TERMS = ServiceTerms()
"""Of a service that nobody has declared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """A power domain as declared, with everything that its coordinator needs to decide.

    `leaving` are nodes that the domain doesn't select any more but that are still armed
    for it: they hold a part of the budget until they are released. `ratings` are what
    nodes that haven't been heard are known to be able to draw; a node's own report
    overrides them. No limit is ordered above `ceiling`. `services` maps `namespace/name` of a
    service to its terms. `drill` is the order for one that stands at the PowerDomain, done or not.
    """

    name: str
    budget_watts: float
    members: frozenset[str]
    document: PowerDocument
    leaving: frozenset[str] = frozenset()
    ceiling: Ceiling = Ceiling.FOUND
    enforce: bool = False
    curve: Curve = field(default_factory=Curve)
    timings: Timings = field(default_factory=Timings)
    ratings: dict[str, NodeRating] = field(default_factory=dict)
    services: dict[str, ServiceTerms] = field(default_factory=dict)
    drill: DrillOrder | None = None

    def terms_of(self, service: str) -> ServiceTerms:
        """The terms of a service by its `namespace/name`."""
        return self.services.get(service, NO_TERMS)

    def is_high(self, service: str) -> bool:
        """Whether the policy counts the service as high priority."""
        return self.terms_of(service).priority >= self.document.high_priority_from
