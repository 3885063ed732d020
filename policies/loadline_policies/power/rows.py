"""
The row that a power policy looks at, and the caps that it may wish for.

A policy sees one number, the row's draw as a fraction of its budget, and answers
with one cap per priority class. It doesn't know nodes, leases or breakers: the
coordinator turns its wish into leases, and overrules it where S1 or S2 ask for
more. That keeps a policy small enough to be read, replayed and compared.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from loadline_policies.decisions import Decision


class Priority(StrEnum):
    """The two classes that POLCA tells apart."""

    LOW = "low"
    HIGH = "high"


@dataclass(frozen=True, slots=True)
class Row:
    """What the coordinator knows of its row now.

    `load` is the draw as a fraction of the budget: sensors, the host model, and for
    silent nodes their last enforced limits. `age_s` is the age of the oldest sample.
    """

    load: float
    age_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Cap:
    """A cap on the GPUs of one priority class; None leaves that lever alone."""

    clock_mhz: int | None = None
    watts: float | None = None


FREE = Cap()


def deeper(one: Cap, other: Cap) -> Cap:
    """The lower of both caps, lever by lever."""
    clocks = [cap.clock_mhz for cap in (one, other) if cap.clock_mhz is not None]
    watts = [cap.watts for cap in (one, other) if cap.watts is not None]
    return Cap(min(clocks, default=None), min(watts, default=None))


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """What a policy wants of the row.

    `brake` asks for safe limits everywhere, on top of the clocks. `level` names the
    policy's state in status, metrics and reports. `next_load` is the load at which the
    policy would want to decide again, from which the nodes' triggers are made. `relief_load`
    is the load up to which single GPUs may be let go for a service that misses its objective;
    a policy that doesn't say lets nobody go.
    """

    low: Cap = FREE
    high: Cap = FREE
    brake: bool = False
    level: str = "Normal"
    next_load: float = 1.0
    relief_load: float = 0.0

    def of(self, priority: Priority) -> Cap:
        """The cap of one class."""
        return self.high if priority is Priority.HIGH else self.low


C = TypeVar("C")
S = TypeVar("S")


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerPolicy(Generic[C, S]):
    """A name, the settings it reads, the state it starts in, and how it decides.

    `levels` are the `Caps.level` in which another coordinator may find the row, the strictest last, and
    `resume` makes the state that was at one of them since `now`. A policy without state has neither.
    """

    name: str
    config: type[C]
    start: S
    decide: Callable[[Row, S, C, float], Decision[Caps, S]]
    levels: tuple[str, ...] = ()
    resume: Callable[[str, float], S] | None = None

    @property
    def summary(self) -> str:
        """What it does: the first line of its `decide`."""
        return (self.decide.__doc__ or "").strip().partition("\n")[0]

    def resumed(self, level: str, now: float) -> S:
        """The state in which it goes on at a level of `levels`, in force since `now`."""
        return self.start if self.resume is None else self.resume(level, now)
