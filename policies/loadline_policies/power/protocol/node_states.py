"""
What a node's half of the protocol is told: where the node belongs, and one look at its GPUs.

A look is frozen. Whoever touches the GPUs publishes a new one and changes none, so that
reports, gauges and conditions are all made of the same moment, in whatever thread.
"""

from dataclasses import dataclass, field
from typing import NamedTuple


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """Where a node belongs. `domain` is None where no domain selects it, `conflict` names several that do.

    Host watts are those of the domain's host model for one server without its GPUs. `enforced` says that
    the domain is to be enforced. `gone` is the domain that the node is armed for, once the API server has
    said twice that there is none of that name.
    """

    domain: str | None = None
    conflict: str | None = None
    host_idle_watts: float = 0.0
    host_max_watts: float = 0.0
    enforced: bool = False
    gone: str | None = None


UNREADABLE_AFTER_S = 2.0
"""How old a limit that was read back may be: two looks at an armed node. Chosen with the rule in 0002."""


class GpuFault(NamedTuple):
    """What is wrong with a GPU: a word of the API's table of reasons, and a sentence for people."""

    word: str
    sentence: str


class GpuState(NamedTuple):
    """One GPU at one look; a tuple, since eight are made at every look of every node.

    `sensor_watts` counts only if `ok`; `fault` says what was wrong, fixed or not, and `age_s` how
    long before the look the watts were true. Without `has_range` nothing can be set, and `min_watts` and
    `max_watts` are both the most that it may draw. `enforced_watts` and `requested_watts` are the limits
    last read back, None where they never were, or not within `UNREADABLE_AFTER_S` of the last look:
    then anything may hold. `safe_watts` is the safe limit in the armed record, `clock_mhz` our own
    lock. `able` says that nothing speaks against its being lowered: no write has failed, or enough
    have succeeded since (`write_proofs`), it can be read, and nobody else writes (`foreign_writes`).
    `proven` says that something speaks for it: a write that changed the limit was read back.
    `found_watts` is the limit that holds without us: before our first write, or now where there was
    none; `default_watts` is the driver's.
    """

    uuid: str
    sensor_watts: float
    min_watts: float
    max_watts: float
    ok: bool = True
    fault: GpuFault | None = None
    age_s: float = 0.0
    enforced_watts: float | None = None
    requested_watts: float | None = None
    safe_watts: float | None = None
    clock_mhz: int | None = None
    able: bool = True
    proven: bool = True
    found_watts: float | None = None
    default_watts: float | None = None
    has_range: bool = True

    @property
    def watts(self) -> float:
        """The draw: the sensor if it is believed, else the limit in force, which it can't exceed by much."""
        return self.sensor_watts if self.ok else self.most_watts

    @property
    def most_watts(self) -> float:
        """The limit in force as read back; the hardware maximum where it never was."""
        return self.max_watts if self.enforced_watts is None else self.enforced_watts


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    """One look at a node.

    `sampled_s` is when the sensors were asked, `read_s` when the limits were; both on the boot
    clock, `-inf` for never. `armed`, `deadline_s`, `plan_version` and `domain` (empty where it
    doesn't say) are the record's, `settled` says that every limit ordered last is in force.
    `faults` are reasons, each with its sentence, why the node shouldn't be armed.
    """

    gpus: tuple[GpuState, ...] = ()
    sampled_s: float = float("-inf")
    read_s: float = float("-inf")
    armed: bool = False
    deadline_s: float = 0.0
    plan_version: int = 0
    domain: str = ""
    settled: bool = True
    settable: bool = True
    faults: dict[str, str] = field(default_factory=dict)

    @property
    def sampled(self) -> bool:
        """Whether there is anything to report."""
        return self.sampled_s > float("-inf")

    @property
    def gpu_watts(self) -> float:
        """The draw of all GPUs."""
        return sum([gpu.watts for gpu in self.gpus])

    def host_watts(self, home: Home, *, gpu_watts: float) -> float:
        """The host model's draw: from idle to maximum, as far as the GPUs are busy."""
        idle, most = home.host_idle_watts, home.host_max_watts
        full = sum([gpu.max_watts for gpu in self.gpus])
        busy = min(1.0, gpu_watts / full) if full > 0.0 else 1.0
        return round(idle + (most - idle) * busy, 1)

    def watts(self, home: Home) -> float:
        """Host and GPUs."""
        gpu_watts = self.gpu_watts
        return gpu_watts + self.host_watts(home, gpu_watts=gpu_watts)

    def age_s(self, now: float) -> float:
        """The age of the oldest watts that are believed."""
        return max(0.0, now - self.sampled_s) + max((gpu.age_s for gpu in self.gpus if gpu.ok), default=0.0)
