"""
What a node and its coordinator say to each other: a report up, a lease down.

One exchange carries everything: heartbeat, telemetry and acknowledgement in the
report; renewal, limits and safe limits in the lease. No absolute time is on the
wire, since two nodes share no clock: ages and durations only, and the node counts
a lease's time from when it *sent* the request that the lease answers.

These are plain frozen values. The wire's encoding is in `loadline_api.reports`.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from pydantic import ConfigDict, with_config

from loadline_policies.power.safety.safe_states import SENSOR_GAIN

STRICT = ConfigDict(extra="ignore", allow_inf_nan=False)
"""How the wire reads these values: no NaN, no infinity; keys of a later version are passed over.

So a new key's default is what may be counted on where a peer says nothing of it."""


UNIDENTIFIED: Final = "unidentified-"
"""How the name of a GPU begins that is counted and can't be told from others: it has no UUID of its own."""


class Act(StrEnum):
    """What a lease asks of its node."""

    OBSERVE = "Observe"
    ENFORCE = "Enforce"
    RELEASE = "Release"


@with_config(STRICT)
@dataclass(frozen=True, slots=True, order=True)
class Epoch:
    """Who leads a domain, and since which election: the Kubernetes Lease's uid and its transitions."""

    transitions: int
    lease_uid: str


@with_config(STRICT)
@dataclass(frozen=True, slots=True, kw_only=True)
class GpuReport:
    """One GPU as its node sees it.

    `watts` is the sensor's instant value, `enforced_watts` the highest of the limits in force and
    requested, as read back, and the one last set (a raise may still be on its way), `safe_watts` the safe
    limit that the node's guard holds (None when disarmed), `clock_mhz` the clock that it
    was last locked to (None when unlocked), `owners` the `namespace/name` of the services
    whose pods are on it. `able` is False while writes of its limit fail: it holds what it holds.
    `proven` is False until a write that changed the limit was read back. An agent that tells neither
    is one that is counted on for neither. `found_watts` is the limit before our first write, as its owner
    had it, `default_watts` the one with which the driver begins; None where they aren't known.
    `in_force_watts` is the limit in force as read back where `enforced_watts` is more than that.
    """

    uuid: str
    watts: float
    enforced_watts: float
    min_watts: float
    max_watts: float
    safe_watts: float | None = None
    clock_mhz: int | None = None
    owners: tuple[str, ...] = ()
    able: bool = False
    proven: bool = False
    found_watts: float | None = None
    default_watts: float | None = None
    in_force_watts: float | None = None

    @property
    def stepped_down_watts(self) -> float:
        """What it holds at most once its node steps down, and now if that is less."""
        return self.enforced_watts if self.safe_watts is None else min(self.enforced_watts, self.safe_watts)


@with_config(STRICT)
@dataclass(frozen=True, slots=True)
class ServiceReport:
    """How a service does on one node.

    `service` is its `namespace/name`. `missed` is the worst of its latencies, each at its
    percentile, divided by its objective: 1.2 is a fifth too slow, 1 and less is met. It has no
    unit, and is None where nobody knows: no objective, no traffic, no answer from the engine.
    """

    service: str
    missed: float | None


@with_config(STRICT)
@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A node's heartbeat, telemetry and acknowledgement in one.

    `sequence` grows with every report, also over a restart of the agent. `age_s` is the
    age of the oldest sample at the time of sending. `host_watts` is
    the host model's draw now, `host_max_watts` its most. `epoch` and `lease_sequence`
    are those of the lease in force, None and 0 without one. `heat` is the domain's
    breaker heat that the node last heard, `heat_age_s` how long ago it asked, and `policy_level` the
    policy's level that it heard with it. `settable`
    says whether the node may set limits at all, `faults` what else keeps it from enforcing,
    as CamelCase reasons. `armed_for` is the domain that has armed the node where that isn't `domain` and is
    gone: then this one may take it over. `services` tells how those whose pods are on the node do against
    their objectives; an agent that doesn't tell leaves it empty.
    """

    node: str
    domain: str
    sequence: int
    age_s: float
    host_watts: float
    host_max_watts: float
    gpus: tuple[GpuReport, ...]
    epoch: Epoch | None = None
    lease_sequence: int = 0
    armed: bool = False
    armed_for: str | None = None
    plan_version: int = 0
    heat: float | None = None
    heat_age_s: float | None = None
    policy_level: str | None = None
    settable: bool = True
    faults: tuple[str, ...] = ()
    services: tuple[ServiceReport, ...] = ()

    @property
    def orphaned(self) -> bool:
        """Whether the node is armed for a domain that is gone, and not for the one that it reports to."""
        return self.armed and self.armed_for is not None

    @property
    def watts(self) -> float:
        """Host and GPUs as the sensors show them."""
        return self.host_watts + sum(gpu.watts for gpu in self.gpus)

    @property
    def nameplate_watts(self) -> float:
        """The most that the node can draw: host maximum, GPU maxima with sensor gain."""
        return self.host_max_watts + SENSOR_GAIN * sum(gpu.max_watts for gpu in self.gpus)

    @property
    def enforced_watts(self) -> float:
        """The most that the node can draw under the limits read back."""
        return self.host_max_watts + SENSOR_GAIN * sum(gpu.enforced_watts for gpu in self.gpus)


@with_config(STRICT)
@dataclass(frozen=True, slots=True, kw_only=True)
class GpuLimit:
    """What one GPU may draw until the lease ends, and where it falls after that.

    `clock_mhz` locks the SM clock's upper end and only shapes performance; None means unlocked.
    """

    uuid: str
    watts: float
    safe_watts: float
    clock_mhz: int | None = None


@with_config(STRICT)
@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A coordinator's answer to one report.

    `answers` is the sequence of the report answered, so that no answer can be replayed.
    `trigger_watts` is the draw past which, or as far below its report, the node reports
    out of turn. `level` is for people: the policy's level, or why the row is held. `policy_level` is the
    policy's alone, for the coordinator after this one; None where this one doesn't know it.
    """

    domain: str
    epoch: Epoch
    sequence: int
    answers: int
    lease_s: float
    act: Act
    limits: tuple[GpuLimit, ...]
    plan_version: int
    trigger_watts: float
    heat: float
    level: str
    policy_hash: str
    policy_level: str | None = None
