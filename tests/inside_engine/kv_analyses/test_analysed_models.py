"""What a model is refused for, and that a difference between our attention and its own is found."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from loadline_policies.errors import InvalidInput
from loadline_vllm.kv_analyses import analysed_models
from loadline_vllm.kv_analyses.analysed_models import AnalysedModel, refuse_other_attention
from loadline_vllm.kv_analyses.attentions import States, full

MODEL = Path(os.environ["LOADLINE_SMALL_MODEL"])

pytestmark = pytest.mark.filterwarnings("ignore")


def test_shape_and_weights_are_the_model_s(model: AnalysedModel) -> None:
    shape = model.shape
    assert (shape.layers, shape.kv_heads, shape.query_heads, shape.head) == (3, 2, 4, 64)
    stored = sum(one.numel() for one in model._model.parameters()) * 4
    table = model._model.get_input_embeddings().weight.numel() * 4
    assert model.weight_bytes == stored - table


def test_two_models_in_one_process_have_attention_of_their_own(
    model: AnalysedModel, ids: tuple[int, ...]
) -> None:
    other = AnalysedModel(MODEL)
    mixed = model.hidden(ids, lambda _layer, states: torch.zeros_like(states.queries))
    assert not torch.allclose(mixed, model.hidden(ids, full), atol=1e-2)
    assert torch.equal(other.hidden(ids, full), model.hidden(ids, full))


def test_the_small_model_passes_its_check(model: AnalysedModel, ids: tuple[int, ...]) -> None:
    model.check(ids)


def test_an_attention_that_sees_later_tokens_fails_the_check(
    model: AnalysedModel, ids: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def blind(_layer: int, states: States) -> torch.Tensor:
        keys, values = (one.repeat_interleave(2, 0) for one in (states.keys, states.values))
        return torch.nn.functional.scaled_dot_product_attention(states.queries, keys, values)

    monkeypatch.setattr(analysed_models, "full", blind)
    with pytest.raises(InvalidInput, match=r"MODEL is 'llama'.*plain softmax"):
        model.check(ids)


SIZES: dict[str, Any] = {
    "vocab_size": 320,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}


@pytest.mark.parametrize(
    ("kind", "more", "says"),
    [
        ("Cohere", {"intermediate_size": 64, "logit_scale": 0.1}, "times a matrix"),
        ("Bloom", {"n_layer": 2, "n_head": 2}, "looks up by name"),
    ],
)
def test_what_a_configuration_does_not_say_is_found(
    tmp_path: Path, ids: tuple[int, ...], kind: str, more: dict[str, Any], says: str
) -> None:
    """One that scales its logits, and one that never asks for an attention by name."""
    import transformers

    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**SIZES, **more, initializer_range=0.5)
    getattr(transformers, f"{kind}ForCausalLM")(config).save_pretrained(tmp_path)
    with pytest.raises(InvalidInput, match=says):
        AnalysedModel(tmp_path).check(ids)


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    shutil.copy(MODEL / "config.json", tmp_path)
    with pytest.raises(InvalidInput, match="safetensors"):
        AnalysedModel(tmp_path)


@pytest.mark.parametrize("there", [True, False])
def test_what_is_no_folder_is_refused(tmp_path: Path, there: bool) -> None:
    path = tmp_path / "model"
    if there:
        path.write_text("")
    with pytest.raises(InvalidInput, match=r"MODEL is .*folder"):
        AnalysedModel(path)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"kv_lora_rank": 512}, "latent attention"),
        ({"sliding_window": 4096}, "sees 4096 tokens"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "sliding_attention"),
        ({"layer_types": ["full_attention", "linear_attention"]}, "linear_attention"),
        ({"layers_block_type": ["attention", "mamba"]}, "mamba"),
        ({"mamba_d_state": 128}, "mamba_d_state"),
    ],
)
def test_other_attention_is_refused_by_its_configuration(config: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        refuse_other_attention({"model_type": "drawn", **config})


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"sliding_window": None},
        {"sliding_window": 4096, "use_sliding_window": False},
        {"layer_types": ["full_attention"] * 2},
    ],
)
def test_plain_attention_is_not_refused(config: dict[str, Any]) -> None:
    refuse_other_attention(config)


def test_a_sliding_window_is_refused_before_weights_are_read(tmp_path: Path) -> None:
    for file in MODEL.iterdir():
        shutil.copy(file, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "sliding_window": 128}))
    (tmp_path / "model.safetensors").write_bytes(b"\0" * 64)
    with pytest.raises(InvalidInput, match="sees 128 tokens"):
        AnalysedModel(tmp_path)
