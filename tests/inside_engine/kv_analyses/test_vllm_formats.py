"""Bytes of a type are those that vLLM's own backends ask for: an upgrade that changes them shows here."""

import pytest
import torch

from loadline_policies.kv.kv_formats import END_LAYERS, FORMATS, find

HEADS = (64, 128, 256)
TURBOQUANT = [one.name for one in FORMATS if one.name.startswith("turboquant_")]
OF_TRITON = ["auto", "fp8", "fp8_per_token_head", "int8_per_token_head", "int4_per_token_head"]

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", TURBOQUANT)
def test_turboquant(name: str, head: int) -> None:
    from vllm.model_executor.layers.quantization.turboquant.config import TurboQuantConfig

    assert find(name).slot_bytes(head) == TurboQuantConfig.from_cache_dtype(name, head).slot_size_aligned


def test_turboquant_spares_as_many_layers_as_vllm() -> None:
    import inspect

    from vllm.model_executor.layers.quantization.turboquant.config import TurboQuantConfig

    default = inspect.signature(TurboQuantConfig.get_boundary_skip_layers).parameters["n"].default
    assert default == END_LAYERS


@pytest.mark.parametrize("head", HEADS)
def test_nvfp4(head: int) -> None:
    from vllm.utils.torch_utils import nvfp4_kv_cache_full_dim

    assert find("nvfp4").slot_bytes(head) == 2 * nvfp4_kv_cache_full_dim(head)


@pytest.mark.parametrize("head", HEADS)
def test_ultraquant(head: int) -> None:
    from vllm.v1.attention.ops.ultraquant.format import slot_size

    assert find("ultraquant_4bit").slot_bytes(head) == slot_size(head)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", OF_TRITON)
def test_those_of_the_triton_backend(name: str, head: int) -> None:
    from vllm.utils.torch_utils import STR_DTYPE_TO_TORCH_DTYPE
    from vllm.v1.attention.backends.triton_attn import TritonAttentionBackend
    from vllm.v1.kv_cache_interface import FullAttentionSpec, get_kv_quant_mode

    spec = FullAttentionSpec(
        block_size=16,
        num_kv_heads=1,
        head_size=head,
        dtype=torch.bfloat16 if name == "auto" else STR_DTYPE_TO_TORCH_DTYPE[name],
        kv_quant_mode=get_kv_quant_mode(name),
    )
    page = TritonAttentionBackend.customize_spec(spec).page_size_bytes
    assert find(name).slot_bytes(head) == page // 16
