"""
The document of an analysis, from what was measured on a model: everything in it that is arithmetic.

It puts beside each other what ways to keep keys and values cost in bytes and in predictions. The
measurements come from `loadline_vllm.kv_analyses`; nothing here looks at a tensor.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from loadline_policies.kv import layer_merging, sparse_reads
from loadline_policies.kv.analysis_results import (
    Analysis,
    Choice,
    DataFacts,
    Dominance,
    Drift,
    HeadMasses,
    Likeness,
    Merging,
    ModelFacts,
    Step,
    StepRead,
)
from loadline_policies.kv.budgets import Budget
from loadline_policies.kv.kv_formats import BY_NAME, FORMATS, KvFormat, KvShape
from loadline_policies.kv.rooflines import DecodeReads
from loadline_policies.models.gpu_memories import Gpu

BATCHES: Final = (1, 8, 32, 128)
CONTEXTS: Final = (1024, 4096, 16_384, 65_536)
"""In tokens; those below the analysed request's."""

RETENTION: Final = "retention, "
WITH_TYPE: Final = " × "

LEFT_OUT: Final = (
    "Predictions are compared token by token on the data's own text, and not answers that a model writes.",
    "Types are simulated in float32, with all keys and values of a sequence rounded and no calibrated scale."
    " What a kernel computes otherwise isn't in the drift.",
    "No kernel ran. Step times are bounds by memory alone, on one GPU, without tensor parallelism.",
    "Merging of layers, Squeezed Attention, ShadowKV and RetrievalAttention were not run, so their effect on"
    " predictions was not measured.",
)
"""What the figures don't say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What was measured. `drifts` are by the name of a type, a policy of retention, or `policy × type`."""

    likenesses: tuple[Likeness, ...]
    masses: tuple[HeadMasses, ...]
    drifts: Mapping[str, Drift]


def assemble(
    model: ModelFacts,
    data: DataFacts,
    findings: Findings,
    *,
    budget: Budget,
    context_tokens: int,
    gpus: Sequence[Gpu],
) -> Analysis:
    """The whole document."""
    shape = KvShape(
        layers=model.layers, kv_heads=model.kv_heads, query_heads=model.query_heads, head=model.head
    )
    reads = DecodeReads(weight_bytes=model.weight_bytes, token_bytes=model.token_bytes)
    share = sum(one.share_for_95 for one in findings.masses) / len(findings.masses)
    return Analysis(
        model=model,
        data=data,
        context_tokens=context_tokens,
        kept_tokens=budget.kept_tokens,
        buffer_tokens=budget.buffer_tokens,
        likenesses=findings.likenesses,
        merging=merging(shape, findings.likenesses),
        masses=findings.masses,
        sparse_reads=sparse_reads.reads(shape, context_tokens=context_tokens, mass_share=share),
        dominances=tuple(
            Dominance(batch=batch, context_tokens=reads.kv_dominates_from(batch)) for batch in BATCHES
        ),
        step_reads=tuple(
            _step_read(reads, batch=batch, context_tokens=tokens)
            for tokens in (*(one for one in CONTEXTS if one < context_tokens), context_tokens)
            for batch in BATCHES
        ),
        steps=tuple(
            _step(reads, gpu, batch=batch, context_tokens=context_tokens) for gpu in gpus for batch in BATCHES
        ),
        choices=tuple(choices(shape, findings.drifts, budget=budget, context_tokens=context_tokens)),
        left_out=LEFT_OUT,
    )


def merging(shape: KvShape, likenesses: Sequence[Likeness]) -> Merging:
    """What merging adjacent layers would save, and how much alike the layers are that would be merged."""
    later = {pair[1] for pair in layer_merging.merged_pairs(shape.layers)}
    merged = [one for one in likenesses if one.layer in later]
    return Merging(
        formula_ratio=layer_merging.saving_ratio(shape.kv_heads * shape.head),
        paper_ratio=layer_merging.PAPER_RATIO,
        keys_cosine=sum(one.keys_cosine for one in merged) / len(merged) if merged else None,
        values_cosine=sum(one.values_cosine for one in merged) / len(merged) if merged else None,
        source=layer_merging.SOURCE,
        served=False,
        why_not=layer_merging.WHY_NOT_SERVED,
    )


