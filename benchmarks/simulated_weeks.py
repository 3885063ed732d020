"""
Weeks of a row under a policy: how long they take, and how far ticks of a second are off those of 25 ms.

A part of `benchmarks.simulator`; the hours are drawn by seed, half of them with a policy that holds caps.
"""

import time
from typing import Any, Final

import numpy as np

from loadline_policies.documents import parse_power
from loadline_policies.models import parameters
from loadline_sim.arrays import Floats
from loadline_sim.plant import hardware
from loadline_sim.plant.tables import queue_of
from loadline_sim.traffic import profiles
from loadline_sim.weeks import cases, replays, runs, studies
from loadline_sim.weeks.demands import Demand
from loadline_sim.weeks.loads import LoadCount
from loadline_sim.weeks.rows import SECOND_S, RowConfig, SteppedRow
from loadline_sim.weeks.runs import Window

DAYS: Final = 42
SERVERS: Final = 52
HOURS: Final = 20
HOUR_S: Final = 3600
THRESHOLDS: Final = (0.8, 0.89, 1.0)
LOADS: Final = (0.3, 1.2)
"""Of the recorded rates, between which an hour's rate is drawn."""


def six_weeks() -> dict[str, Any]:
    """Six weeks of 52 servers under polca, by the second, and then with every window replayed."""
    settings = studies.Settings(documents=studies.built_in(), servers=(SERVERS,), days=DAYS, replay_share=0.0)
    cases.run(studies.Settings(documents=studies.built_in(), days=1).case("polca", SERVERS))  # compiles
    began_s = time.perf_counter()
    found = cases.run(settings.case("polca", SERVERS))
    return {
        "six_weeks_s": time.perf_counter() - began_s,
        "requests": found.requests,
        "decisions": sum(found.levels.values()),
        "capped_s": found.capped_s,
        "windows": found.windows,
        "max_load": found.load.max_load,
        "brakes": found.load.brakes,
    }


def replayed_week() -> dict[str, Any]:
    """The first of these weeks, with every window with caps replayed in ticks of 25 ms."""
    settings = studies.Settings(documents=studies.built_in(), servers=(SERVERS,), days=7, replay_share=0.0)
    began_s = time.perf_counter()
    cases.run(settings.case("polca", SERVERS))
    alone_s = time.perf_counter() - began_s
    settings = studies.Settings(documents=studies.built_in(), servers=(SERVERS,), days=7, replay_share=1.0)
    began_s = time.perf_counter()
    found = cases.run(settings.case("polca", SERVERS)).replayed
    return {
        "replayed_windows_s": time.perf_counter() - began_s - alone_s,
        "windows": found.windows,
        "seconds": found.seconds,
        "agreed": found.agreed,
        "energy_error": found.energy_error,
        "worst_second": found.worst_second,
    }


def hour_errors() -> list[dict[str, float]]:
    """Of each hour, how far the second is off the tick: energy, p99 of two seconds, time above thresholds."""
    dice = np.random.default_rng(1)
    return [
        _hour(seed, factor=float(dice.uniform(*LOADS)), policy=("polca", studies.NO_CAP)[seed % 2])
        for seed in range(HOURS)
    ]


def _hour(seed: int, *, factor: float, policy: str) -> dict[str, float]:
    model, services = parameters.load(), cases.services_of(SERVERS)
    config = RowConfig(
        is_low=np.array([name == "code" for name in services]),
        budget_watts=studies.BASE_SERVERS * studies.SERVER_WATTS,
        model=model,
        curve=cases.CURVE,
    )
    steady = profiles.constant(np.full(48, HOUR_S), float(HOUR_S))
    ((_, arrivals),) = Demand(factor=factor, duration_s=HOUR_S, seed=seed, profile=steady).spans(
        services, model
    )
    queue, _ = queue_of(arrivals, SERVERS, model=model)
    document = parse_power(studies.document(policy))
    idle = hardware.servers_of(SERVERS, queue.starts, model=model)
    row = SteppedRow(config, queue, idle, tick_s=SECOND_S)
    second = runs.run_span(row, runs.new_orders(document), seconds=HOUR_S, origin_s=0.0).loads
    idle = hardware.servers_of(SERVERS, queue.starts, model=model)
    whole = Window(0, HOUR_S, queue, idle, runs.new_orders(document), 0.0)
    return _errors(second, replays.replay(config, whole).loads)


def _errors(second: Floats, tick: Floats) -> dict[str, float]:
    one, other = LoadCount(cases.CURVE, SECOND_S), LoadCount(cases.CURVE, hardware.TICK_S)
    one.count(second)
    other.count(tick)
    above = [abs(one.seconds_above(load) - other.seconds_above(load)) / HOUR_S for load in THRESHOLDS]
    return {
        "mean_load": other.load_seconds / other.seconds,
        "energy": abs(one.load_seconds / other.load_seconds - 1.0),
        "p99": abs(one.p(99) / other.p(99) - 1.0),
        "seconds_above": max(above),
    }
