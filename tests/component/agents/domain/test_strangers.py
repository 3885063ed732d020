"""Whoever can't say who it is costs a coordinator next to nothing."""

import asyncio
import ssl
from collections.abc import AsyncIterator

import pytest

from loadline_agent.domain.strangers import Strangers

PAUSE_S = 0.2


class Looks:
    """Counts looks; one takes as long as `takes_s`."""

    def __init__(self) -> None:
        self.began, self.ended, self.takes_s = 0, 0, 0.0

    async def look(self) -> None:
        self.began += 1
        await asyncio.sleep(self.takes_s)
        self.ended += 1


@pytest.fixture
def looks() -> Looks:
    return Looks()


@pytest.fixture
def refusals() -> list[str]:
    return []


@pytest.fixture
async def strangers(looks: Looks, refusals: list[str]) -> AsyncIterator[Strangers]:
    made = Strangers(looks.look, refusals.append, every_s=PAUSE_S)
    yield made
    made.close()


def unknown() -> Exception:
    return ssl.SSLCertVerificationError("self-signed certificate")


async def test_a_thousand_strangers_cause_one_look_and_one_more_after_the_pause(
    strangers: Strangers, looks: Looks, refusals: list[str]
) -> None:
    for _ in range(1000):
        strangers.failed(unknown())
        await asyncio.sleep(0)
    assert looks.began == 1
    await asyncio.sleep(1.5 * PAUSE_S)
    assert looks.began == 2
    await asyncio.sleep(1.5 * PAUSE_S)
    assert looks.began == 2, "nobody has knocked since"
    assert refusals == ["Stranger"] * 1000


async def test_one_that_knocks_in_the_pause_is_served_by_the_next_look(
    strangers: Strangers, looks: Looks
) -> None:
    strangers.failed(unknown())
    await asyncio.sleep(0.5 * PAUSE_S)
    strangers.failed(unknown())
    assert looks.ended == 1
    await asyncio.sleep(PAUSE_S)
    assert looks.ended == 2


async def test_one_that_knocks_during_a_look_is_served_by_the_next_one(
    strangers: Strangers, looks: Looks
) -> None:
    looks.takes_s = 0.5 * PAUSE_S
    strangers.failed(unknown())
    await asyncio.sleep(0.25 * PAUSE_S)
    strangers.failed(unknown())
    await asyncio.sleep(2.5 * PAUSE_S)
    assert looks.ended == 2


async def test_after_a_rest_the_first_one_is_served_at_once(strangers: Strangers, looks: Looks) -> None:
    strangers.failed(unknown())
    await asyncio.sleep(1.5 * PAUSE_S)
    strangers.failed(unknown())
    await asyncio.sleep(0)
    assert looks.began == 2


async def test_a_look_that_fails_is_not_the_last(refusals: list[str]) -> None:
    looks = 0

    async def fail() -> None:
        nonlocal looks
        looks += 1
        raise OSError

    strangers = Strangers(fail, refusals.append, every_s=PAUSE_S)
    for _ in range(2):
        strangers.failed(unknown())
        await asyncio.sleep(1.5 * PAUSE_S)
    strangers.close()
    assert looks == 2


@pytest.mark.parametrize(
    "error", [ssl.SSLError("wrong version number"), ConnectionAbortedError("taking longer than 5 seconds")]
)
async def test_what_shows_no_certificate_is_counted_and_looked_for_by_nobody(
    strangers: Strangers, looks: Looks, refusals: list[str], error: Exception
) -> None:
    strangers.failed(error)
    await asyncio.sleep(0)
    assert (looks.began, refusals) == (0, ["Stranger"])


async def test_a_connection_that_is_reset_is_no_stranger(
    strangers: Strangers, looks: Looks, refusals: list[str]
) -> None:
    """A load balancer's look whether the port is open, say."""
    strangers.failed(ConnectionResetError())
    assert (looks.began, refusals) == (0, [])


async def test_nothing_is_looked_for_once_it_is_closed(strangers: Strangers, looks: Looks) -> None:
    strangers.failed(unknown())
    strangers.failed(unknown())
    strangers.close()
    await asyncio.sleep(1.5 * PAUSE_S)
    assert looks.ended <= 1
