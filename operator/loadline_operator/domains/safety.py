"""
Whether a domain can be kept: S1 and S2 of its members, with the figures for its status.

The sums are `safe_states`'s; what this adds is the operator's position. It knows the
hardware only from NodeCapacities, which come one after another when a row starts up, so
a domain whose nodes haven't all told is neither accepted nor refused, unless the nodes
that have are already too many. The coordinator checks the same from the nodes' own
reports before it enforces anything.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from loadline_api.host_labels import host_draw
from loadline_api.power_domains import PowerDomainSpec
from loadline_api.reasons import Reason
from loadline_api.sentences import some_of
from loadline_operator.domains.facts import Capacity, Node
from loadline_operator.findings import Finding
from loadline_policies.errors import InvalidInput, UnsafeDomain
from loadline_policies.power.safety.breakers import WARM
from loadline_policies.power.safety.safe_states import (
    NodeRating,
    Timings,
    assess,
    safe_limits,
    tolerated_silent_nodes,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Safety:
    """Both promises, and the figures behind them where they are known; watts and milliseconds."""

    fits: Finding
    in_time: Finding
    safe_watts: int | None = None
    max_watts: int | None = None
    reaction_ms: int | None = None
    trip_ms: int | None = None
    tolerates_silent_nodes: int | None = None


def timings(spec: PowerDomainSpec) -> Timings:
    """How long the parts of a reaction take in this domain, in seconds."""
    return Timings(lease_s=float(spec.lease_seconds))


def check(spec: PowerDomainSpec, members: tuple[Node, ...], capacities: Mapping[str, Capacity]) -> Safety:
    """S1 and S2 of these members under the domain's budget, curve and lease time."""
    try:
        hosts = [_host_watts(node, spec) for node in members]
    except InvalidInput as error:
        return _both(Finding(so=False, reason=Reason.HOST_WATTS_INVALID, text=str(error)))
    known = [_rating(capacities.get(node.name), watts) for node, watts in zip(members, hosts, strict=True)]
    ratings = tuple(rating for rating in known if rating is not None)
    rows = zip(members, known, hosts, strict=True)
    silent = {node.name: watts for node, rating, watts in rows if rating is None}
    if silent:
        return _untold(spec, ratings, list(silent), host_watts=sum(silent.values()))
    safety = _told(spec, ratings)
    stale = {node.name for node in members if capacities[node.name].stale}
    return _doubted(safety, spec, ratings, stale=stale) if stale else safety


def _host_watts(node: Node, spec: PowerDomainSpec) -> float:
    try:
        return host_draw(node.labels, spec.host_watts).max_watts
    except InvalidInput as error:
        raise InvalidInput(f"{node.name}: {error.field}", error.value, fix=error.fix) from error


def _rating(capacity: Capacity | None, host_watts: float) -> NodeRating | None:
    if capacity is None or capacity.gpus is None:
        return None
    return NodeRating(
        node=capacity.node, host_max_watts=host_watts, gpus=capacity.gpus, settable=capacity.settable
    )


def _untold(
    spec: PowerDomainSpec, ratings: tuple[NodeRating, ...], silent: list[str], *, host_watts: float
) -> Safety:
    """Not all nodes have told; at the least the others draw their hosts' maximum, together `host_watts`."""
    floor = sum(rating.floor_watts for rating in ratings) + host_watts
    if floor > spec.budget_watts:
        text = (
            f"budgetWatts is {spec.budget_watts}: hosts at their maximum and the GPUs known so far at their"
            f" lowest settable limits draw {math.ceil(floor)} W on {len(ratings) + len(silent)} nodes;"
            " raise it or take nodes out of the domain"
        )
        return _both(Finding(so=False, reason=Reason.BUDGET_TOO_SMALL, text=text))
    text = (
        f"{len(silent)} of {len(ratings) + len(silent)} nodes have no NodeCapacity that reports what they"
        + (f" can draw: {some_of(silent)}; check that the agent runs there")
    )
    return _both(Finding(so=None, reason=Reason.CAPACITY_UNKNOWN, text=text))


def _doubted(
    safety: Safety, spec: PowerDomainSpec, ratings: tuple[NodeRating, ...], *, stale: set[str]
) -> Safety:
    """What remains of it where nobody vouches for some nodes: a refusal, and what holds without them, too.

    Their ranges are the hardware's and stay. Whether their limits can be set isn't known any more, so that
    safe limits surely fit only if they do with these nodes at their maximum.
    """
    text = (
        f"the NodeCapacity of {len(stale)} of {len(ratings)} nodes is stale: {some_of(sorted(stale))};"
        " check that the agent runs there and reaches the API server"
    )
    unsure = Finding(so=None, reason=Reason.NOT_REFRESHED, text=text)
    unset = tuple(replace(one, settable=one.settable and one.node not in stale) for one in ratings)
    fits = not safety.fits.so or _told(spec, unset).fits.so
    return replace(
        safety,
        fits=safety.fits if fits else unsure,
        in_time=unsure if safety.in_time.so else safety.in_time,
    )


def _told(spec: PowerDomainSpec, ratings: tuple[NodeRating, ...]) -> Safety:
    budget, curve, times = float(spec.budget_watts), spec.breaker.to_curve(), timings(spec)
    try:
        limits = safe_limits(ratings, budget)
    except UnsafeDomain as error:
        return _both(Finding(so=False, reason=Reason.BUDGET_TOO_SMALL, text=str(error)))
    safe_watts = sum(rating.watts_at(limits) for rating in ratings)
    max_watts = sum(rating.nameplate_watts for rating in ratings)
    trip_s = (1.0 - WARM) * curve.trip_s(max_watts / budget)
    return Safety(
        fits=Finding(
            so=True, reason=Reason.SAFE_FITS, text=_fits(safe_watts, max_watts=max_watts, spec=spec)
        ),
        in_time=_in_time(spec, ratings, trip_s=trip_s),
        safe_watts=math.ceil(safe_watts),
        max_watts=math.ceil(max_watts),
        reaction_ms=round(times.reaction_s * 1000),
        trip_ms=round(trip_s * 1000) if math.isfinite(trip_s) else None,
        tolerates_silent_nodes=max(
            0, tolerated_silent_nodes(ratings, limits, ceiling_watts=curve.borne_load * budget)
        ),
    )


def _in_time(spec: PowerDomainSpec, ratings: tuple[NodeRating, ...], *, trip_s: float) -> Finding:
    times = timings(spec)
    try:
        assess(ratings, budget_watts=float(spec.budget_watts), curve=spec.breaker.to_curve(), timings=times)
    except UnsafeDomain as error:
        return Finding(so=False, reason=Reason.REACTION_TOO_SLOW, text=str(error))
    trips = f"would trip after {trip_s:.1f} s when warm" if math.isfinite(trip_s) else "would never trip"
    text = (
        f"with all nodes at their maximum the breaker {trips}; twice the reaction time is"
        f" {2 * times.reaction_s:.1f} s"
    )
    return Finding(so=True, reason=Reason.REACTION_IN_TIME, text=text)


def _fits(safe_watts: float, *, max_watts: float, spec: PowerDomainSpec) -> str:
    return (
        f"safe limits add up to {safe_watts:.0f} W, within budgetWatts ({spec.budget_watts});"
        f" without limits the nodes could draw {max_watts:.0f} W"
    )


def _both(finding: Finding) -> Safety:
    return Safety(fits=finding, in_time=finding)
