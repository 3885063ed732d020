"""
What the API shows of a service's experts on one node, and what Prometheus gets.

Figures move with every batch. So the part of a NodeCapacity holds for a minute, unless what a person acts on
has changed: which engines there are, whether they are bounded, by which γ, and why, and whether there is a
table at all.
"""

from collections.abc import Callable, Iterator
from typing import Final

from loadline_agent import gauges
from loadline_agent.experts.expert_loops import ExpertLoop, ExpertsEngine
from loadline_agent.experts.outlooks import loads
from loadline_agent.gauges import Reading
from loadline_api.expert_counts import BoundCounts
from loadline_api.experts import ExpertsStatus
from loadline_policies.experts.service_loads import GRAVEST_FIRST, Reason
from loadline_policies.experts.shadow_tables import summed

HOLD_S: Final = 60.0
"""How long figures hold. Chosen: each change is a write to the API server."""

REPORTED_WITHIN_S: Final = 12.0
"""Engines that have not reported for longer hold no settings: as long as the lease of a worker."""


class ServiceStatuses:
    """The experts of the services on one node, by `namespace/name`."""

    def __init__(self, loop: ExpertLoop, clock: Callable[[], float]) -> None:
        self._loop, self._clock = loop, clock
        self._held: dict[str, tuple[ExpertsStatus, float]] = {}

    def of(self, service: str) -> ExpertsStatus | None:
        """What to show of a service now; None if no engine of it reports counts."""
        engines = self._by_service().get(service)
        if engines is None:
            self._held.pop(service, None)
            return None
        now, found = self._clock(), status_of(engines)
        held = self._held.get(service)
        if held is None or _acted_on(held[0]) != _acted_on(found) or now - held[1] >= HOLD_S:
            held = self._held[service] = found, now
        return held[0]

    def readings(self) -> Iterator[Reading]:
        """The gauges of the services' experts."""
        for service, engines in sorted(self._by_service().items()):
            for reason in Reason:
                count = sum(one.capacity.reason is reason for one in engines)
                yield gauges.EXPERTS_REASON_ENGINES.reading(count, service, reason.value)
            bounded = [one for one in engines if one.bounded]
            gamma, dropped, drift = _gamma(bounded), _dropped(bounded), _drift(bounded)
            if gamma is not None:
                yield gauges.EXPERTS_GAMMA_RATIO.reading(gamma / 1000, service)
            if dropped is not None:
                yield gauges.EXPERTS_DROPPED_RATIO.reading(dropped, service)
            if drift is not None:
                yield gauges.EXPERTS_CANARY_DRIFT_NATS.reading(drift, service)

    def _by_service(self) -> dict[str, list[ExpertsEngine]]:
        found: dict[str, list[ExpertsEngine]] = {}
        for one in self._loop.engines(within_s=REPORTED_WITHIN_S):
            if one.window.last is not None:
                found.setdefault(one.service, []).append(one)
        return found


def status_of(engines: list[ExpertsEngine]) -> ExpertsStatus:
    """The engines of one service as the API shows them, in whole percent and thousandths."""
    last = [one.window.last for one in engines if one.window.last is not None]
    bounded = [one for one in engines if one.bounded]
    gamma, dropped, drift = _gamma(bounded), _dropped(bounded), _drift(bounded)
    without = max(
        (share for one in bounded if (share := _since(one).without_expert_fraction) is not None), default=None
    )
    windows = [counts for one in engines if (counts := one.window.counts) is not None]
    reasons = {one.capacity.reason for one in engines}
    return loads(summed(windows)).model_copy(
        update={
            "engines": len(engines),
            "bounded_engines": len(bounded),
            "gamma_percent": round(gamma / 10) if gamma is not None else None,
            "layers": max((len(one.layers) + one.layers_left_out for one in last), default=0),
            "left_alone_layers": max((sum(one.bypassed.values()) for one in last), default=0),
            "batches": sum(one.window.batches for one in engines),
            "dropped_permille": round(1000 * dropped) if dropped is not None else None,
            "without_expert_permille": round(1000 * without) if without is not None else None,
            "canary_drift_millinats": max(0, round(1000 * drift)) if drift is not None else None,
            "reason": next((one.value for one in GRAVEST_FIRST if one in reasons), None),
        }
    )


def _acted_on(status: ExpertsStatus) -> tuple[object, ...]:
    there = bool(status.gammas)
    return status.engines, status.bounded_engines, status.gamma_percent, status.reason, there


def _gamma(bounded: list[ExpertsEngine]) -> int | None:
    gammas = [one.window.last.gamma_thousandths for one in bounded if one.window.last is not None]
    return min((one for one in gammas if one is not None), default=None)


def _dropped(bounded: list[ExpertsEngine]) -> float | None:
    shares = [_since(one).dropped_fraction for one in bounded]
    return max((one for one in shares if one is not None), default=None)


def _since(engine: ExpertsEngine) -> BoundCounts:
    """What the bound has done since its settings are in force."""
    return engine.window.last.bound if engine.window.last is not None else BoundCounts()


def _drift(bounded: list[ExpertsEngine]) -> float | None:
    return max((one.drift_nats for one in bounded if one.drift_nats is not None), default=None)
