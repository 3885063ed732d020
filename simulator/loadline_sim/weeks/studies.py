"""
How many servers a budget bears for weeks, under which policy: cases side by side, and what they say.

The budget is that of the demo's row: 6.08 kW for each of `base_servers`. The study puts more servers behind
it and asks of each policy whether the row stayed within its budget, and what that cost its requests, compared
with the same row without caps. Objectives are those that POLCA states for its two priorities.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from typing import Final

from loadline_policies import documents
from loadline_policies.documents import parse_power
from loadline_policies.errors import InvalidInput
from loadline_sim.progress import Progress
from loadline_sim.weeks import cases
from loadline_sim.weeks.cases import Case, Outcome
from loadline_sim.weeks.demands import Demand

DAY_S: Final = 86_400
BASE_SERVERS: Final = 40
SERVER_WATTS: Final = 6080.0
"""What the budget has for each base server: the demo's row."""

LOAD: Final = 0.45
"""Of the recorded rates, on the base servers; chosen: they peak at 78 % in six weeks, POLCA's at 79 %."""

MOST_DAYS: Final = 366
MOST_SERVERS: Final = 1024
ROBUST: Final = 1.05
"""POLCA's trial of a row that draws more than was expected."""

NO_CAP: Final = "no-cap"
POLICIES: Final = ("polca", "one-threshold-low-priority", "one-threshold-all")

OBJECTIVES: Final[Mapping[str, Mapping[int, float]]] = {
    "high": {50: 0.01, 99: 0.05},
    "low": {50: 0.05, 99: 0.50},
}
"""By priority and percentile, by how much latencies may grow. POLCA's; source: unverified, from recall."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`documents` are policy documents by title; `load` is of the recorded rates, on the base servers."""

    documents: Mapping[str, str]
    servers: tuple[int, ...] = (44, 48, 52)
    base_servers: int = BASE_SERVERS
    days: int = 7
    load: float = LOAD
    seed: int = 1
    replay_share: float = 0.02

    @property
    def budget_watts(self) -> float:
        """The row's budget."""
        return self.base_servers * SERVER_WATTS

    def case(self, title: str, servers: int, *, watts_factor: float = 1.0) -> Case:
        """One of the study's cases."""
        demand = Demand(
            factor=self.load * servers / BASE_SERVERS, duration_s=self.days * DAY_S, seed=self.seed
        )
        return Case(
            title=title,
            document=self.documents[title],
            servers=servers,
            budget_watts=self.budget_watts,
            demand=demand,
            watts_factor=watts_factor,
            replay_share=self.replay_share,
        )


@dataclass(frozen=True, slots=True)
class Row:
    """One case beside the same servers without caps: how much slower each priority became."""

    outcome: Outcome
    slower: Mapping[str, Mapping[int, float]]

    @property
    def brakes(self) -> int:
        """By the second, or in the plant's ticks where that showed more."""
        return max(self.outcome.load.brakes, self.outcome.replayed.brakes)

    @property
    def trips(self) -> int:
        """As `brakes`."""
        return max(self.outcome.load.trips, self.outcome.replayed.trips)

    @property
    def max_load(self) -> float:
        """As `brakes`, the highest mean over two seconds."""
        return max(self.outcome.load.max_load, self.outcome.replayed.max_load)

    @property
    def is_within(self) -> bool:
        """Whether the row stayed within its budget."""
        return not self.brakes and not self.trips

    @property
    def keeps_objectives(self) -> bool:
        """Whether no priority became slower than it may."""
        return all(
            self.slower[priority][percent] <= most
            for priority, goals in OBJECTIVES.items()
            for percent, most in goals.items()
        )


@dataclass(frozen=True, slots=True)
class Study:
    """All cases: the base row without caps, every policy by number of servers, and the best one drawing more.

    `best` has the most servers of those that stay within the budget and keep the objectives, or is None.
    """

    settings: Settings
    base: Outcome
    rows: Sequence[Row]
    best: Row | None
    robust: Row | None


def built_in() -> dict[str, str]:
    """The documents of the policies that a study compares unless told otherwise, by name."""
    return {name: document(name) for name in (NO_CAP, *POLICIES)}


def document(policy: str) -> str:
    """The shortest document of a power policy: its defaults."""
    return f"schema: {documents.SCHEMA}\nloop: power\npolicy: {policy}\n"


def check(settings: Settings) -> None:
    """Raise InvalidInput for what can't be studied, and InvalidPolicy for a document that isn't valid."""
    if NO_CAP not in settings.documents:
        raise InvalidInput(
            "documents", sorted(settings.documents), fix=f"add {NO_CAP}: others are compared with it"
        )
    if not 1 <= settings.days <= MOST_DAYS:
        raise InvalidInput("days", settings.days, fix=f"give 1 to {MOST_DAYS}")
    if not 0.0 < settings.load <= 10.0:
        raise InvalidInput("load", settings.load, fix="give a number above 0, up to 10")
    for servers in (*settings.servers, settings.base_servers):
        if not 2 <= servers <= MOST_SERVERS:
            raise InvalidInput("servers", servers, fix=f"give 2 to {MOST_SERVERS}")
    for text in settings.documents.values():
        parse_power(text)


def run(settings: Settings, *, jobs: int = 1, progress: Progress = lambda what, share: None) -> Study:
    """Simulate all cases, so many at a time.

    Raises as `check`, and UnsafeDomain where the budget is too small for the servers at their lowest limits.
    """
    check(settings)
    asked = [settings.case(NO_CAP, settings.base_servers)]
    asked += [settings.case(title, count) for count in settings.servers for title in settings.documents]
    base, *others = _outcomes(asked, jobs, partial(progress, "simulating rows"))
    rows = _compared(others)
    best = max(
        (row for row in rows if row.is_within and row.keeps_objectives),
        key=lambda row: (row.outcome.case.servers, row.outcome.case.title != NO_CAP, -row.slower["low"][99]),
        default=None,
    )
    robust = (
        None if best is None else _drawing_more(best.outcome.case, settings, jobs=jobs, progress=progress)
    )
    return Study(settings, base, rows, best, robust)


def _drawing_more(case: Case, settings: Settings, *, jobs: int, progress: Progress) -> Row:
    """A case again with GPUs that draw more."""
    servers, title = case.servers, case.title
    pair = [settings.case(one, servers, watts_factor=ROBUST) for one in dict.fromkeys((NO_CAP, title))]
    return _compared(list(_outcomes(pair, jobs, partial(progress, "with GPUs that draw more"))))[-1]


def _outcomes(asked: Sequence[Case], jobs: int, told: Callable[[float], None]) -> Iterator[Outcome]:
    told(0.0)
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for place, outcome in enumerate(pool.map(cases.run, asked), start=1):
            told(place / len(asked))
            yield outcome


def _compared(outcomes: Sequence[Outcome]) -> list[Row]:
    uncapped = {one.case.servers: one for one in outcomes if one.case.title == NO_CAP}
    return [Row(one, slower(one, uncapped[one.case.servers])) for one in outcomes]


def slower(one: Outcome, uncapped: Outcome) -> dict[str, dict[int, float]]:
    """By priority and percentile, the larger growth of the times to the first and to the last token."""
    found = {}
    for priority, goals in OBJECTIVES.items():
        pairs = {
            percent: zip(
                one.latencies[priority].p(percent), uncapped.latencies[priority].p(percent), strict=True
            )
            for percent in goals
        }
        found[priority] = {
            percent: max(mine / base - 1.0 for mine, base in pair) for percent, pair in pairs.items()
        }
    return found
