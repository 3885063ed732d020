"""The plant of a live row: GPUs draw what is asked, up to 5 % above their limits; the breaker heats."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from loadline_policies.power.safety.breakers import WARM
from testbed.fakegpu.board import Board
from testbed.live_rows.plants import Plant
from testbed.live_rows.rows import BUDGET_WATTS, CALM, HOST_WATTS, NODES, PEAK, STEEP, nameplate_load


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    with Board.create(tmp_path / "board", NODES) as board:
        yield Plant(board, curve=STEEP, budget_watts=BUDGET_WATTS, host_watts=HOST_WATTS)


def test_a_free_row_draws_what_is_asked(plant: Plant) -> None:
    plant.demand(CALM)
    plant.tick()
    assert plant.load == pytest.approx(CALM, abs=0.001)


def test_no_more_than_the_nameplate_is_drawn(plant: Plant) -> None:
    plant.demand(PEAK)
    plant.tick()
    assert plant.load == pytest.approx(nameplate_load(), abs=0.001)


def test_limits_bind_and_the_sensors_hide_what_they_may(plant: Plant) -> None:
    for node in range(len(NODES)):
        for gpu in range(8):
            plant.board.write_as_other(node, gpu, watts=300.0)
    plant.demand(PEAK)
    plant.tick()
    hosts_watts = len(NODES) * HOST_WATTS
    assert plant.now.true_watts == pytest.approx(hosts_watts + 40 * 300.0 * 1.05, abs=1.0)
    assert plant.now.sensor_watts == pytest.approx(hosts_watts + 40 * 300.0, abs=1.0)
    assert plant.now.gpus_watts == pytest.approx(300.0, abs=0.1)


def test_the_breaker_heats_by_the_time_that_has_passed(plant: Plant) -> None:
    plant.demand(PEAK)
    plant.tick()
    heat, began_s = plant.heat, plant.now.at_s
    plant.tick()
    passed_s = plant.now.at_s - began_s
    assert plant.heat - heat == pytest.approx(passed_s / STEEP.trip_s(plant.load), rel=0.01)
    assert plant.most_heat >= plant.heat > WARM - 0.01