def choices(
    shape: KvShape, drifts: Mapping[str, Drift], *, budget: Budget, context_tokens: int
) -> Iterator[Choice]:
    """Every way to keep a request's KV: types, offload, retention, retention with a type, merged layers."""
    for kind in FORMATS:
        yield _of_type(kind, shape, drifts.get(kind.name), context_tokens=context_tokens)
    yield _offload(shape, context_tokens=context_tokens)
    for name, drift in drifts.items():
        if name not in BY_NAME:
            yield _of_retention(name, shape, drift, budget=budget, context_tokens=context_tokens)
    yield _merged(shape, context_tokens=context_tokens)


def _step_read(reads: DecodeReads, *, batch: int, context_tokens: int) -> StepRead:
    return StepRead(
        batch=batch,
        context_tokens=context_tokens,
        step_bytes=round(reads.step_bytes(batch=batch, context_tokens=context_tokens)),
        kv_share=reads.kv_share(batch=batch, context_tokens=context_tokens),
    )


def _step(reads: DecodeReads, gpu: Gpu, *, batch: int, context_tokens: int) -> Step:
    return Step(
        gpu=gpu.name,
        gigabytes_per_s=gpu.bytes_per_s / 1e9,
        source=gpu.source,
        batch=batch,
        least_ms=1e3 * reads.least_step_s(gpu, batch=batch, context_tokens=context_tokens),
    )


def _of_type(kind: KvFormat, shape: KvShape, drift: Drift | None, *, context_tokens: int) -> Choice:
    token_bytes = kind.token_bytes(shape)
    return Choice(
        name=kind.name,
        option=f"--kv-cache-dtype={kind.name}",
        token_bytes=token_bytes,
        request_bytes=context_tokens * token_bytes,
        link_bytes=0,
        exact=kind.name == "auto",
        drift=drift,
        served_by="vLLM",
        note=kind.note,
    )


def _offload(shape: KvShape, *, context_tokens: int) -> Choice:
    return Choice(
        name="offload",
        option="--kv-offloading-size=GIB",
        token_bytes=shape.token_bytes,
        request_bytes=context_tokens * shape.token_bytes,
        link_bytes=shape.token_bytes,
        exact=True,
        drift=None,
        served_by="vLLM",
        note="a request that decodes holds all its KV on the GPU; the host keeps what would be computed"
        " again, and gets each token's KV once",
    )


def _of_retention(name: str, shape: KvShape, drift: Drift, *, budget: Budget, context_tokens: int) -> Choice:
    policy, _, kind = name.partition(WITH_TYPE)
    held = budget.held_tokens(context_tokens)
    most = budget.kept_tokens + budget.buffer_tokens
    request_bytes = held * (BY_NAME[kind].token_bytes(shape) if kind else shape.token_bytes)
    return Choice(
        name=f"{RETENTION}{name}",
        option="" if kind else f"LOADLINE_RETENTION_POLICY={policy}",
        token_bytes=request_bytes / context_tokens,
        request_bytes=request_bytes,
        link_bytes=0,
        exact=False,
        drift=drift,
        served_by="nobody" if kind else "Loadline, on CPUs",
        note="retention leaves engines with quantized KV alone so far"
        if kind
        else f"a request holds fewer than {most} tokens",
    )


def _merged(shape: KvShape, *, context_tokens: int) -> Choice:
    token_bytes = shape.token_bytes / layer_merging.saving_ratio(shape.kv_heads * shape.head)
    return Choice(
        name="merged layers",
        option="",
        token_bytes=token_bytes,
        request_bytes=round(context_tokens * token_bytes),
        link_bytes=0,
        exact=False,
        drift=None,
        served_by="nobody",
        note=f"by the paper's formula ({layer_merging.SOURCE})",
    )
