"""
The capacity factor as a last resort: the largest γ that meets the objectives, for as long as they need it.

A capacity bounds the load of the fullest expert, and drops what is above it: it costs quality, and it makes
a token's answer depend on its batch. So this policy acts only where the spec allows it, an objective is
missed, experts are placed already, and the predicted gain is worth it.

Latencies are percentiles of the last minute, so a change of γ shows in them only after a cool-down, and each
change flushes the engine's prefix cache. Between two changes for the sake of the latencies there is a
cool-down, therefore. γ falls one step of the forecasts' grid at a time, and rises in one step as far as the
objectives allow. If a rise has to be taken back soon, as near saturation, where latencies depend on γ more
than forecasts predict, the next rise waits twice as long. A breach of the guard, a reading that is missing
for too long, and a spec that forbids it end the capacity at once, and γ is moved at once into bounds that are
edited. None begins before the log-probability of the canary prompts without one is known, since its drift
could not be measured then.

Which γ is needed follows from two figures: under a γ with the predicted ratio r, an objective at p of its
target is met by every ratio up to r / p. Predicted ratios are compared with each other only, so that an
error that all of them share cancels out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from loadline_policies.decisions import Decision
from loadline_policies.experts.capacity_settings import Config
from loadline_policies.experts.service_loads import (
    Capacity,
    ExpertsPolicy,
    GuardReadings,
    PlacementState,
    Pressure,
    Reason,
    ServiceLoad,
)

REGRETTED_S: Final = 600.0
"""A rise that is followed by a fall within this time was wrong. Chosen: several cool-downs."""

LONGEST_WAIT_S: Final = 3600.0
"""The longest time that a γ is kept before it rises, after rises that were wrong. Chosen."""

INFINITE: Final = float("inf")


@dataclass(frozen=True, slots=True)
class State:
    """The γ that was asked for last and since when, and what is to be remembered of those before.

    `rose` says whether the last change was a rise for the sake of the latencies, and `wait_s` for how long a
    γ is kept before it rises. Until `held_until_s` the guard, for the reason `held_for`, forbids a capacity.
    `unread_since_s` is since when a reading of the guard has been missing under a capacity.
    """

    gamma_thousandths: int | None = None
    since_s: float = -INFINITE
    rose: bool = False
    wait_s: float = 0.0
    held_until_s: float = -INFINITE
    held_for: Reason = Reason.GUARD_BREACHED
    unread_since_s: float | None = None


Decided = Decision[Capacity, State]


def decide(load: ServiceLoad, state: State, config: Config, now: float) -> Decided:  # noqa: PLR0917
    """Bound each expert by the largest capacity that meets the objectives, while they are missed without it.

    `now` is in seconds on the clock of `since_s`.
    """
    limits = _tighter(load, config)
    state = _guarded(load.guard, state, limits, now=now)
    if now < state.held_until_s:
        return _observe(state, now, state.held_for)
    pressure = load.pressure
    obstacle = _obstacle(load, state, limits)
    if obstacle is not None or pressure is None:
        return _observe(state, now, obstacle or Reason.READINGS_UNKNOWN)
    ratios = _suitable(load, state, limits)
    state = _within(state, ratios, limits, now=now)
    ratio = 1.0 if state.gamma_thousandths is None else ratios.get(state.gamma_thousandths)
    if ratio is None:
        return _observe(state, now, Reason.NO_SUITABLE_GAMMA)
    most_ratio = ratio / pressure.estimate if pressure.estimate > 0.0 else INFINITE
    wanted = _wanted(ratios, most_ratio=most_ratio)
    if pressure.missed:
        return _lowered(wanted, ratios, state, limits=limits, now=now)
    if pressure.met and pressure.estimate < 1.0 - limits.hysteresis_percent / 100:
        return _raised(wanted, state, limits, now=now)
    return _kept(state, Reason.OBJECTIVE_MET if pressure.met else Reason.READINGS_UNKNOWN)


def _tighter(load: ServiceLoad, config: Config) -> Config:
    """The settings within what the spec allows. Bounds of γ that exclude each other allow no γ."""
    allowed = load.allowance
    return config.model_copy(
        update={
            "min_gamma_percent": max(config.min_gamma_percent, allowed.min_gamma_percent),
            "max_gamma_percent": min(config.max_gamma_percent, allowed.max_gamma_percent),
            "max_dropped_percent": min(config.max_dropped_percent, allowed.max_dropped_percent),
            "max_without_expert_permille": min(
                config.max_without_expert_permille, allowed.max_without_expert_permille
            ),
            "max_canary_drift_millinats": min(
                config.max_canary_drift_millinats, allowed.max_canary_drift_millinats
            ),
        }
    )


def _guarded(guard: GuardReadings, state: State, limits: Config, *, now: float) -> State:
    """The state with what the guard's readings forbid from now on."""
    if state.gamma_thousandths is None:
        return state
    held = replace(state, held_until_s=now + limits.breach_hold_seconds, unread_since_s=None)
    if _breached(guard, limits):
        return replace(held, held_for=Reason.GUARD_BREACHED)
    if guard.complete:
        return replace(state, unread_since_s=None)
    if state.unread_since_s is None:
        return replace(state, unread_since_s=now)
    if now - state.unread_since_s >= limits.evidence_seconds:
        return replace(held, held_for=Reason.READINGS_UNKNOWN)
    return state


