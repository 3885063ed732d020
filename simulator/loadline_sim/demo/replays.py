"""
A scenario's row replayed without anybody in control.

«Uncapped» in the report means this: the same requests on the same servers, with nobody
setting a limit or a clock; and a fixed clock is the simplest thing to compare with.
Runs under control are stepped by whoever controls them, with the same recorder.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from loadline_policies.models.parameters import ServerModel
from loadline_policies.power.rows import Priority
from loadline_sim.demo import scenarios
from loadline_sim.demo.scenarios import Scenario
from loadline_sim.plant.hardware import TICK_S
from loadline_sim.plant.plants import Plant
from loadline_sim.plant.recordings import Figure, Recorder, Recording, RunMeta

PRIORITIES = {"chat": Priority.HIGH, "code": Priority.LOW}
"""The demo's services."""


def meta_of(scenario: Scenario, model: ServerModel, *, mode: str) -> RunMeta:
    """The constants of a run of this scenario; `mode` says how it is controlled."""
    return RunMeta(
        name=scenario.name,
        mode=mode,
        servers=scenario.servers,
        base_servers=scenario.base_servers,
        gpus_per_server=model.gpus,
        budget_watts=scenario.budget_watts,
        curve_points=scenarios.CURVE.points,
        cooling_s=scenarios.CURVE.cooling_s,
        seed=scenario.seed,
        arithmetic=arithmetic_of(scenario),
    )


def arithmetic_of(scenario: Scenario) -> tuple[Figure, ...]:
    """How the row's figures came about, in the order in which a reader wants them."""
    return (
        Figure(label="servers that the budget is provisioned for", value=scenario.base_servers, unit=""),
        Figure(label="servers in the row", value=scenario.servers, unit=""),
        Figure(label="budget", value=scenario.budget_watts / 1e3, unit="kW"),
        Figure(label="requests per server ÷ those of the traces on 20 servers each",
               value=scenario.factor, unit=""),
        Figure(label="highest two-second mean of 40 servers", value=scenario.base_peak_load * 100, unit="%"),
        Figure(label="which falls at", value=scenario.base_peak_at_s, unit="s"),
        Figure(label="the same in the whole hour", value=scenario.base_hour_peak_load * 100, unit="%"),
        Figure(label="long prompts with which the uncapped row just trips",
               value=scenario.stress_trips_at_rate, unit="per second and server"),
        Figure(label="long prompts in the stress, by the margin", value=scenario.stress.rate_per_server,
               unit="per second and server"),
    )  # fmt: skip


def uncapped(scenario: Scenario, model: ServerModel, services_of_servers: Sequence[str]) -> Recording:
    """The whole window, stress included, with nobody in control."""
    return under_clocks(
        scenario, model, services_of_servers=services_of_servers, locked_mhz={}, mode="Uncapped"
    )


def under_clocks(
    scenario: Scenario,
    model: ServerModel,
    *,
    services_of_servers: Sequence[str],
    locked_mhz: Mapping[str, int],
    mode: str,
) -> Recording:
    """The whole window with fixed clocks for some services; the others are free."""
    requests = scenarios.arrivals_of(scenario, services_of_servers, model=model, stress=scenario.stress)
    plant = scenarios.plant_of(scenario, requests, model, servers=len(services_of_servers))
    _lock(plant, services_of_servers, locked_mhz)
    recorder = Recorder(
        plant,
        meta_of(scenario, model, mode=mode),
        services_of_servers=services_of_servers,
        priorities=PRIORITIES,
    )
    for _ in range(round(scenario.window_s / TICK_S)):
        plant.step()
        recorder.tick()
    return recorder.finish()


def _lock(plant: Plant, services_of_servers: Sequence[str], locked_mhz: Mapping[str, int]) -> None:
    model = plant.config.model
    clocks = np.array([locked_mhz.get(name, int(model.watts.full_mhz)) for name in services_of_servers])
    shape = (len(services_of_servers), model.gpus)
    plant.set_limits(np.full(shape, model.watts.tdp_watts), np.tile(clocks[:, np.newaxis], model.gpus))
