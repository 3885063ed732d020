"""
Keys and values rounded to what vLLM's types for the KV cache can hold, in plain torch.

Each function gives back what a kernel would read of what was written: the numbers of the format, with its
scales, in float32. The arithmetic of the kernels themselves is not imitated. The last dimension is a head's
elements. The formats were read in the sources of vLLM 0.32, as in `loadline_policies.kv.kv_formats`.
"""

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import pairwise
from types import MappingProxyType
from typing import Final, NamedTuple

import torch

Rounding = Callable[[torch.Tensor], torch.Tensor]

FP8_MOST: Final = 448.0
FP4_LEVELS: Final = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
NVFP4_GROUP: Final = 16
ULTRAQUANT_GROUP: Final = 32
ULTRAQUANT_SCALE: Final = 0.156


class KvRounding(NamedTuple):
    """How a format rounds keys, and how values."""

    keys: Rounding
    values: Rounding


def bfloat16(numbers: torch.Tensor) -> torch.Tensor:
    """As the engine keeps them by default, of most models."""
    return numbers.bfloat16().float()


def fp8(numbers: torch.Tensor) -> torch.Tensor:
    """FP8 E4M3 with a scale of 1; larger numbers become the largest."""
    return numbers.clamp(-FP8_MOST, FP8_MOST).to(torch.float8_e4m3fn).float()


def fp8_per_head(numbers: torch.Tensor) -> torch.Tensor:
    """FP8 E4M3, scaled so that a head's largest element is the largest number."""
    scale = (numbers.abs().amax(-1, keepdim=True) / FP8_MOST).clamp(min=1e-6)
    return fp8(numbers / scale) * scale


def int8_per_head(numbers: torch.Tensor) -> torch.Tensor:
    """Whole numbers to ±127, with a scale for each token and head."""
    scale = (numbers.abs().amax(-1, keepdim=True) / 127).clamp(min=1e-6)
    return (numbers / scale).round().clamp(-128, 127) * scale


def int4_rotated(numbers: torch.Tensor) -> torch.Tensor:
    """16 levels between a head's least and largest element, after random signs and a Hadamard rotation."""
    signs = _signs(numbers.shape[-1])
    rotated = _hadamard(numbers * signs)
    least, most = rotated.amin(-1, keepdim=True), rotated.amax(-1, keepdim=True)
    scale = ((most - least) / 15).clamp(min=1e-6)
    zero = (-least / scale).round().clamp(0, 15)
    levels = (rotated / scale + zero).round().clamp(0, 15)
    return _hadamard((levels - zero) * scale) * signs


def uniform(bits: int) -> Rounding:
    """2^bits levels from a head's least element to its largest; scale and least are kept in 16 bits."""

    def rounded(numbers: torch.Tensor) -> torch.Tensor:
        least, most = numbers.amin(-1, keepdim=True), numbers.amax(-1, keepdim=True)
        scale = ((most - least) / (2**bits - 1)).clamp(min=1e-8)
        levels = ((numbers - least) / scale).round().clamp(0, 2**bits - 1)
        return levels * scale.half().float() + least.half().float()

    return rounded


def directions(bits: int) -> Rounding:
    """2^bits levels for each element of a rotated direction, chosen for a normal distribution, and a norm."""

    def rounded(numbers: torch.Tensor) -> torch.Tensor:
        size = numbers.shape[-1]
        levels = torch.tensor(normal_levels(bits), device=numbers.device) / math.sqrt(size)
        norm = numbers.norm(dim=-1, keepdim=True)
        rotated = _hadamard(numbers / (norm + 1e-8)).contiguous()
        nearest = levels[torch.bucketize(rotated, (levels[:-1] + levels[1:]) / 2)]
        unit = torch.nn.functional.normalize(nearest, dim=-1)
        return _hadamard(unit) * norm.half().float()

    return rounded


