"""
What agents have told in statuses, from when on that is too old, and what is then said instead.

A coordinator tells of its PowerDomain, each agent of its NodeCapacity. What is kept of either is
the same: in which version it stands, the time of the last word, the refresh that was promised, and the
conditions that are worth nothing without one.

`Enforcing` of a NodeCapacity stays as it was told. It is what the node's record says, which outlives
the agent with the limits and the guard, and whoever asks whose a node is goes by it.

Pure: `stale_statuses` watches, counts and writes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from loadline_api.conditions import (
    COORDINATOR_DOMAIN_CONDITIONS,
    NODE_CONDITIONS,
    Condition,
    ConditionType,
    condition,
    merge,
)
from loadline_api.node_capacities import NodeCapacity
from loadline_api.power_domains import PowerDomain
from loadline_api.reasons import Reason
from loadline_api.refreshes import REFRESH_SECONDS, stale_after_s
from loadline_operator.kube.kinds import NODE_CAPACITIES, POWER_DOMAINS, Kind, Manifest

REFRESHED_NODE_CONDITIONS = frozenset(NODE_CONDITIONS) - {ConditionType.ENFORCING}
"""A NodeCapacity's conditions that only a living agent can vouch for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What was told in one status; `stale_after_s` is None where nobody has promised to tell again."""

    uid: str
    version: str
    time: str | None
    stale_after_s: float | None
    types: frozenset[ConditionType]
    conditions: tuple[Condition, ...]
    means: str

    def is_refresh_of(self, before: "Told") -> bool:
        """Whether somebody has spoken since, or this is another object of the name."""
        return (self.uid, self.time, self.stale_after_s) != (before.uid, before.time, before.stale_after_s)


def of_domain(raw: Manifest) -> Told:
    """What a coordinator has told of a domain; one with nodes that was never led is stale in time, too."""
    domain = PowerDomain.parse(raw)
    status = domain.status
    promised = status.refresh_seconds if status.observed_time is not None else REFRESH_SECONDS
    led = domain.spec.node_selector is not None
    return Told(
        uid=domain.metadata.uid,
        version=raw["metadata"]["resourceVersion"],
        time=status.observed_time,
        stale_after_s=stale_after_s(promised) if promised and led else None,
        types=COORDINATOR_DOMAIN_CONDITIONS,
        conditions=_of_types(status.conditions, COORDINATOR_DOMAIN_CONDITIONS),
        means="Each node steps down to its safe limits when its own lease ends.",
    )


def of_node(raw: Manifest) -> Told:
    """What an agent has told of its node; one that promises nothing isn't judged."""
    capacity = NodeCapacity.parse(raw)
    status = capacity.status
    promised = status.refresh_seconds if status.observed_time is not None else None
    shown = {one.type for one in status.conditions}
    types = frozenset(type for type in REFRESHED_NODE_CONDITIONS if type.value in shown)
    return Told(
        uid=capacity.metadata.uid,
        version=raw["metadata"]["resourceVersion"],
        time=status.observed_time,
        stale_after_s=stale_after_s(promised) if promised and types else None,
        types=types,
        conditions=_of_types(status.conditions, types),
        means="Check that the agent runs there and reaches the API server.",
    )


READERS: dict[Kind, Callable[[Manifest], Told]] = {POWER_DOMAINS: of_domain, NODE_CAPACITIES: of_node}
"""What is kept of a status, by kind; InvalidInput where an object can't be read."""


def unknown(told: Told, *, age_s: float, now: datetime) -> tuple[Condition, ...]:
    """What was told, as Unknown: the words are so old, or there never were any."""
    if told.time is None:
        reason, text = Reason.NOBODY_LEADS, Reason.NOBODY_LEADS.sentence
    else:
        reason = Reason.NOT_REFRESHED
        text = (
            f"This status has not been refreshed for {spoken(age_s)} or longer; the last refresh was at"
            f" {told.time}. {told.means}"
        )
    wanted = [condition(type, so=None, reason=reason, message=text) for type in told.types]
    return merge(told.conditions, wanted, now=now)


def spoken(age_s: float) -> str:
    """An age in the unit that a person would take, rounded down."""
    for unit, seconds in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if age_s >= 2 * seconds:
            return f"{int(age_s // seconds)} {unit}"
    return f"{int(age_s)} s"


def _of_types(conditions: tuple[Condition, ...], types: frozenset[ConditionType]) -> tuple[Condition, ...]:
    return tuple(sorted((one for one in conditions if one.type in types), key=lambda one: one.type))
