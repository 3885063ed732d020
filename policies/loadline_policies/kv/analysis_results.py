"""
What an analysis of a model's KV memory finds: the fields of its JSON, each with what it means and where it
comes from.

What was measured on the data, what is arithmetic over the model's shape, and what a paper claims are in
fields of their own, so that none can be taken for another. A share is from 0 to 1; a figure that wasn't
measured is null.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA = "loadline-kv-analysis-1"


class Result(BaseModel):
    """A part of the document."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelFacts(Result):
    """The model that was analysed."""

    path: str = Field(description="Its folder.")
    fingerprint: str = Field(description="As in a file of gates.")
    layers: int = Field(description="Layers with attention.")
    kv_heads: int = Field(description="KV heads in a layer.")
    query_heads: int = Field(description="Query heads in a layer.")
    head: int = Field(description="Elements of a head.")
    parameters: int = Field(description="All parameters.")
    weight_bytes: int = Field(
        description="Bytes of weights that a decode step reads, as stored: all but a table in which it looks"
        " up a row. Of a model of experts all are counted, as a large batch needs them."
    )
    token_bytes: int = Field(description="Bytes of a token's keys and values in all layers, in 16 bits.")


class DataFacts(Result):
    """The sequences on which it was measured."""

    source: str = Field(description="The file, or that ids were random.")
    random_ids: bool = Field(
        description="Whether ids were random. Then no measured figure says anything about a service."
    )
    sequences: int = Field(description="Sequences.")
    shortest_tokens: int = Field(description="Tokens of the shortest sequence.")
    longest_tokens: int = Field(description="Tokens of the longest sequence.")
    judged_from: int = Field(
        description="The first token whose prediction is judged: where the first fold is."
    )


class Likeness(Result):
    """How much alike a layer's keys and values are to those of the layer before it; measured."""

    layer: int = Field(description="The layer, counted from 0.")
    keys_cosine: float = Field(description="Mean cosine of a token's keys, of all KV heads, as cached.")
    values_cosine: float = Field(description="The same of its values.")
    keys_unmerged_share: float = Field(
        description="Tokens whose keys differ so much that MiniCache leaves them unmerged."
    )
    values_unmerged_share: float = Field(description="The same of values.")


class Merging(Result):
    """What merging the KV of adjacent layers would save."""

    formula_ratio: float = Field(
        description="KV memory as a multiple of that with merging, by the paper's formula; computed."
    )
    paper_ratio: float = Field(
        description="What the paper reports for its own models, without 4-bit numbers."
    )
    keys_cosine: float | None = Field(
        description="Mean cosine of keys over the pairs that would be merged; measured. Null without a pair."
    )
    values_cosine: float | None = Field(description="The same of values.")
    source: str = Field(description="Where formula and ratio come from.")
    served: bool = Field(description="Whether Loadline serves it.")
    why_not: str = Field(description="Why it doesn't.")


class HeadMasses(Result):
    """How few tokens hold most of the attention of a KV head; measured in the second half of sequences."""

    layer: int = Field(description="The layer, counted from 0.")
    kv_head: int = Field(description="The KV head, counted from 0.")
    share_for_90: float = Field(description="Mean share of the tokens so far that hold 90 % of the mass.")
    share_for_95: float = Field(description="The same for 95 %.")
    share_for_99: float = Field(description="The same for 99 %.")


class SparseRead(Result):
    """What a method would move for one decoded token of one request; computed, not measured."""

    method: str = Field(description="The method.")
    gpu_bytes: int = Field(description="Read from the GPU's memory.")
    link_bytes: int = Field(description="Moved between the host and the GPU.")
    host_bytes: int = Field(description="Read from the host's memory by its processor.")
    formula: str = Field(description="How that was computed.")
    source: str = Field(description="Where the formula's settings come from.")


class Dominance(Result):
    """From which context on a decode step reads more KV than weights; computed."""

    batch: int = Field(description="Requests that decode together.")
    context_tokens: int = Field(description="The context from which on that is so, for each of them.")


class StepRead(Result):
    """What a decode step reads; computed."""

    batch: int = Field(description="Requests that decode together.")
    context_tokens: int = Field(description="Tokens that each of them holds.")
    step_bytes: int = Field(description="Bytes of weights and KV.")
    kv_share: float = Field(description="The KV's part of them.")


class Step(Result):
    """The shortest time of a decode step on a GPU; computed."""

    gpu: str = Field(description="The GPU.")
    gigabytes_per_s: float = Field(description="The rate of its memory.")
    source: str = Field(description="Where the rate comes from.")
    batch: int = Field(description="Requests that decode together, each with `context_tokens`.")
    least_ms: float = Field(description="Bytes divided by the rate; a real step takes longer.")


class Drift(Result):
    """How far predictions move from those with full KV in float32; measured, means over judged tokens."""

    kl_nats: float = Field(description="KL(full ‖ changed) of the next token's distribution.")
    loss_nats: float = Field(description="Rise of the loss on the data's own next token.")
    same_token_share: float = Field(description="Tokens for which the likeliest next one is the same.")
    judged_tokens: int = Field(description="Judged tokens.")


class Choice(Result):
    """One way to keep a request's keys and values, with what it costs."""

    name: str = Field(description="The choice.")
    option: str = Field(description="What sets it; empty if nothing does.")
    token_bytes: float = Field(
        description="Bytes of GPU memory for a token, the mean over a request of `context_tokens`; computed."
    )
    request_bytes: int = Field(
        description="Bytes of GPU memory for such a request, which a step of it also reads; computed."
    )
    link_bytes: int = Field(description="Moved between host and GPU for a decoded token; computed.")
    exact: bool = Field(description="Whether it keeps the very numbers of `auto`, so that it adds no drift.")
    drift: Drift | None = Field(description="What it does to predictions; null if that wasn't measured.")
    served_by: Literal["vLLM", "Loadline, on CPUs", "nobody"] = Field(description="What serves it.")
    note: str = Field(description="What else has to be known.")


class Analysis(Result):
    """The document that `loadline kv analyse MODEL -o json` prints."""

    schema_name: str = Field(
        default=SCHEMA, description="Changes when a field is renamed or means something else."
    )
    model: ModelFacts = Field(description="The model.")
    data: DataFacts = Field(description="The data.")
    context_tokens: int = Field(description="Tokens of the request of `sparse_reads` and `choices`.")
    kept_tokens: int = Field(description="Tokens that a request keeps under retention (M).")
    buffer_tokens: int = Field(description="Tokens that it gathers beyond these (B).")
    likenesses: tuple[Likeness, ...] = Field(description="By layer, from the second one on.")
    merging: Merging = Field(description="Merging of adjacent layers (MiniCache).")
    masses: tuple[HeadMasses, ...] = Field(description="By layer and KV head.")
    sparse_reads: tuple[SparseRead, ...] = Field(
        description="What methods that look at few tokens would move."
    )
    dominances: tuple[Dominance, ...] = Field(description="Where KV becomes the larger part of what is read.")
    step_reads: tuple[StepRead, ...] = Field(description="By context and batch.")
    steps: tuple[Step, ...] = Field(description="By GPU and batch.")
    choices: tuple[Choice, ...] = Field(description="Ways to keep KV, with what each costs.")
    left_out: tuple[str, ...] = Field(description="What the figures don't say.")
