"""An address has a few failed handshakes to spare, and they come back."""

import pytest

from loadline_api.failure_budgets import BURST, MOST_ADDRESSES, PER_S, FailureBudget, source_of
from testbed.clocks import Clock


def spend(budget: FailureBudget, source: str) -> int:
    """How often an address may fail at a moment."""
    failures = 0
    while budget.allows(source):
        budget.failed(source)
        failures += 1
    return failures


def test_an_address_that_has_spent_its_failures_waits_and_no_other_one_does() -> None:
    clock = Clock(1000.0)
    budget = FailureBudget(clock)
    assert spend(budget, "10.0.0.1") == BURST
    assert budget.allows("10.0.0.2")
    clock.now += 1.0
    assert spend(budget, "10.0.0.1") == PER_S
    clock.now += 1e6
    assert spend(budget, "10.0.0.1") == BURST


def test_the_addresses_remembered_are_bounded_and_who_fails_is_remembered() -> None:
    budget = FailureBudget(Clock(1000.0))
    for index in range(10 * MOST_ADDRESSES):
        budget.failed(f"10.1.{index // 256}.{index % 256}")
        if budget.allows("10.0.0.1"):
            budget.failed("10.0.0.1")
    assert len(budget._spent) == MOST_ADDRESSES
    assert not budget.allows("10.0.0.1")


@pytest.mark.parametrize(
    ("host", "source"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:0db8:0001:0002"),
        ("2001:db8:1:2::9", "2001:0db8:0001:0002"),
        ("fe80::1%eth0", "fe80:0000:0000:0000"),
        ("127.0.0.1", None),
        ("::1", None),
        ("", ""),
    ],
)
def test_addresses_of_one_host_are_one(host: str, source: str | None) -> None:
    assert source_of(host) == source
