"""
What was seen on a GPU, as it is kept: columns of readings and the spans of load beside them.

Measuring needs the GPU for minutes, judging needs it not at all, and it may be gone before
all is seen. So each part is a document of its own, complete with the commit and the
machine it is from. Times are seconds of CLOCK_BOOTTIME, of whatever process they come
from; None stands for what the GPU lacks.
"""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

Floats = npt.NDArray[np.float64]
Column: TypeAlias = tuple[float | None, ...]
Spans: TypeAlias = tuple[tuple[float, float], ...]
"""When load ran: from, to."""


class Trace(BaseModel):
    """Something that was seen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Facts(Trace):
    """What doesn't change: the GPU, its driver, and what both let be read.

    `fields` are the values of single fields by number, None where the driver has none.
    """

    name: str
    driver: str
    gpus: int
    fields: dict[int, int | None]
    min_watts: float
    max_watts: float
    default_watts: float
    enforced_watts: float
    requested_watts: float
    min_mhz: int
    max_mhz: int
    graphics_clocks: int
    missing_right: str | None


class Rounds(Trace):
    """The agent's own samples of one GPU at one rate; costs are of the whole round."""

    rate_hz: float
    t_s: tuple[float, ...]
    watts: tuple[float, ...]
    energy_j: Column
    age_s: tuple[float, ...]
    faults: tuple[str | None, ...]
    ok: tuple[bool, ...]
    cost_us: tuple[float, ...]
    cpu_us: tuple[float, ...]


class Glances(Trace):
    """Fields read every `every_s` or as fast as they answer, while `work` ran in the spans `on`.

    Power is that of fields 186 and 185. Where only 186 was asked for, the others are empty.
    """

    work: str
    every_s: float
    t_s: tuple[float, ...]
    instant_watts: Column
    average_watts: Column
    energy_j: Column
    on: Spans


class Buffered(Trace):
    """What the driver's own buffer of power samples held, by the driver's time."""

    t_s: tuple[float, ...]
    watts: tuple[float, ...]


class Costs(Trace):
    """What each question to the driver took, of the clock and of the processor."""

    wall_us: dict[str, tuple[float, ...]]
    cpu_us: dict[str, tuple[float, ...]]


class Part(Trace):
    """What is told of each part: which code saw it, on what, when (UTC)."""

    commit: str = Field(pattern="^([0-9a-f]{10})?$")
    """Empty where the code was in no commit; such a part is neither kept nor written."""

    machine: str
    seen_at: str


class Pace(Part):
    """The GPU at the agent's pace; `rounds` are by name, such as `load_4hz`."""

    facts: Facts
    facts_after: Facts
    rounds: dict[str, Rounds]
    read_back_us: tuple[float, ...]
    work: str


class Sensors(Part):
    """The sensors as fast as they answer: over steps of load, and while it blinked.

    `flashes` are blinks too, seen by field 186 alone, faster, and by the driver's buffer.
    """

    edges: Glances
    blinks: Glances
    flashes: Glances
    buffered: Buffered


class Questions(Part):
    """What the driver's answers cost while the GPU is idle and under load."""

    idle: Costs
    load: Costs
    work: str


class Seen(Trace):
    """Everything that `sampling` looks at."""

    pace: Pace
    sensors: Sensors
    questions: Questions


def floats(column: Column) -> Floats:
    """A column as an array; NaN where the GPU said nothing."""
    return np.array([np.nan if value is None else value for value in column], dtype=np.float64)
