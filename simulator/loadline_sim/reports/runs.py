"""
What a report needs besides a recording: facts about the row, and how the run was made.

A recording holds only the plant's true state. The reactions come from the reaction meter, a few
figures from outside of the row (processors, minutes). This module collects the rest that a
reader needs to judge the report: the commit, the machine, the versions, the errors of the
models against the measurements, and which parts of the run are simulated.
"""

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from loadline_policies.models import parameters
from loadline_policies.power.safety.breakers import Curve
from loadline_policies.power.safety.safe_states import SENSOR_GAIN, Timings
from loadline_sim import fits
from loadline_sim.plant.reactions import Reaction
from loadline_sim.plant.recordings import Recording, RunMeta
from loadline_sim.reports import formats

VIRTUAL, LIVE = "virtual", "live"

_UNREAL_GPUS = (
    "The GPUs, the servers and the breaker are simulated. The model is fitted to published measurements of "
    "BLOOM-176B on servers with eight A100."
)
_UNREAL = {
    VIRTUAL: (
        _UNREAL_GPUS,
        "Time is virtual. The policy, the coordinator and the nodes' acceptance of leases run the product's "
        "own code; the network, the API server and the agent processes are models.",
        "The requests are those of the Azure 2023 LLM inference traces, scaled to the row's size by copying "
        "and dropping requests.",
    ),
    LIVE: (
        _UNREAL_GPUS,
        "The API server, the scheduler, the operator, the agents and their guards are real processes on one "
        "machine. The agents read and set the GPUs through an unmodified pynvml, on a fake NVIDIA driver.",
        "The requests are those of the Azure 2023 LLM inference traces, scaled to the row's size by copying "
        "and dropping requests; no model runs.",
    ),
}


@dataclass(frozen=True, slots=True)
class Fact:
    """A label and its text in the report."""

    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFacts:
    """The recorded row.

    `max_load` is the sum of all servers' maximum draw ÷ budget, sensor error included; `asked_s` is
    how long promise S2 requires a warm breaker to carry that load.
    """

    name: str
    servers: int
    provisioned_servers: int
    budget_watts: float
    curve: Curve
    max_load: float
    asked_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The facts about a run that its recording doesn't hold.

    `kind` is `virtual` or `live`. `reactions` are those of the enforced row. `measured` are
    values of checks (`cores_busy`, `minutes`, …). `arithmetic` says how the row was sized and
    stressed, `made` how to reproduce the report, `unreal` which parts are simulated, the most
    important sentence first. `load` is the machine's load average over the last minute of the
    run, `cores` its number of cores.
    """

    kind: str
    seed: int
    row: RowFacts
    reactions: tuple[Reaction, ...]
    measured: Mapping[str, float]
    arithmetic: tuple[Fact, ...] = ()
    made: tuple[Fact, ...] = ()
    unreal: tuple[str, ...] = ()
    load: float = 0.0
    cores: int = 1


def run_of(
    recording: Recording, *, kind: str, reactions: Sequence[Reaction], measured: Mapping[str, float]
) -> Run:
    """The facts about a recording that this process has just made on this machine."""
    meta = recording.meta
    return Run(
        kind=kind,
        seed=meta.seed,
        row=row_facts(meta),
        reactions=tuple(reactions),
        measured=dict(measured),
        arithmetic=tuple(
            Fact(one.label, f"{formats.number(one.value)} {one.unit}") for one in meta.arithmetic
        ),
        made=(*provenance(), Fact("Seed", str(meta.seed)), fit_error()),
        unreal=_UNREAL[kind],
        load=os.getloadavg()[0],
        cores=os.cpu_count() or 1,
    )


def row_facts(meta: RunMeta) -> RowFacts:
    """The row of a run, with its maximum load and the time for which S2 requires the breaker to carry it."""
    model = parameters.load()
    server_watts = model.host_watts + SENSOR_GAIN * model.gpus * model.watts.tdp_watts
    return RowFacts(
        name=meta.name,
        servers=meta.servers,
        provisioned_servers=meta.base_servers,
        budget_watts=meta.budget_watts,
        curve=meta.curve,
        max_load=meta.servers * server_watts / meta.budget_watts,
        asked_s=2 * Timings().reaction_s,
    )


def fit_error() -> Fact:
    """The mean errors of the models against the measurements to which they are fitted."""
    errors = fits.errors(parameters.load(), fits.runs())
    parts = (f"{one.quantity} {formats.percent(one.mape)}" for one in errors)
    return Fact("Model error against the measurements (mean)", "; ".join(parts))


def provenance() -> tuple[Fact, ...]:
    """The commit, the machine and the versions of the packages that compute."""
    packages = ("numpy", "numba")
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in packages)
    return (
        Fact("Loadline", f"{metadata.version('loadline')}, {commit()}"),
        Fact(
            "Machine", f"{platform.system()} {platform.machine()}, {len(os.sched_getaffinity(0))} processors"
        ),
        Fact("Versions", f"Python {platform.python_version()}, {versions}"),
    )


def commit() -> str:
    """The commit of the checkout that contains this module, or that it is installed from a wheel."""
    here = Path(__file__).parent
    try:
        named = subprocess.run(
            ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=10"],
            capture_output=True, text=True, check=True, timeout=10,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return "installed from a wheel"
    return f"commit {named.stdout.strip()}"
