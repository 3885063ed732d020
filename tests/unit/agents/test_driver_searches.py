"""How an agent comes to its GPUs: it looks again, says why, and ends only where another container helps."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from loadline_agent import driver_searches
from loadline_agent.driver_searches import DriverSearch
from loadline_agent.hardware.guard import UNMATCHED_FOR_S
from loadline_agent.hardware.nvml import OtherVersion, translated
from loadline_policies.errors import HardwareError

MISMATCH = translated(18, uuid="the driver", doing="initialising NVML")
NOT_LOADED = translated(9, uuid="the driver", doing="initialising NVML")
GPUS: Any = SimpleNamespace(infos=("a GPU",))


class Driver:
    """A driver that a test has at hand, and a clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.answer: HardwareError | None = None
        self.search = DriverSearch(self._open, "node-00", clock=lambda: self.now)

    def _open(self) -> Any:
        if self.answer is not None:
            raise self.answer
        return GPUS

    def look(self, answer: HardwareError | None, *, at_s: float) -> Any:
        self.answer, self.now = answer, at_s
        return self.search.look()


@pytest.fixture
def driver() -> Driver:
    return Driver()


def test_until_it_has_looked_it_says_that_it_has_not(driver: Driver) -> None:
    assert not driver.search.looked
    assert driver.search.missing == {"DriverMissing": "the agent has not looked for the driver yet"}


def test_a_driver_of_another_version_is_there_and_told_with_its_cause_and_fix(driver: Driver) -> None:
    """It was told as DriverMissing, though only a new container could help."""
    assert driver.look(MISMATCH, at_s=0.0) is None
    ((word, sentence),) = driver.search.missing.items()
    assert word == "DriverMismatch"
    assert "NVML answered 18" in sentence
    assert "the driver in the kernel was upgraded, or its library was" in sentence
    assert "delete the agent's pod" in sentence
    assert driver.search.looked


@pytest.mark.parametrize("answer", [NOT_LOADED, HardwareError("none of the 8 GPUs can be opened")])
def test_any_other_answer_is_a_missing_driver_for_as_long_as_it_takes(
    driver: Driver, answer: HardwareError
) -> None:
    for at_s in (0.0, UNMATCHED_FOR_S, 100 * UNMATCHED_FOR_S):
        assert driver.look(answer, at_s=at_s) is None
    assert driver.search.missing == {"DriverMissing": str(answer)}


def test_a_driver_that_comes_to_match_is_taken_by_the_same_process(driver: Driver) -> None:
    driver.look(MISMATCH, at_s=0.0)
    driver.look(MISMATCH, at_s=UNMATCHED_FOR_S - 1.0)
    assert driver.look(None, at_s=UNMATCHED_FOR_S) is GPUS


def test_nothing_but_a_mismatch_for_long_ends_the_agent_later_than_the_kubelet_backs_off(
    driver: Driver,
) -> None:
    assert UNMATCHED_FOR_S > 600.0
    for at_s in (0.0, 300.0, UNMATCHED_FOR_S - 1.0):
        assert driver.look(MISMATCH, at_s=at_s) is None
    with pytest.raises(OtherVersion):
        driver.look(MISMATCH, at_s=UNMATCHED_FOR_S)


def test_an_upgrade_that_goes_on_meanwhile_begins_the_wait_anew(driver: Driver) -> None:
    for at_s in range(0, 6000, 300):
        assert driver.look(MISMATCH, at_s=at_s) is None
        assert driver.look(NOT_LOADED, at_s=at_s + 30.0) is None


async def test_a_search_ends_when_the_agent_is_stopped(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver_searches, "AGAIN_S", 0.01)
    driver.answer = MISMATCH
    stop = asyncio.Event()
    running = asyncio.create_task(driver.search.run(stop))
    await asyncio.sleep(0.05)
    stop.set()
    assert await running is None


async def test_a_driver_that_comes_late_is_found(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver_searches, "AGAIN_S", 0.01)
    driver.answer = NOT_LOADED
    running = asyncio.create_task(driver.search.run(asyncio.Event()))
    await asyncio.sleep(0.05)
    driver.answer = None
    assert await running is GPUS
