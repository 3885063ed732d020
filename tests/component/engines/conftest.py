"""Stand-ins that end with the test that started them."""

from collections.abc import Callable, Iterator

import pytest

from hack.engines import standins
from hack.engines.standins import Standin
from hack.testenv.processes import Household


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
