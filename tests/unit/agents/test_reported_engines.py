"""Engines are remembered while they report, and their number is bounded."""

from dataclasses import dataclass, replace

from loadline_agent.reported_engines import FORGOTTEN_S, MOST_ENGINES, ReportedEngines
from testbed.clocks import Clock
from testbed.doubles.worker_agents import OTHER, POD, report


@dataclass
class Engine:
    service: str
    reported_s: float


class Remembered:
    def __init__(self) -> None:
        self.clock = Clock(0.0)
        self.dropped: list[str] = []
        self.engines = ReportedEngines(Engine, clock=self.clock, forget=self.dropped.append)


def test_an_engine_is_the_same_at_its_next_report() -> None:
    kept = Remembered()
    first = kept.engines.seen(report())
    kept.clock.now = 5.0
    assert kept.engines.seen(report()) is first
    assert (first.service, first.reported_s) == ("prod/chat", 5.0)


def test_a_pod_of_another_service_than_before_begins_anew() -> None:
    kept = Remembered()
    first = kept.engines.seen(report())
    assert kept.engines.seen(report(service="other")) is not first


def test_one_that_is_silent_for_long_is_forgotten() -> None:
    kept = Remembered()
    kept.engines.seen(report())
    kept.clock.now = FORGOTTEN_S + 1.0
    kept.engines.seen(report(OTHER))
    assert kept.dropped == [POD.uid]
    assert [one.reported_s for one in kept.engines.lately(12.0)] == [FORGOTTEN_S + 1.0]


def test_of_too_many_the_longest_silent_ones_are_forgotten() -> None:
    kept = Remembered()
    for number in range(MOST_ENGINES + 2):
        kept.engines.seen(report(replace(POD, uid=f"uid-{number}")))
    assert kept.dropped == ["uid-0", "uid-1"]
    assert len([*kept.engines.lately(1.0)]) == MOST_ENGINES