def _breached(guard: GuardReadings, limits: Config) -> bool:
    readings = (
        (guard.dropped_fraction, limits.max_dropped_percent / 100),
        (guard.without_expert_fraction, limits.max_without_expert_permille / 1000),
        (guard.canary_drift_nats, limits.max_canary_drift_millinats / 1000),
    )
    return any(reading is not None and not reading <= most for reading, most in readings)


def _obstacle(load: ServiceLoad, state: State, limits: Config) -> Reason | None:
    """Why no capacity may be enforced, whatever the objectives; None if nothing forbids it."""
    if not load.allowance.enforce:
        return Reason.NOT_ALLOWED
    if load.allowance.able is False:
        return Reason.CANNOT_BOUND
    if load.allowance.able is None:
        return Reason.READINGS_UNKNOWN
    if not load.age_s <= limits.stale_seconds or not _plausible(load.pressure):
        return Reason.READINGS_UNKNOWN
    if state.gamma_thousandths is None and not load.baseline_known:
        return Reason.READINGS_UNKNOWN
    if load.placement in (PlacementState.PENDING, PlacementState.UNKNOWN):
        return Reason.PLACEMENT_FIRST
    return None


def _plausible(pressure: Pressure | None) -> bool:
    return pressure is not None and 0.0 <= pressure.least <= pressure.estimate <= pressure.most


def _suitable(load: ServiceLoad, state: State, limits: Config) -> dict[int, float]:
    """Predicted step times by γ, of those within all bounds that save enough and drop little enough.

    What the γ in force drops is the guard's to judge, by what is counted.
    """
    ratios = {}
    for one in load.forecasts:
        in_force = one.gamma_thousandths == state.gamma_thousandths
        least_gain = limits.min_gain_percent / (200 if in_force else 100)
        within = limits.min_gamma_percent * 10 <= one.gamma_thousandths <= limits.max_gamma_percent * 10
        if not within or one.step_ratio is None or not one.step_ratio <= 1.0 - least_gain:
            continue
        if in_force or one.dropped_fraction <= limits.max_dropped_percent / 100:
            ratios[one.gamma_thousandths] = one.step_ratio
    return ratios


def _within(state: State, ratios: Mapping[int, float], limits: Config, *, now: float) -> State:
    """The γ in force, moved at once to the nearest suitable one if the bounds have been set past it."""
    gamma = state.gamma_thousandths
    if gamma is None or not ratios:
        return state
    if gamma > limits.max_gamma_percent * 10:
        return replace(state, gamma_thousandths=max(ratios), since_s=now, rose=False)
    if gamma < limits.min_gamma_percent * 10:
        return replace(state, gamma_thousandths=min(ratios), since_s=now, rose=False)
    return state


def _wanted(ratios: Mapping[int, float], *, most_ratio: float) -> int | None:
    """The largest γ with at most that step time, else that with the least; None for no capacity."""
    if most_ratio >= 1.0 or not ratios:
        return None
    meeting = [gamma for gamma, ratio in ratios.items() if ratio <= most_ratio]
    return max(meeting) if meeting else min(ratios, key=lambda gamma: (ratios[gamma], -gamma))


def _lowered(
    wanted: int | None, ratios: Mapping[int, float], state: State, *, limits: Config, now: float
) -> Decided:
    """One step down towards the γ that is wanted, once the one in force has had its cool-down."""
    if wanted is None:
        return _observe(state, now, Reason.NO_SUITABLE_GAMMA)
    steps = [gamma for gamma in ratios if wanted <= gamma < (state.gamma_thousandths or INFINITE)]
    if not steps or now - state.since_s < limits.cooldown_seconds:
        return _kept(state, Reason.COOLING_DOWN)
    wait_s = 0.0
    if state.rose and now - state.since_s < max(REGRETTED_S, state.wait_s):
        wait_s = min(LONGEST_WAIT_S, 2 * max(state.wait_s, float(limits.cooldown_seconds)))
    return _bounded(replace(state, gamma_thousandths=max(steps), since_s=now, rose=False, wait_s=wait_s))


def _raised(wanted: int | None, state: State, limits: Config, *, now: float) -> Decided:
    """To the γ that is wanted if that is a larger one, or to none, once the one in force may rise."""
    gamma = state.gamma_thousandths
    if gamma is None:
        return _kept(state, Reason.OBJECTIVE_MET)
    waits = now - state.since_s < max(float(limits.cooldown_seconds), state.wait_s)
    if waits or (wanted is not None and wanted <= gamma):
        return _kept(state, Reason.OBJECTIVE_MET)
    risen = replace(state, gamma_thousandths=wanted, since_s=now, rose=True)
    return _bounded(risen) if wanted is not None else _none(risen, Reason.OBJECTIVE_MET)


def _kept(state: State, reason: Reason) -> Decided:
    """What is in force stays; `reason` is why nothing is put in force where nothing is."""
    return _none(state, reason) if state.gamma_thousandths is None else _bounded(state)


def _observe(state: State, now: float, reason: Reason) -> Decided:
    """No capacity, from now on if there was one."""
    if state.gamma_thousandths is not None:
        state = replace(state, gamma_thousandths=None, since_s=now, rose=False)
    return _none(state, reason)


def _none(state: State, reason: Reason) -> Decided:
    return Decision(Capacity(reason=reason), replace(state, unread_since_s=None))


def _bounded(state: State) -> Decided:
    capacity = Capacity(gamma_thousandths=state.gamma_thousandths, reason=Reason.OBJECTIVE_MISSED)
    return Decision(capacity, state)


CAPACITY_FACTOR = ExpertsPolicy(name="capacity-factor", config=Config, start=State(), decide=decide)
