"""Stand-ins that end with the test that started them."""

from collections.abc import Callable, Iterator

import pytest

from testbed.cluster.processes import Household
from testbed.engines import standins
from testbed.engines.standins import Standin


@pytest.fixture
def start() -> Iterator[Callable[..., Standin]]:
    """Starts a stand-in and waits until it listens; keyword arguments are its `STANDIN_*`."""
    with Household() as household:

        def begin(
            *arguments: str, listening: bool = True, side: int | None = None, **told: object
        ) -> Standin:
            standin = standins.start(household, *arguments, told=told, side=side)
            if listening:
                standin.wait()
            return standin

        yield begin
