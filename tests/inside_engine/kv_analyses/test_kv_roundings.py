"""Rounded numbers are those of vLLM's formats, as far as vLLM has a reference in torch, and else by hand."""

import math
import warnings

import pytest
import torch

from loadline_vllm.kv_analyses.kv_roundings import (
    ROUNDINGS,
    _hadamard,
    fp8,
    int8_per_head,
    normal_levels,
    nvfp4,
    power_of_two_fp4,
    rotated_fp4,
    uniform,
)

pytestmark = pytest.mark.filterwarnings("ignore")


def numbers(*, head: int = 128) -> torch.Tensor:
    return torch.randn(4, 50, head, generator=torch.Generator().manual_seed(0)) * 3


def error(name: str) -> float:
    """The error of keys and values, as a share of their norm."""
    given = numbers()
    kept = torch.cat([one(given) for one in ROUNDINGS[name]])
    twice = torch.cat([given, given])
    return float((kept - twice).norm() / twice.norm())


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("auto", 0.002),
        ("fp8", 0.03),
        ("fp8_per_token_head", 0.03),
        ("int8_per_token_head", 0.01),
        ("turboquant_k8v4", 0.08),
        ("int4_per_token_head", 0.11),
        ("nvfp4", 0.11),
        ("ultraquant_4bit", 0.13),
        ("turboquant_4bit_nc", 0.11),
        ("turboquant_k3v4_nc", 0.16),
        ("turboquant_3bit_nc", 0.22),
    ],
)
def test_the_error_of_normal_numbers_is_that_of_the_bits(name: str, most: float) -> None:
    assert most / 4 < error(name) < most


def test_more_bits_err_less() -> None:
    order = ["auto", "int8_per_token_head", "turboquant_k8v4", "turboquant_4bit_nc", "turboquant_3bit_nc"]
    errors = [error(name) for name in order]
    assert errors == sorted(errors)


@pytest.mark.parametrize("name", ROUNDINGS)
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_constants_stay_finite(name: str, value: float) -> None:
    for one in ROUNDINGS[name]:
        assert one(torch.full((2, 3, 64), value)).isfinite().all()


def test_ultraquant_is_vllm_s_reference() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from vllm.v1.attention.ops.ultraquant.reference import ultraquant_encode_decode
    given = numbers()
    assert torch.equal(power_of_two_fp4(given), ultraquant_encode_decode(given, rotate=False))
    rotated = ultraquant_encode_decode(given, rotate=True)
    different = (_hadamard(rotated_fp4(given)) - rotated).abs() > 1e-4
    assert different.float().mean() < 0.001  # ties that float32 rounds either way


@pytest.mark.parametrize("bits", [3, 4])
def test_levels_are_vllm_s_centroids(bits: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from vllm.model_executor.layers.quantization.turboquant.centroids import get_centroids
    ours = torch.tensor(normal_levels(bits)) / math.sqrt(128)
    assert torch.allclose(ours, get_centroids(128, bits).sort().values, atol=2e-4)


@pytest.mark.parametrize("head", [32, 64, 96, 128])
def test_the_rotation_is_its_own_inverse_and_keeps_lengths(head: int) -> None:
    given = numbers(head=head)
    rotated = _hadamard(given)
    assert torch.allclose(_hadamard(rotated), given, atol=1e-4)
    assert torch.allclose(rotated.norm(dim=-1), given.norm(dim=-1), rtol=1e-4)
    assert not torch.allclose(rotated, given, atol=0.1)


def test_fp8_has_its_numbers_and_its_largest() -> None:
    given = torch.tensor([0.0, 1.06, -1.07, 300.0, 1e6, -1e6])
    assert fp8(given).tolist() == [0.0, 1.0, -1.125, 288.0, 448.0, -448.0]


def test_whole_numbers_to_127_are_kept_by_8_bits() -> None:
    given = torch.arange(-127, 1).float()
    assert torch.allclose(int8_per_head(given), given, atol=1e-4)


def test_16_levels_between_the_least_and_the_largest() -> None:
    kept = uniform(4)(torch.tensor([-1.0, -0.95, 0.0, 2.0]))
    assert kept.tolist() == pytest.approx([-1.0, -1.0, 0.0, 2.0], abs=2e-3)


def test_fp4_has_eight_sizes() -> None:
    given = torch.tensor([6.0, 5.1, 4.9, 2.6, 1.7, 0.8, 0.2, -0.3] * 2)
    assert nvfp4(given).tolist()[:8] == [6.0, 6.0, 4.0, 3.0, 1.5, 1.0, 0.0, -0.5]


@pytest.mark.parametrize("name", ["turboquant_4bit_nc", "turboquant_3bit_nc"])
def test_corrected_keys_keep_their_lengths(name: str) -> None:
    given = numbers()
    kept = ROUNDINGS[name].keys(given)
    assert torch.allclose(kept.norm(dim=-1), given.norm(dim=-1), rtol=1e-3)
