"""Engines are named, and say how well their times are known."""

import pytest

from loadline_policies.errors import InvalidInput
from loadline_sim.capacity.engines import ENGINES, engine_of


@pytest.mark.parametrize("name", ENGINES)
def test_every_engine_has_a_fleet_and_an_error(name: str) -> None:
    engine = engine_of(name)
    fleet = engine.fleet(3, 5000)
    assert engine.name == name
    assert 0.0 < engine.step_error < 0.2
    assert fleet.servers.size == 3
    assert fleet.prompt_s.shape[1] == 5001
    assert (fleet.prompt_s[:, 1:] > 0).all()


def test_an_engine_without_measurements_is_refused_with_those_that_have_some() -> None:
    with pytest.raises(InvalidInput, match="engine is 'b200': name one of a100-bloom-176b, h100-bloom-176b"):
        engine_of("b200")
