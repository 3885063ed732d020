"""The small model: the same everywhere, whole, and unable to say what can't be printed."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from testbed.engines import models


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("model")
    models.write(directory)
    return directory


def header(model: Path) -> tuple[dict[str, dict[str, list[int]]], int]:
    """What a weights file says of itself, and the size of what follows."""
    data = (model / "model.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    told = json.loads(data[8 : 8 + length])
    told.pop("__metadata__")
    return told, len(data) - 8 - length


def test_two_makers_make_the_same(model: Path, tmp_path: Path) -> None:
    models.write(tmp_path)
    assert {path.name: path.read_bytes() for path in model.iterdir()} == {
        path.name: path.read_bytes() for path in tmp_path.iterdir()
    }


def test_a_weights_file_has_neither_gap_nor_rest(model: Path) -> None:
    told, size = header(model)
    ends = [0]
    for tensor in told.values():
        begin, end = tensor["data_offsets"]
        assert begin == ends[-1]
        assert end - begin == 4 * int(np.prod(tensor["shape"]))
        ends.append(end)
    assert ends[-1] == size


def test_it_is_small(model: Path) -> None:
    told, _ = header(model)
    assert 1e6 < sum(int(np.prod(tensor["shape"])) for tensor in told.values()) < 3e6


def test_weights_fit_the_configuration(model: Path) -> None:
    told, _ = header(model)
    config = json.loads((model / "config.json").read_text())
    vocabulary = json.loads((model / "tokenizer.json").read_text())["model"]["vocab"]
    assert len(vocabulary) == config["vocab_size"]
    assert told["lm_head.weight"]["shape"] == [config["vocab_size"], config["hidden_size"]]
    layers = {name.split(".")[2] for name in told if name.startswith("model.layers.")}
    assert len(layers) == config["num_hidden_layers"]


def test_only_words_can_be_said() -> None:
    vocabulary, _ = models.words_in_pieces()
    said = [vocabulary["Ġ" + word] for word in models.WORDS]
    last = models.weights(len(vocabulary), said)["lm_head.weight"]
    assert np.flatnonzero(last.any(axis=1)).tolist() == sorted(said)


def test_every_merge_leads_to_a_token_from_tokens() -> None:
    vocabulary, merges = models.words_in_pieces()
    assert all({left, right, left + right} <= vocabulary.keys() for left, right in merges)


def test_every_byte_has_a_token() -> None:
    assert len(set(models.byte_names())) == 256


def test_the_cache_keeps_what_is_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = models.ensure()
    before = (made / "config.json").stat().st_mtime_ns
    assert models.ensure() == made
    assert (made / "config.json").stat().st_mtime_ns == before
