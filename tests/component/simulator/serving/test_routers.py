"""Where routers send requests: to the emptier of two that are drawn, by a seed."""

import numpy as np
import pytest

from loadline_sim.serving.registry import ROUTERS
from loadline_sim.serving.routers import power_of_two
from tests.component.simulator.serving.test_continuous import fleet_of, served, trace_of

pytestmark = pytest.mark.slow  # the loop is compiled once a machine

BURST = [(index / 64, 20 + index % 7, 10) for index in range(60)]


def test_of_two_servers_the_emptier_one_is_taken() -> None:
    drawn, fewest = (
        served(trace_of(BURST[:30]), fleet_of(2, blocks=60), ROUTERS[name]())
        for name in ("power-of-two", "token-queues")
    )
    assert np.sort(drawn.ttft_s) == pytest.approx(np.sort(fewest.ttft_s), rel=0.25)


def test_the_servers_drawn_are_those_of_the_seed() -> None:
    def ended_s(seed: int) -> bytes:
        router = ROUTERS["power-of-two"](seed=seed)
        return served(trace_of(BURST), fleet_of(5, blocks=60), router).response_s.tobytes()

    assert ended_s(1) == ended_s(1)
    assert ended_s(1) != ended_s(2)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_each_server_is_drawn_as_often_as_any_other(count: int) -> None:
    state = power_of_two.power_of_two(seed=3).drawn
    drawn = np.bincount([power_of_two.draw(state, count) for _ in range(7000)], minlength=count)
    assert drawn.size == count
    assert np.abs(drawn / 7000 - 1 / count).max() < 0.02


def test_five_servers_are_used_where_one_would_be_late() -> None:
    five, one = (
        served(trace_of(BURST), fleet_of(servers, blocks=60), ROUTERS["power-of-two"]()) for servers in (5, 1)
    )
    assert five.ttft_s.max() < one.ttft_s.max() / 3
