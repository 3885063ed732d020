"""A file of gates is taken for its own model only, and a gate's scores fade with a token's age."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from loadline_policies.errors import InvalidInput
from loadline_vllm.retention import gates
from loadline_vllm.retention.gates import GateScores, LayerGate

LAYERS, HEADS, INNER, SIZE = 2, 3, 5, 4


def drawn(seed: int = 0) -> list[LayerGate]:
    generator = torch.Generator().manual_seed(seed)
    shapes = ((HEADS, INNER, SIZE), (HEADS, INNER), (HEADS, INNER), (HEADS,))
    return [LayerGate(*(torch.randn(shape, generator=generator) for shape in shapes)) for _ in range(LAYERS)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "gates.safetensors"
    gates.write(drawn(), path, fingerprint="mine", kept_tokens=64, notes={"steps": "60"})
    return path


def test_what_is_written_is_read_back(file: Path) -> None:
    for read, written in zip(gates.load(file, fingerprint="mine"), drawn(), strict=True):
        assert all(one.equal(other) for one, other in zip(read.parts, written.parts, strict=True))
    assert gates.check(file, fingerprint="mine").kv_heads == HEADS


def test_gates_of_another_model_are_refused(file: Path) -> None:
    with pytest.raises(InvalidInput, match="train gates for this model"):
        gates.load(file, fingerprint="another")


@pytest.mark.parametrize("damage", ["missing", "cut", "no tensor", "shape", "not finite", "format"])
def test_a_damaged_file_is_refused(file: Path, damage: str) -> None:
    tensors, about = (
        load_file(file),
        {"format": gates.FORMAT, "model": "mine", "shape": '{"layers": 2, "kv_heads": 3, "head": 4}'},
    )
    match damage:
        case "missing":
            file.unlink()
        case "cut":
            file.write_bytes(file.read_bytes()[:100])
        case "no tensor":
            del tensors["layers.1.outward"]
            save_file(tensors, file, metadata=about)
        case "shape":
            save_file(tensors | {"layers.0.outward": torch.ones(HEADS, INNER + 1)}, file, metadata=about)
        case "not finite":
            save_file(
                tensors | {"layers.0.outward": torch.full((HEADS, INNER), float("nan"))}, file, metadata=about
            )
        case "format":
            save_file(tensors, file, metadata={**about, "format": "other"})
    with pytest.raises(InvalidInput):
        gates.load(file, fingerprint="mine")


def test_a_token_is_worth_less_the_older_it_is() -> None:
    values = torch.randn(HEADS, 1, SIZE).expand(-1, 6, -1)
    positions = torch.arange(6).expand(HEADS, -1)
    scores = GateScores(drawn())("model.layers.1.self_attn.attn", 6)(values, values, positions)
    assert (scores.diff(dim=1) > 0).all()


def test_each_rank_takes_the_gates_of_its_heads() -> None:
    values = torch.randn(HEADS, 7, SIZE)
    whole = drawn()[0].log_retention(values)
    assert torch.allclose(drawn()[0].heads(1, 2).log_retention(values[1:]), whole[1:])
    assert (whole < 0).all()


def test_layers_are_told_apart_by_their_number() -> None:
    assert gates.layer_number("model.layers.17.self_attn.attn") == 17
    with pytest.raises(InvalidInput, match="numbered"):
        gates.layer_number("model.attention")


def test_a_fingerprint_is_of_the_configuration_and_the_weights(tmp_path: Path) -> None:
    def made(name: str, config: str, weight: float) -> str:
        directory = tmp_path / name
        directory.mkdir()
        (directory / "config.json").write_text(config)
        save_file({"w": torch.full((4,), weight)}, directory / "model.safetensors")
        return gates.fingerprint_of(directory)

    plain = made("plain", '{"a": 1}', 1.0)
    assert made("saved again", '{"transformers_version": "5", "a": 1}', 1.0) == plain
    assert made("other weights", '{"a": 1}', 2.0) != plain
    assert made("other configuration", '{"a": 2}', 1.0) != plain
    with pytest.raises(InvalidInput):
        gates.fingerprint_of(tmp_path)
