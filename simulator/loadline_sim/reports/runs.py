"""
What a report is told beside a recording: the row it is about, and how the run was made.

A recording is the plant's truth and nothing else. The reactions come from the meter
that watched it, a few figures from outside of it (processors, minutes), and the rest of
what an honest report must say is collected here: the commit, the machine, the versions,
how far the models are off the measurements, and what of it all isn't real.
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
    "The GPUs, the servers and the breaker are simulated, from published measurements of BLOOM-176B "
    "on servers of eight A100."
)
_UNREAL = {
    VIRTUAL: (
        _UNREAL_GPUS,
        "Time is virtual: policy, coordinator and the nodes' acceptance of leases are the product's own; "
        "network, API server and agent processes are modelled.",
        "The requests are those of the Azure 2023 traces, copied and thinned to the row's size.",
    ),
    LIVE: (
        _UNREAL_GPUS,
        "API server, scheduler, operator, agents and their guards are real processes on one machine; agents "
        "read and set the GPUs through an unmodified pynvml, on a fake driver.",
        "The requests are those of the Azure 2023 traces, copied and thinned to the row; no model runs.",
    ),
}


@dataclass(frozen=True, slots=True)
class Fact:
    """A name and what is to be said of it."""

    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFacts:
    """The row that was recorded.

    `max_load` is the sum of all maxima ÷ budget, sensor gain included; `asked_s` is the warm
    trip time that S2 asks for at that load.
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
    """The run beside its recording.

    `kind` is `virtual` or `live`. `reactions` are those of the enforced row. `measured` are the
    checks' figures that no recording holds (`cores_busy`, `minutes`, …); `arithmetic` says
    how the row was scaled and stressed, `made` how to make the report again, `unreal` what
    of it isn't real, the most important sentence first. `load` is the machine's load average over the
    last minute of the run, `cores` how many it has.
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
    """All that is to be told of a recording made just now, here."""
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
    """The row of a run, with what S2 makes of it."""
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
    """How far the models are off the measurements they are fitted to."""
    errors = fits.errors(parameters.load(), fits.runs())
    parts = (f"{one.quantity} {formats.percent(one.mape)}" for one in errors)
    return Fact("Fit error (mean)", "; ".join(parts))


def provenance() -> tuple[Fact, ...]:
    """Commit, machine and versions."""
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
    """The commit of the checkout that this module lies in, or that there is none."""
    here = Path(__file__).parent
    try:
        named = subprocess.run(
            ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=10"],
            capture_output=True, text=True, check=True, timeout=10,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return "installed from a wheel"
    return f"commit {named.stdout.strip()}"
