"""
What a report needs of a recording, and of the run it was made in.

A recording is the plant's true state, step by step, with its uncapped replay beside it.
The virtual demo and the live one both make one; the report asks for no more than this.
All series of a recording have one entry for each of `t_s`, the end of equal steps, with
zero at the start of the window.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from loadline_policies.power.breakers import Curve

from loadline_sim.reports.figures import Floats


class Act(Protocol):
    """A part of the demo. `name` is its key, `detail` the sentences that its conductor wrote."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def start_s(self) -> float: ...
    @property
    def end_s(self) -> float: ...
    @property
    def detail(self) -> str: ...


class Requests(Protocol):
    """One entry for each request; latencies are NaN where a request hasn't ended."""

    @property
    def service(self) -> Sequence[str]: ...
    @property
    def priority(self) -> Sequence[str]: ...
    @property
    def arrival_s(self) -> Floats: ...
    @property
    def ttft_s(self) -> Floats: ...
    @property
    def latency_s(self) -> Floats: ...


class Baseline(Protocol):
    """The same arrivals and seed without caps."""

    @property
    def row_watts(self) -> Floats: ...
    @property
    def heat(self) -> Floats: ...
    @property
    def requests(self) -> Requests: ...


class Recording(Protocol):
    """A run as it truly was. `thresholds` are (from second, T1, T2 as fractions of the budget)."""

    @property
    def t_s(self) -> Floats: ...
    @property
    def row_watts(self) -> Floats: ...
    @property
    def sensor_watts(self) -> Floats: ...
    @property
    def budget_watts(self) -> float: ...
    @property
    def low_clock_mhz(self) -> Floats: ...
    @property
    def high_clock_mhz(self) -> Floats: ...
    @property
    def heat(self) -> Floats: ...
    @property
    def requests(self) -> Requests: ...
    @property
    def acts(self) -> Sequence[Act]: ...
    @property
    def thresholds(self) -> Sequence[tuple[float, float, float]]: ...
    @property
    def baseline(self) -> Baseline: ...


@dataclass(frozen=True, slots=True)
class Fact:
    """A name and what is to be said of it."""

    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFacts:
    """The row that was recorded. `max_load` is the sum of all maxima ÷ budget, sensor gain included;
    `asked_s` is the warm trip time that S2 asks for at that load."""

    name: str
    servers: int
    provisioned_servers: int
    budget_watts: float
    curve: Curve
    max_load: float
    asked_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The run beside its recording: what a report has to be told.

    `kind` is `virtual` or `live`. `reactions_s` has one entry for each crossing that had to
    be answered, from the sensors' crossing to the last limit read back. `measured` are the
    checks' figures that no recording holds (`cores_busy`, `minutes`, …); `arithmetic` says
    how the row was scaled and stressed, `made` how to make the report again.
    """

    kind: str
    seed: int
    row: RowFacts
    reactions_s: tuple[float, ...]
    measured: tuple[tuple[str, float], ...] = ()
    arithmetic: tuple[Fact, ...] = ()
    made: tuple[Fact, ...] = ()
    unreal: tuple[str, ...] = ()
