"""
What methods that keep all tokens, but look at few of them, would move for one decoded token.

Attention needs the keys and values of few tokens for most of its mass. Methods that exploit this keep all
tokens somewhere, and choose by an index which ones to read. Nothing here was measured: each figure is a
formula over the shape of a model, with the settings of the method's authors, and says where these come from.
The bytes are those of keys, values and indexes for one request; weights aren't among them.
"""

from collections.abc import Callable
from typing import Final

from loadline_policies.kv.analysis_results import SparseRead
from loadline_policies.kv.kv_formats import ELEMENT_BYTES, KvShape

SQUEEZED_CENTROIDS: Final = 0.05
SQUEEZED_REDUCTION: Final = 3.1
SHADOW_RANK: Final = 160
SHADOW_CHUNK_TOKENS: Final = 8
SHADOW_BUDGET_TOKENS: Final = 2048
SHADOW_RESIDENT_CHUNKS: Final = 4 + 48
SHADOW_CACHED: Final = 0.60
RETRIEVAL_WINDOW_TOKENS: Final = 640
RETRIEVAL_SHARE: Final = 0.03


def reads(shape: KvShape, *, context_tokens: int, mass_share: float) -> tuple[SparseRead, ...]:
    """All methods for a request of so many tokens; `mass_share` of them hold the mass that is aimed at."""
    return (
        _full(shape, context_tokens),
        _ideal(shape, context_tokens, mass_share),
        *(of(shape, context_tokens) for of in _METHODS),
    )


def _full(shape: KvShape, tokens: int) -> SparseRead:
    return SparseRead(
        method="full attention",
        gpu_bytes=tokens * shape.token_bytes,
        link_bytes=0,
        host_bytes=0,
        formula="context × KV",
        source="arithmetic",
    )


def _ideal(shape: KvShape, tokens: int, share: float) -> SparseRead:
    return SparseRead(
        method="the tokens of 95 % of the mass",
        gpu_bytes=round(tokens * share * shape.token_bytes),
        link_bytes=0,
        host_bytes=0,
        formula="context × measured share × KV",
        source="the share was measured on the data, at its length; a bound for any choice, without its index",
    )


def _squeezed(shape: KvShape, tokens: int) -> SparseRead:
    centroids = tokens * SQUEEZED_CENTROIDS * shape.key_bytes
    return SparseRead(
        method="Squeezed Attention",
        gpu_bytes=round(centroids + tokens / SQUEEZED_REDUCTION * shape.token_bytes),
        link_bytes=0,
        host_bytes=0,
        formula="context × (5 % × keys + 1/3.1 × KV)",
        source="3.1: the paper's abstract (arXiv 2411.09688), for a prompt that is fixed beforehand; 5 % of "
        "centroids: run_offline_clustering.sh of SqueezeAILab/SqueezedAttention @4a50c64",
    )


def _shadow(shape: KvShape, tokens: int) -> SparseRead:
    width = shape.kv_heads * shape.head
    rank = min(SHADOW_RANK, width)
    chosen = min(SHADOW_BUDGET_TOKENS, tokens)
    resident = min(SHADOW_RESIDENT_CHUNKS * SHADOW_CHUNK_TOKENS, tokens)
    landmarks = tokens / SHADOW_CHUNK_TOKENS * shape.key_bytes
    low_rank = shape.layers * ELEMENT_BYTES * rank * (chosen + width)
    values = chosen * shape.key_bytes
    return SparseRead(
        method="ShadowKV",
        gpu_bytes=round(landmarks + low_rank + values + resident * shape.token_bytes),
        link_bytes=round((1 - SHADOW_CACHED) * values),
        host_bytes=0,
        formula="GPU: context/8 × keys + low-rank keys + chosen values + resident KV; link: 40 % of values",
        source="rank 160, chunks of 8, 2,048 chosen tokens, 4 + 48 resident chunks: bytedance/ShadowKV"
        " @a21f5a9; 60 % found in its cache: as others quote the paper (arXiv 2410.21465), unverified",
    )


def _retrieval(shape: KvShape, tokens: int) -> SparseRead:
    window = min(RETRIEVAL_WINDOW_TOKENS, tokens)
    passed = shape.layers * shape.query_heads * (2 * shape.head + 1) * ELEMENT_BYTES
    return SparseRead(
        method="RetrievalAttention",
        gpu_bytes=window * shape.token_bytes,
        link_bytes=passed,
        host_bytes=round((tokens - window) * RETRIEVAL_SHARE * shape.token_bytes),
        formula="GPU: window × KV; link: queries, partial results; host: 3 % × (context − window) × KV",
        source="3 % of the data at most: the paper's abstract (arXiv 2409.10516); window of 640: unverified",
    )


_METHODS: Final[tuple[Callable[[KvShape, int], SparseRead], ...]] = (_squeezed, _shadow, _retrieval)
