"""A person's order to an agent: taken once, while it is fresh, and answered."""

from pathlib import Path

import pytest

from loadline_agent.hardware.release_orders import FRESH_S, ORDER, Answer, ReleaseOrders
from testbed.clocks import Clock

BOOT = "3e1b8f0c-3d1e-4b7e-9d5a-0c1b2a3d4e5f"


@pytest.fixture
def clock() -> Clock:
    return Clock(100.0)


@pytest.fixture
def orders(tmp_path: Path, clock: Clock) -> ReleaseOrders:
    return ReleaseOrders(tmp_path, boot=BOOT, clock=clock)


def test_an_order_is_taken_once(orders: ReleaseOrders) -> None:
    assert not orders.take()
    orders.give()
    assert orders.take()
    assert not orders.take()


@pytest.mark.parametrize("age_s", [FRESH_S + 0.1, -1.0])
def test_one_that_is_old_or_from_a_time_to_come_does_nothing(
    orders: ReleaseOrders, clock: Clock, age_s: float
) -> None:
    orders.give()
    clock.now += age_s
    assert not orders.take()


def test_one_of_another_boot_does_nothing(orders: ReleaseOrders, tmp_path: Path, clock: Clock) -> None:
    ReleaseOrders(tmp_path, boot="another", clock=clock).give()
    assert not orders.take()


@pytest.mark.parametrize("text", ["", BOOT, f"{BOOT} soon", f"{BOOT} nan", "\x00"])
def test_one_that_cannot_be_read_does_nothing(orders: ReleaseOrders, tmp_path: Path, text: str) -> None:
    (tmp_path / ORDER).write_text(text)
    assert not orders.take()
    assert not (tmp_path / ORDER).exists()


def test_one_that_is_taken_back_does_nothing(orders: ReleaseOrders) -> None:
    orders.give()
    orders.take_back()
    assert not orders.take()


def test_what_came_of_it_is_told_and_not_taken_for_the_next_ones(orders: ReleaseOrders) -> None:
    orders.give()
    assert orders.answered() is None
    orders.answer(Answer(True, ("LeftBehind: gpu",)))
    assert orders.answered() == Answer(True, ("LeftBehind: gpu",))
    orders.give()
    assert orders.answered() is None


def test_an_order_is_for_its_owners_eyes_only(orders: ReleaseOrders, tmp_path: Path) -> None:
    orders.give()
    assert (tmp_path / ORDER).stat().st_mode & 0o077 == 0