def nvfp4(numbers: torch.Tensor) -> torch.Tensor:
    """FP4 in groups of 16, with an FP8 scale for each."""
    groups = numbers.unflatten(-1, (-1, NVFP4_GROUP))
    scale = fp8(groups.abs().amax(-1, keepdim=True) / FP4_LEVELS[-1])
    return _fp4(groups, scale).flatten(-2)


def power_of_two_fp4(numbers: torch.Tensor) -> torch.Tensor:
    """FP4 in groups of 32, with a power of two for each."""
    groups = numbers.unflatten(-1, (-1, ULTRAQUANT_GROUP))
    largest = (ULTRAQUANT_SCALE * groups.abs().amax(-1, keepdim=True)).clamp(min=1e-30)
    return _fp4(groups, largest.log2().round().exp2()).flatten(-2)


def rotated_fp4(numbers: torch.Tensor) -> torch.Tensor:
    """The same after a Hadamard rotation."""
    return _hadamard(power_of_two_fp4(_hadamard(numbers)))


ROUNDINGS: Final[Mapping[str, KvRounding]] = MappingProxyType(
    {
        "auto": KvRounding(bfloat16, bfloat16),
        "fp8": KvRounding(fp8, fp8),
        "fp8_per_token_head": KvRounding(fp8_per_head, fp8_per_head),
        "int8_per_token_head": KvRounding(int8_per_head, int8_per_head),
        "turboquant_k8v4": KvRounding(fp8, uniform(4)),
        "int4_per_token_head": KvRounding(int4_rotated, int4_rotated),
        "nvfp4": KvRounding(nvfp4, nvfp4),
        "ultraquant_4bit": KvRounding(rotated_fp4, power_of_two_fp4),
        "turboquant_4bit_nc": KvRounding(directions(4), uniform(4)),
        "turboquant_k3v4_nc": KvRounding(directions(3), uniform(4)),
        "turboquant_3bit_nc": KvRounding(directions(3), uniform(3)),
    }
)
"""By the names of vLLM's types. Each needs a head size that is a multiple of 32."""


def _fp4(groups: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """The nearest numbers of FP4 E2M1, each group at its scale."""
    levels = torch.tensor(FP4_LEVELS, device=groups.device)
    size = (groups / scale.clamp(min=1e-30)).abs().contiguous()
    nearest = levels[torch.bucketize(size, (levels[:-1] + levels[1:]) / 2)]
    return nearest.copysign(groups) * scale


def _hadamard(numbers: torch.Tensor) -> torch.Tensor:
    """The orthonormal Hadamard transform, which is its own inverse, of the last dimension.

    In blocks of the largest power of two that divides it.
    """
    size = numbers.shape[-1]
    block = size & -size
    blocks = numbers.unflatten(-1, (-1, block))
    return (blocks @ _matrix(block).to(numbers)).flatten(-2)


@lru_cache(maxsize=8)
def _matrix(size: int) -> torch.Tensor:
    matrix = torch.ones(1, 1)
    while matrix.shape[0] < size:
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    return matrix / math.sqrt(size)


@lru_cache(maxsize=8)
def _signs(size: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(size)
    return torch.randint(0, 2, (size,), generator=generator).float() * 2 - 1


@lru_cache(maxsize=4)
def normal_levels(bits: int) -> tuple[float, ...]:
    """The levels that round a standard normal number with the least squared error (Lloyd and Max)."""
    count = 2**bits
    levels = [-3.5 + 7 * (place + 0.5) / count for place in range(count)]
    for _ in range(500):
        edges = [
            -math.inf,
            *((one + other) / 2 for one, other in pairwise(levels)),
            math.inf,
        ]
        levels = [_mean_between(low, high) for low, high in pairwise(edges)]
    return tuple(levels)


def _mean_between(low: float, high: float) -> float:
    """The mean of a standard normal number that lies between two others."""

    def density(at: float) -> float:
        return 0.0 if math.isinf(at) else math.exp(-at * at / 2) / math.sqrt(2 * math.pi)

    def below(at: float) -> float:
        return (1 + math.erf(at / math.sqrt(2))) / 2

    return (density(low) - density(high)) / (below(high) - below(low))
