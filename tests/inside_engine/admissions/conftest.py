"""Requests and engines of the tests. vLLM warns while it is imported, and so is imported here first."""

import warnings
from collections.abc import Callable

import pytest

from benchmarks.admissions.workloads import Arrival
from loadline_policies.models import step_parameters

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from benchmarks.admissions import schedulers
    from benchmarks.admissions.engines import SimulatedEngine
    from testbed.engines.schedulers import hasher


@pytest.fixture
def engine() -> Callable[..., SimulatedEngine]:
    """Makes an engine over so many blocks that is to serve the requests."""

    def make(given: list[Arrival], *, blocks: int, arm: schedulers.Arm = schedulers.STOCK) -> SimulatedEngine:
        return SimulatedEngine(
            scheduler=schedulers.of(arm, given, blocks=blocks),
            steps=step_parameters.load().steps,
            arrivals=given,
            hasher=hasher(schedulers.BLOCK_TOKENS),
        )

    return make


@pytest.fixture(params=schedulers.ARMS)
def arm(request: pytest.FixtureRequest) -> schedulers.Arm:
    return schedulers.ARMS[request.param]
