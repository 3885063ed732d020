"""
Replays a scenario's row without Loadline: uncapped, or with fixed clocks.

«Uncapped» in the report means this: the same requests on the same servers, with no limit
and no clock set. Fixed clocks are the simplest policy to compare with. The demos step their
plants themselves, with the same recorder.
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
    """The constants of a run of this scenario; `mode` names how the row is controlled, for the report."""
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
    """The figures from which the row was sized and stressed, in the order of the report."""
    return (
        Figure(label="servers for which the budget is sized", value=scenario.base_servers, unit=""),
        Figure(label="servers in the row", value=scenario.servers, unit=""),
        Figure(label="power budget", value=scenario.budget_watts / 1e3, unit="kW"),
        Figure(label="requests per server, as a multiple of each trace spread over 20 servers",
               value=scenario.factor, unit=""),
        Figure(label="peak draw of 40 servers in these minutes (2 s mean), of the budget",
               value=scenario.base_peak_load * 100, unit="%"),
        Figure(label="time of that peak", value=scenario.base_peak_at_s, unit="s"),
        Figure(label="peak draw of 40 servers in the traces' whole hour (2 s mean), of the budget",
               value=scenario.base_hour_peak_load * 100, unit="%"),
        Figure(label="lowest rate of long prompts that trips the uncapped row",
               value=scenario.stress_trips_at_rate, unit="per second and server"),
        Figure(label="rate of long prompts in the stress act", value=scenario.stress.rate_per_server,
               unit="per second and server"),
    )  # fmt: skip


def uncapped(scenario: Scenario, model: ServerModel, services_of_servers: Sequence[str]) -> Recording:
    """The whole window, stress included, with no limit and no clock set."""
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
    """The whole window with fixed clocks (MHz) for some services; the others have no clock limit."""
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
