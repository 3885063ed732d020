"""The small models of experts: the same everywhere, and with what their configuration promises."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from testbed.engines import expert_models
from testbed.engines.expert_models import ARCHITECTURES, EXPERTS, LAYERS


@pytest.fixture(scope="module", params=sorted(ARCHITECTURES))
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("models") / str(request.param)
    expert_models.write(directory, str(request.param))
    return directory


def shapes(model: Path) -> dict[str, list[int]]:
    """The shape of each matrix."""
    data = (model / "model.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    told = json.loads(data[8 : 8 + length])
    return {name: one["shape"] for name, one in told.items() if name != "__metadata__"}


def test_two_makers_make_the_same(model: Path, tmp_path: Path) -> None:
    expert_models.write(tmp_path, model.name)
    assert {path.name: path.read_bytes() for path in model.iterdir()} == {
        path.name: path.read_bytes() for path in tmp_path.iterdir()
    }


def test_each_layer_with_experts_has_a_router_and_all_experts(model: Path) -> None:
    found = shapes(model)
    routers = [name for name in found if name.endswith(".gate.weight")]
    assert len(routers) == ARCHITECTURES[model.name].expert_layers
    for router in routers:
        at = router.removesuffix("gate.weight") + "experts."
        assert {name.removeprefix(at).split(".")[0] for name in found if name.startswith(at)} == {
            str(expert) for expert in range(EXPERTS)
        }
        assert found[router] == [EXPERTS, expert_models.HIDDEN]


def test_it_is_small(model: Path) -> None:
    assert sum(int(np.prod(shape)) for shape in shapes(model).values()) < 1_000_000
    layers = {name.split(".")[2] for name in shapes(model) if name.startswith("model.layers.")}
    assert len(layers) == LAYERS
